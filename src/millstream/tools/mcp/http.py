"""A server elsewhere, over the SDK's streamable HTTP.

What goes wrong with one request must not end the others': the SDK gives its connection up for any error but those that
it expects. So requests that fail are answered here, in the protocol's words, and bodies that break off say so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp.client._transport import TransportStreams
from mcp.client.streamable_http import streamable_http_client

from millstream.tools.mcp.pace import Pace
from millstream.tools.mcp.reasons import explained
from millstream.tools.mcp.settings import Address

MAX_BODY = 16 * 1024 * 1024
"""Of an answer that is one JSON text. The SDK itself bounds each event of a stream."""

_MESSAGE = 4 * 1024
"""So many bytes of a stream count as a message, whatever is in them."""

_GOODBYE_S = 2.0
_STREAMS, _STREAM_S = 5, 1.0
"""So many streams are asked for at once, and then one in so many seconds, however often they end: a server may say that
it wants to be asked again at once."""

_UNREACHABLE = -32000


class BadBody(httpx2.StreamError):
    """An answer cannot be read to its end. A kind of error that costs the SDK one request only."""


@asynccontextmanager
async def http_transport(address: Address, auth: httpx2.Auth | None) -> AsyncIterator[TransportStreams]:
    """Nothing bounds how long an answer takes but the caller, who knows the tool."""
    headers = {**address.headers, "accept-encoding": "identity"}  # what is packed small may be huge
    async with (
        _Client(headers=headers, timeout=httpx2.Timeout(30.0, read=None), auth=auth) as client,
        streamable_http_client(address.url, http_client=client, max_sse_event_size=MAX_BODY) as streams,
    ):
        yield streams


class _Client(httpx2.AsyncClient):
    """``send`` never raises where the server or the way to it is at fault."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._free_at = 0.0
        """When another stream could be asked for if none had been asked for at once."""

    async def send(self, request: httpx2.Request, **how: Any) -> httpx2.Response:
        if request.method == "DELETE":  # the end of a session, which nobody waits for
            request.extensions["timeout"] = httpx2.Timeout(_GOODBYE_S).as_dict()
        elif request.method == "GET":
            await self._in_time()
        try:
            response = await super().send(request, **how)
        except httpx2.TransportError as error:
            return _refusal(request, explained(error))
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            await response.aclose()
            return _refusal(request, f"it answered with something packed ({encoding}) that was asked for as it is")
        if isinstance(response.stream, httpx2.AsyncByteStream):
            is_stream = response.headers.get("content-type", "").lower().startswith("text/event-stream")
            response.stream = _Events(response.stream) if is_stream else _Bounded(response.stream)
        return response

    async def _in_time(self) -> None:
        now = time.monotonic()
        self._free_at = max(self._free_at, now) + _STREAM_S
        await asyncio.sleep(max(0.0, self._free_at - now - _STREAMS * _STREAM_S))


def _refusal(request: httpx2.Request, reason: str) -> httpx2.Response:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": _UNREACHABLE, "message": reason}}
    return httpx2.Response(502, json=error, request=request)


class _Events(httpx2.AsyncByteStream):
    """The bytes of a stream, at a pace that leaves the gateway to others too."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pace = Pace()
        async for chunk in self._stream:
            await pace.step(chunk.count(b"\ndata:") + -(-len(chunk) // _MESSAGE))
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Bounded(httpx2.AsyncByteStream):
    """The bytes of a whole answer, up to a limit. Raises ``BadBody``."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MAX_BODY
        try:
            async for chunk in self._stream:
                left -= len(chunk)
                if left < 0:
                    raise BadBody(f"an answer of more than {MAX_BODY} bytes")
                yield chunk
        except httpx2.TransportError as error:
            raise BadBody(f"it broke off ({str(error) or type(error).__name__})") from error

    async def aclose(self) -> None:
        await self._stream.aclose()
