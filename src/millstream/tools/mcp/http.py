"""A server elsewhere, over the SDK's streamable HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from mcp.client._transport import TransportStreams
from mcp.client.streamable_http import streamable_http_client

from millstream.tools.mcp.settings import Address

MAX_BODY = 16 * 1024 * 1024
"""Of an answer that is one JSON text. The SDK itself bounds each event of a stream."""


class TooLarge(httpx2.TransportError):
    """An answer has no end that we would wait for."""


@asynccontextmanager
async def http_transport(address: Address, auth: httpx2.Auth | None) -> AsyncIterator[TransportStreams]:
    """Nothing bounds how long an answer takes but the caller, who knows the tool."""
    waits = httpx2.Timeout(30.0, read=None)
    async with (
        httpx2.AsyncClient(
            headers=dict(address.headers), timeout=waits, auth=auth, event_hooks={"response": [_bound]}
        ) as client,
        streamable_http_client(address.url, http_client=client, max_sse_event_size=MAX_BODY) as streams,
    ):
        yield streams


async def _bound(response: httpx2.Response) -> None:
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        response.stream = _Bounded(response)


class _Bounded(httpx2.AsyncByteStream):
    """The bytes of ``response``, up to a limit."""

    def __init__(self, response: httpx2.Response) -> None:
        if not isinstance(response.stream, httpx2.AsyncByteStream):
            raise TypeError("an answer that cannot be awaited")
        self._stream = response.stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MAX_BODY
        async for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                raise TooLarge(f"an answer of more than {MAX_BODY} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
