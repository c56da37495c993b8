"""The connections of a scripted upstream: HTTP/1.1 with every byte, pause and end in hand."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import struct
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import responses
from typing import Protocol, cast
from urllib.parse import unquote

import httptools

from millstream.core.errors import ClientFault, Kind
from millstream.dialects.base import ClientCall, Dialect
from millstream.providers.replay.content import Content, refusal
from millstream.providers.replay.library import UnknownNameError
from millstream.providers.replay.plan import Plan
from millstream.providers.replay.player import MAX_KEPT, Player, Received
from millstream.providers.replay.reading import ScenarioError
from millstream.providers.replay.transport import call_of, counted, whole

_MAX_BODY = 64 * 1024 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_PATHS = (("/messages", "anthropic"), ("/chat/completions", "openai_chat"), ("/responses", "openai_responses"))
_CORS = {"access-control-allow-origin": "*", "access-control-allow-headers": "*"}


class Stage(Protocol):
    """Who plays for a request's model."""

    def player(self, model: str) -> Player: ...

    def models(self) -> list[str]: ...


@dataclass
class ReplayServer:
    """``url`` has no path. Times are the event loop's, in seconds.

    ``open_streams`` counts answers under way. ``cancelled`` counts clients that left before the end of their answer,
    and ``left_at`` holds when each of them was noticed to have gone. ``received`` keeps the last thousand requests,
    each with the times when its events were written.
    """

    url: str = ""
    open_streams: int = 0
    received: deque[Received] = field(default_factory=lambda: deque(maxlen=MAX_KEPT))
    left_at: list[float] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    @property
    def requests(self) -> list[bytes]:
        """The bodies received, newest last."""
        return [received.body for received in self.received]

    @property
    def sent_at(self) -> list[float]:
        """When each event of every answer was written."""
        return [time for received in self.received for time in received.sent]

    @property
    def cancelled(self) -> int:
        return len(self.left_at)

    async def until(self, condition: Callable[[ReplayServer], bool], within: float = 10.0) -> None:
        """Wait for ``condition``, looked at whenever something happens. Raises ``TimeoutError`` after ``within`` s."""
        async with asyncio.timeout(within):
            while not condition(self):
                await self._changed.wait()

    def happened(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Connection(asyncio.Protocol):
    """One client's connection: a request, its answer, the next request."""

    def __init__(
        self,
        state: ReplayServer,
        stage: Stage,
        known: Mapping[str, Dialect],
        tasks: set[asyncio.Task[None]],
        connections: set[Connection],
    ) -> None:
        self._state = state
        self._stage = stage
        self._dialects = known
        self._tasks = tasks
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._writable = asyncio.Event()
        self._writable.set()
        self._waiting: deque[tuple[str, str, dict[str, str], bytes]] = deque()
        self._answering: asyncio.Task[None] | None = None
        self._ours = False
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body = bytearray()

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0)
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()
        if len(self._body) > _MAX_BODY:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._writable.set()
        if self._answering is not None:
            self._answering.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def abort(self) -> None:
        """End it from our side."""
        self._ours = True
        self._transport.abort()

    # The parser's side.

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode("ascii")
        self._waiting.append((method, self._url.decode("latin-1"), self._headers, bytes(self._body)))
        self._url, self._headers, self._body = b"", {}, bytearray()
        if self._answering is None:
            self._answering = self._loop.create_task(self._answer())
            self._tasks.add(self._answering)
            self._answering.add_done_callback(self._tasks.discard)

    # Ours.

    async def _answer(self) -> None:
        try:
            while self._waiting and not self._transport.is_closing():
                plan, received = self._planned(*self._waiting.popleft())
                await self._perform(plan, received)
        except Exception:
            self._transport.abort()
            raise
        finally:
            self._answering = None

    def _planned(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[Plan, Received | None]:
        path = target.partition("?")[0]
        if method != "POST":
            return self._told(method, path), None
        name = _dialect_of(path)
        if name is None or name not in self._dialects:
            return _json(404, {"error": {"message": f"nothing is served at {path}"}}), None
        dialect = self._dialects[name]
        count = counted(dialect, target, body)
        if count is not None:
            return count, None
        return self._played(dialect, call_of(target, headers, body), target)

    def _played(self, dialect: Dialect, call: ClientCall, target: str) -> tuple[Plan, Received | None]:
        try:
            plan, received = self._stage.player(dialect.peek(call).model).play(dialect, call, target)
        except ClientFault as error:
            return whole(refusal(dialect.render_error(error))), None
        except ScenarioError as error:
            kind = Kind.NOT_FOUND if isinstance(error, UnknownNameError) else Kind.INTERNAL
            return whole(refusal(dialect.render_error(ClientFault(str(error), kind)))), None
        self._state.received.append(received)
        return plan, received

    def _told(self, method: str, path: str) -> Plan:
        models = [_model(name) for name in self._stage.models()]
        if path.endswith("/models"):
            return _json(200, {"object": "list", "data": models})
        wanted = unquote(path.rpartition("/models/")[2])
        if "/models/" in path and any(model["id"] == wanted for model in models):
            return _json(200, _model(wanted))
        known = method == "OPTIONS" or path in ("/", "/health")
        return _json(200, {"status": "ok"}) if known else _json(404, {"error": {"message": f"nothing is at {path}"}})

    async def _perform(self, plan: Plan, received: Received | None) -> None:
        """Play ``plan``. A client that leaves cancels this at once, also in a wait."""
        self._state.open_streams += 1
        self._state.happened()
        try:
            await self._play(plan, received)
        except asyncio.CancelledError:
            if not self._ours:
                self._state.left_at.append(self._loop.time())
                if received is not None:
                    received.left = self._state.left_at[-1]
            raise
        finally:
            self._state.open_streams -= 1
            self._state.happened()

    async def _play(self, plan: Plan, received: Received | None) -> None:
        if plan.refused:
            self._transport.close()
            return
        await self._until(self._loop.time() + plan.head_at)
        began = self._loop.time()
        await self._write(_head(plan))
        for send in plan.sends:
            await self._until(began + send.at)
            await self._write(b"%x\r\n%s\r\n" % (len(send.data), send.data))
            if received is not None:
                received.sent += [self._loop.time()] * (send.events - len(received.sent))
                self._state.happened()
        await self._until(began + plan.end_at)
        if plan.end == "eof":
            await self._write(b"0\r\n\r\n")
        elif plan.end == "close":
            self._transport.close()
        else:
            peer = self._transport.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._transport.abort()

    async def _until(self, time: float) -> None:
        if math.isinf(time):
            await self._loop.create_future()
        wait = time - self._loop.time()
        if wait > 0:
            await asyncio.sleep(wait)

    async def _write(self, data: bytes) -> None:
        """Returns once the system has taken every byte."""
        self._transport.write(data)
        await self._writable.wait()


def _dialect_of(path: str) -> str | None:
    for part, name in _PATHS:
        if path.endswith(part) or f"{part}/" in path:
            return name
    return "gemini" if "/models/" in path and ":" in path else None


def _head(plan: Plan) -> bytes:
    phrase = responses.get(plan.status, "-")
    headers = {**_CORS, **plan.headers, "transfer-encoding": "chunked"}
    lines = [f"HTTP/1.1 {plan.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _json(status: int, value: object) -> Plan:
    return whole(Content((json.dumps(value).encode(),), "application/json", status))


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "type": "model", "display_name": name, "created": 0, "owned_by": "replay"}
