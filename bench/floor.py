"""The least that a proxy costs in this Python: uvloop, httptools, two protocols.

``floor.py PORT UPSTREAM`` passes bytes as they are; ``floor.py PORT UPSTREAM translate`` takes Anthropic calls to an
OpenAI Chat upstream with millstream's own dialects. Neither checks, routes, logs, counts, limits or knows of errors:
what they need, a gateway that goes their way on these libraries cannot go below. They are measured as ``floor`` and
``floor-translate``.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import cast

import httptools
import uvloop

from millstream.core.messages import Request
from millstream.dialects import anthropic, openai_chat
from millstream.dialects.base import ClientCall, ReplyContext, Target
from millstream.relay import Collector, HubRelay

CHAT, MESSAGES = openai_chat.DIALECT, anthropic.DIALECT
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
WHOLE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
CALL = b"POST %b HTTP/1.1\r\nhost: up\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


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

    make: type[Upstream] = Upstream

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
        _, upstream = await loop.create_connection(lambda: self.make(self._pool), "127.0.0.1", self._port)
        self._send(upstream)

    def _send(self, upstream: Upstream) -> None:
        upstream.client = self._transport
        self._upstream = upstream
        assert upstream.transport is not None
        upstream.transport.write(self.asked(upstream))
        self._request.clear()

    def asked(self, upstream: Upstream) -> bytes:
        """What the upstream is asked, and will answer."""
        return b"".join(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        upstream = self._upstream
        if upstream is not None and upstream.client is self._transport and upstream.transport is not None:
            upstream.transport.abort()


class TranslatedUpstream(Upstream):
    """Answers in OpenAI Chat, told in Anthropic's words."""

    def begin(self, request: Request) -> None:
        context = ReplyContext("msg_1", 1, request)
        self._head = HEAD
        self._folded = None if request.stream else Collector()
        self._relay = HubRelay(CHAT.parser(), self._folded or MESSAGES.renderer(context))
        self._context = context
        self._pieces: list[bytes] = []
        self._ended = False

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        out = self._relay.feed(b"".join(self._pieces))
        self._pieces.clear()
        said = b""
        if out:
            said, self._head = b"%b%x\r\n%b\r\n" % (self._head, len(out), out), b""
        if self._ended:
            said += b"0\r\n\r\n" if self._folded is None else self._whole(self._folded)
        if self.client is not None and said:
            self.client.write(said)
        if self._ended:
            super().on_message_complete()

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        self._ended = True

    def _whole(self, folded: Collector) -> bytes:
        body = MESSAGES.render_reply(folded.assembler.reply(), self._context)
        return WHOLE_HEAD % len(body) + body


class TranslatedClient(Client):
    make = TranslatedUpstream

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        self._request.append(data)

    def asked(self, upstream: Upstream) -> bytes:
        request = MESSAGES.parse_request(ClientCall(b"".join(self._request), {}))
        cast("TranslatedUpstream", upstream).begin(request)
        rendered = CHAT.render_request(request, Target("m", CHAT.quirks()))
        return CALL % (b"/v1" + rendered.path.encode(), len(rendered.body), rendered.body)


async def serve(client: type[Client], port: int, upstream: int) -> None:
    pool: list[Upstream] = []
    server = await asyncio.get_running_loop().create_server(lambda: client(upstream, pool), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    gc.disable()
    uvloop.run(serve(TranslatedClient if "translate" in sys.argv[3:] else Client, int(sys.argv[1]), int(sys.argv[2])))
