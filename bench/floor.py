"""The least that any HTTP proxy costs in this Python: uvloop, httptools, two protocols, bytes passed as they are.

It translates nothing, checks nothing, logs nothing and knows nothing of errors: what it needs, a gateway in Python on
these libraries cannot go below. Measured beside the others as the subject ``floor``.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import httptools
import uvloop


class Upstream(asyncio.Protocol):
    """One connection; ``client`` is whom its answer goes to."""

    def __init__(self, pool: list[Upstream]) -> None:
        self.client: asyncio.Transport | None = None
        self.transport: asyncio.Transport | None = None
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        client = self.client
        self._parser.feed_data(data)
        if client is not None:
            client.write(data)

    def on_message_complete(self) -> None:
        self.client = None
        self._parser = httptools.HttpResponseParser(self)
        self._pool.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._pool:
            self._pool.remove(self)
        if self.client is not None:
            self.client.abort()


class Client(asyncio.Protocol):
    """One client's connection, one request at a time."""

    def __init__(self, port: int, pool: list[Upstream]) -> None:
        self._port = port
        self._pool = pool
        self._parser = httptools.HttpRequestParser(self)
        self._request: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._upstream: Upstream | None = None
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._request.append(data)
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self._pool:
            self._send(self._pool.pop())
        else:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, upstream = await loop.create_connection(lambda: Upstream(self._pool), "127.0.0.1", self._port)
        self._send(upstream)

    def _send(self, upstream: Upstream) -> None:
        upstream.client = self._transport
        self._upstream = upstream
        assert upstream.transport is not None
        upstream.transport.write(b"".join(self._request))
        self._request.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        upstream = self._upstream
        if upstream is not None and upstream.client is self._transport and upstream.transport is not None:
            upstream.transport.abort()


async def serve(port: int, upstream: int) -> None:
    pool: list[Upstream] = []
    server = await asyncio.get_running_loop().create_server(lambda: Client(upstream, pool), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
