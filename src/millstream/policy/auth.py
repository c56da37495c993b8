"""Who may call."""

from __future__ import annotations

import ipaddress
import re
from base64 import urlsafe_b64decode
from collections.abc import Collection, Mapping
from functools import lru_cache

from millstream.core.errors import Kind, PolicyRefusal
from millstream.policy.caller import NO_LIMITS, Caller, Limits, owner_of


def shown_keys(headers: Mapping[str, str]) -> list[str]:
    """Every credential a client shows; some send two at once. Header names are in lower case."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    keys = [token.strip()] if scheme.lower() == "bearer" else []
    keys += [headers[name] for name in ("x-api-key", "x-goog-api-key") if name in headers]
    keys += _among_protocols(headers.get("sec-websocket-protocol", ""))
    return [key for key in keys if key]


SUBPROTOCOL = "millstream"
"""What a browser's WebSocket offers beside its key, and what it is answered with."""

_KEY_PROTOCOL = f"{SUBPROTOCOL}.bearer."


def _among_protocols(offered: str) -> list[str]:
    """A page cannot set the headers of its WebSocket, so it names its key, in base64url, as one of the protocols that
    it offers. An address, the other place that it may choose, is what logs are full of."""
    if _KEY_PROTOCOL not in offered:
        return []
    found = [one.strip().removeprefix(_KEY_PROTOCOL) for one in offered.split(",") if _KEY_PROTOCOL in one]
    try:
        return [urlsafe_b64decode(one + "=" * (-len(one) % 4)).decode() for one in found]
    except ValueError:
        return []


def require_local_host(host: str, allowed: Collection[str]) -> None:
    """Raises ``PolicyRefusal`` (403) for a ``Host`` header that is neither loopback nor ``allowed``.

    A web page can point its own name at 127.0.0.1 and then call a gateway without a key (DNS rebinding); its name is
    what gives it away.
    """
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if name in allowed or is_loopback(name) or name.endswith(".localhost"):
        return
    message = f"this gateway does not answer to the host name {name!r}: add it to server.allowed_hosts"
    raise PolicyRefusal(message, Kind.PERMISSION)


LOCAL_ORIGIN = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"
"""Origins of pages that this machine itself serves."""


def require_own_origin(origin: str | None, allowed: Collection[str]) -> None:
    """Raises ``PolicyRefusal`` (403) for a request that a web page of elsewhere makes.

    A browser keeps the answer from such a page, but would send its plainest requests all the same, and so spend.
    Programs that are no browsers send no ``Origin``.
    """
    if origin is None or "*" in allowed or origin in allowed or re.fullmatch(LOCAL_ORIGIN, origin):
        return
    message = f"this gateway does not answer to pages of {origin!r}: add it to server.cors_origins"
    raise PolicyRefusal(message, Kind.PERMISSION)


def server_caller(key: str, limits: Limits = NO_LIMITS) -> Caller:
    """Whoever shows the configuration's one key. What is stored under another one is another's."""
    return Caller(owner=owner_of("server", key), limits=limits, admin=True)


@lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Whether listening on ``host`` reaches this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
