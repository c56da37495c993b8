"""Faults, named by whose they are: the client's, the upstream's, a policy's, or ours.

Every error a user can meet is one of these four. Exceptions of libraries are mapped to them at the edge where the
library is called; each dialect prints them in its own words (``dialects/*/errors.py``).
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal

import msgspec

Whose = Literal["client", "upstream", "policy", "gateway"]


class Kind(StrEnum):
    """What went wrong, independent of any dialect's wording."""

    INVALID_REQUEST = "invalid_request"
    AUTHENTICATION = "authentication"
    PERMISSION = "permission"
    BILLING = "billing"
    NOT_FOUND = "not_found"
    TOO_LARGE = "too_large"
    CONTEXT_LENGTH = "context_length"
    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    CANCELLED = "cancelled"
    SHUTDOWN = "shutdown"
    INTERNAL = "internal"


DEFAULT_STATUS: dict[Kind, int] = {
    Kind.INVALID_REQUEST: 400,
    Kind.AUTHENTICATION: 401,
    Kind.BILLING: 402,
    Kind.PERMISSION: 403,
    Kind.NOT_FOUND: 404,
    Kind.TOO_LARGE: 413,
    Kind.CONTEXT_LENGTH: 400,
    Kind.RATE_LIMIT: 429,
    Kind.OVERLOADED: 529,
    Kind.TIMEOUT: 504,
    Kind.UNREACHABLE: 502,
    Kind.TRUNCATED: 502,
    Kind.MALFORMED: 502,
    Kind.CANCELLED: 499,
    Kind.SHUTDOWN: 503,
    Kind.INTERNAL: 500,
}

RETRYABLE_KINDS = frozenset(
    {Kind.RATE_LIMIT, Kind.OVERLOADED, Kind.TIMEOUT, Kind.UNREACHABLE, Kind.TRUNCATED, Kind.MALFORMED, Kind.SHUTDOWN}
)

_KIND_BY_STATUS: dict[int, Kind] = {
    400: Kind.INVALID_REQUEST,
    401: Kind.AUTHENTICATION,
    402: Kind.BILLING,
    403: Kind.PERMISSION,
    404: Kind.NOT_FOUND,
    408: Kind.TIMEOUT,
    413: Kind.TOO_LARGE,
    422: Kind.INVALID_REQUEST,
    429: Kind.RATE_LIMIT,
    499: Kind.CANCELLED,
    503: Kind.OVERLOADED,
    504: Kind.TIMEOUT,
    529: Kind.OVERLOADED,
}


def kind_of_status(status: int) -> Kind:
    """The kind an HTTP status stands for when a body says nothing better."""
    found = _KIND_BY_STATUS.get(status)
    if found is not None:
        return found
    return Kind.INVALID_REQUEST if 400 <= status < 500 else Kind.INTERNAL


class RawError(msgspec.Struct, frozen=True):
    """An upstream's error as it came, so that a client of the same dialect can be given it to the byte."""

    dialect: str
    status: int
    body: bytes
    content_type: str = "application/json"


class MillstreamError(Exception):
    """Root of the four faults.

    ``status`` is the HTTP status hint, ``retry_after`` is in seconds, ``param`` names the offending field, and
    ``content_sent`` says whether content of the answer had already left for the client when this happened.
    """

    whose: ClassVar[Whose] = "gateway"
    default_kind: ClassVar[Kind] = Kind.INTERNAL

    def __init__(
        self,
        message: str,
        kind: Kind | None = None,
        *,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
        raw: RawError | None = None,
        content_sent: bool = False,
    ) -> None:
        super().__init__(message)
        kind = self.default_kind if kind is None else kind
        self.message = message
        self.kind = kind
        self.status = DEFAULT_STATUS[kind] if status is None else status
        self.code = code
        self.param = param
        self.retryable = kind in RETRYABLE_KINDS if retryable is None else retryable
        self.retry_after = retry_after
        self.request_id = request_id
        self.raw = raw
        self.content_sent = content_sent

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.kind.value}, {self.status}, {self.message!r})"


class ClientFault(MillstreamError):
    """The caller sent something that cannot be served as it is."""

    whose = "client"
    default_kind = Kind.INVALID_REQUEST


class UpstreamFault(MillstreamError):
    """The model's server refused, failed, went silent or broke its own protocol."""

    whose = "upstream"


class PolicyRefusal(MillstreamError):
    """A rule of this gateway said no: credentials, limits, budgets, or shutting down."""

    whose = "policy"


class GatewayBug(MillstreamError):
    """We broke our own rules. The message names what; details are in the log, never in the reply."""

    whose = "gateway"
