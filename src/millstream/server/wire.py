"""Small pieces of HTTP that every surface needs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope

from millstream.core.errors import ClientFault, Kind
from millstream.dialects.base import ClientCall
from millstream.server.connection import connection_of
from millstream.server.deliver import ClientGone

_BODY_TIMEOUT_S = 120


def header_map(scope: Scope) -> dict[str, str]:
    """Request headers, names in lower case; of a repeated one the last."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def plain_call(scope: Scope, body: bytes) -> ClientCall:
    """A call whose body says everything."""
    return ClientCall(body, header_map(scope))


def encode_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """As ASGI wants them. A line break, which could smuggle a header in, becomes a space."""
    return [
        (name.encode("latin-1"), value.replace("\r", " ").replace("\n", " ").encode("latin-1", "replace"))
        for name, value in headers.items()
    ]


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The request's whole body.

    Raises ``ClientFault`` (413) beyond ``limit`` bytes or (408) if it takes too long, ``ClientGone`` if it breaks off.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > limit:
            raise _too_large(limit)
        if name == b"content-encoding" and value not in (b"", b"identity"):
            raise ClientFault("send the request body without content-encoding", status=415)
    connection = connection_of(scope)
    if connection is not None and connection.has_request:
        return await _read(receive, limit)
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            return await _read(receive, limit)
    except TimeoutError as error:
        message = f"the request body did not arrive within {_BODY_TIMEOUT_S} s"
        raise ClientFault(message, Kind.TIMEOUT, status=408) from error


async def _read(receive: Receive, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece: bytes = message.get("body", b"")
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_large(limit: int) -> ClientFault:
    return ClientFault(f"the request body is larger than {limit} bytes", Kind.TOO_LARGE)


def query_map(scope: Scope) -> dict[str, str]:
    """The URL's query; of a repeated name the last value."""
    return dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True))
