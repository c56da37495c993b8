"""A server elsewhere, over the SDK's streamable HTTP.

What goes wrong with one request must not end the others': the SDK gives its connection up for any error but those that
it expects. So requests that fail are answered here, in the protocol's words, and bodies that break off say so. And what
was called off is not read any more: before revision 2026-07-28 the SDK reads on until the server ends it, if ever.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
import httpx2
import msgspec
from mcp.client._transport import TransportStreams
from mcp.client.streamable_http import streamable_http_client

from millstream.tools.mcp.pace import Pace
from millstream.tools.mcp.reasons import explained
from millstream.tools.mcp.settings import Address

MAX_BODY = 16 * 1024 * 1024
"""Of an answer that is one JSON text. The SDK itself bounds each event of a stream."""

_MESSAGE = 64 * 1024
"""So many bytes of a stream count as a message, whatever is in them."""

_GOODBYE_S, _WORD_S = 2.0, 10.0
"""How long a server may take to hear of the end of a session, or of anything else that has no answer."""

_STREAMS, _STREAM_S = 5, 1.0
"""So many streams are asked for at once, and then one in so many seconds, however often they end: a server may say that
it wants to be asked again at once."""

_UNREACHABLE = -32000
T = TypeVar("T")


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
        self._waits: dict[Any, _Wait] = {}
        """Those for answers, by the ids of what was asked."""

    async def send(self, request: httpx2.Request, **how: Any) -> httpx2.Response:
        asked = _asked(request)
        wait = _Wait()
        if request.method == "GET":
            await self._in_time()
        elif asked.method is not None and asked.id is not None:
            self._waits[asked.id] = wait
            wait.over = lambda: self._forget(asked.id, wait)
        else:  # it has no answer that anybody waits for
            seconds = _GOODBYE_S if request.method == "DELETE" else _WORD_S
            request.extensions["timeout"] = httpx2.Timeout(seconds).as_dict()
        response = await self._sent(request, wait, **how)
        if asked.method == "notifications/cancelled" and (given_up := self._waits.get(asked.params.request_id)):
            given_up.call_off()
        return response

    async def _sent(self, request: httpx2.Request, wait: _Wait, **how: Any) -> httpx2.Response:
        try:
            response = await wait.of(super().send(request, **how))
        except (httpx2.TransportError, BadBody) as error:
            wait.over()
            return _refusal(request, explained(error))
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            wait.over()
            await response.aclose()
            return _refusal(request, f"it answered with something packed ({encoding}) that was asked for as it is")
        if isinstance(response.stream, httpx2.AsyncByteStream):
            is_stream = response.headers.get("content-type", "").lower().startswith("text/event-stream")
            response.stream = (_Events if is_stream else _Bounded)(response.stream, wait)
        return response

    def _forget(self, asked: Any, wait: _Wait) -> None:
        if self._waits.get(asked) is wait:
            del self._waits[asked]

    async def _in_time(self) -> None:
        now = time.monotonic()
        self._free_at = max(self._free_at, now) + _STREAM_S
        await asyncio.sleep(max(0.0, self._free_at - now - _STREAMS * _STREAM_S))


class _Wait:
    """For one answer, until it is called off."""

    def __init__(self) -> None:
        self.over: Callable[[], object] = lambda: None
        """To be called when there is nothing more to wait for."""
        self._off = False
        self._scope: anyio.CancelScope | None = None

    async def of(self, work: Awaitable[T]) -> T:
        """Raises ``BadBody`` if it is called off."""
        with anyio.CancelScope() as self._scope:
            if self._off:
                self._scope.cancel()
            return await work
        raise BadBody("it was called off")

    def call_off(self) -> None:
        self._off = True
        if self._scope is not None:
            self._scope.cancel()


class _Cancelled(msgspec.Struct, frozen=True, rename="camel"):
    request_id: Any = None


class _Asked(msgspec.Struct, frozen=True):
    """What is known of a message to a server by the bytes that it is sent as."""

    id: Any = None
    method: str | None = None
    params: _Cancelled = _Cancelled()


def _asked(request: httpx2.Request) -> _Asked:
    try:
        return msgspec.json.decode(request.content, type=_Asked)
    except (msgspec.MsgspecError, httpx2.RequestNotRead):
        return _Asked()


def _refusal(request: httpx2.Request, reason: str) -> httpx2.Response:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": _UNREACHABLE, "message": reason}}
    return httpx2.Response(502, json=error, request=request)


class _Stream(httpx2.AsyncByteStream):
    """The bytes of an answer, as long as somebody waits for it."""

    def __init__(self, stream: httpx2.AsyncByteStream, wait: _Wait) -> None:
        self._stream = stream
        self._wait = wait

    async def _chunks(self) -> AsyncIterator[bytes]:
        chunks = aiter(self._stream)
        while (chunk := await self._wait.of(anext(chunks, None))) is not None:
            yield chunk

    async def aclose(self) -> None:
        self._wait.over()
        await self._stream.aclose()


class _Events(_Stream):
    """At a pace that leaves the gateway to others too."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pace = Pace()
        async for chunk in self._chunks():
            messages = chunk.count(b"\n\n") + chunk.count(b"\n\r\n") + len(chunk) // _MESSAGE
            await self._wait.of(pace.step(messages))
            yield chunk


class _Bounded(_Stream):
    """Up to a limit. Raises ``BadBody``."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MAX_BODY
        try:
            async for chunk in self._chunks():
                left -= len(chunk)
                if left < 0:
                    raise BadBody(f"an answer of more than {MAX_BODY} bytes")
                yield chunk
        except httpx2.TransportError as error:
            raise BadBody(f"it broke off ({str(error) or type(error).__name__})") from error
