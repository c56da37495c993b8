"""A scripted upstream on a real socket: what ``providers.replay`` plays, with real cuts, resets and stalls.

    async with replay_server(load(Path("overloaded.toml"))) as upstream:
        client = AsyncOpenAI(base_url=upstream.url + "/v1", api_key="any")

Speaks the paths of all four APIs, with and without ``/v1``. See ``docs/replay.md``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from millstream.core.errors import ClientFault, Kind
from millstream.core.tokens import text_tokens
from millstream.dialects.base import ClientCall, Dialect
from millstream.providers.replay import End, Play, Player, Send, Wait
from millstream.providers.scenario import Scenario, ScenarioError
from millstream.registry import dialects

_HEAD_LIMIT = 64 * 1024
_PATHS = {
    "/messages": "anthropic",
    "/chat/completions": "openai_chat",
    "/responses": "openai_responses",
}
_CORS = "access-control-allow-origin: *\r\naccess-control-allow-headers: *\r\n"


@dataclass
class ReplayServer:
    """``url`` has no path. Times are the event loop's, in seconds.

    ``sent_at`` holds when each piece of a body was written, ``left_at`` when each client that left before the end of
    its answer was noticed to have gone. ``open_streams`` counts answers under way.
    """

    player: Player
    url: str = ""
    open_streams: int = 0
    sent_at: list[float] = field(default_factory=list)
    left_at: list[float] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def requests(self) -> list[bytes]:
        """The bodies received, newest last."""
        return self.player.received


@asynccontextmanager
async def replay_server(
    scenario: Scenario, *, host: str = "127.0.0.1", port: int = 0, folder: Path | None = None
) -> AsyncIterator[ReplayServer]:
    """Serve ``scenario`` until the end of the ``async with``; ``folder`` is where its files are."""
    state = ReplayServer(Player(scenario, folder))
    known = dialects()
    running: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            running.add(task)
            task.add_done_callback(running.discard)
        try:
            await _Connection(state, known, reader, writer).serve()
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()

    server = await asyncio.start_server(connected, host, port, limit=_HEAD_LIMIT)
    bound = server.sockets[0].getsockname()
    state.url = f"http://{bound[0]}:{bound[1]}"
    try:
        yield state
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await server.wait_closed()


class _Connection:
    """One client's connection, request after request."""

    def __init__(
        self,
        state: ReplayServer,
        known: dict[str, Dialect],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._state = state
        self._dialects = known
        self._reader = reader
        self._writer = writer
        self._loop = asyncio.get_running_loop()

    async def serve(self) -> None:
        with suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            while await self._request():
                pass

    async def _request(self) -> bool:
        """One request and its answer; whether the connection may take another."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await self._reader.readexactly(int(headers.get("content-length") or 0))
        path, _, query = target.partition("?")
        if method != "POST":
            return await self._tell(method, path)
        dialect, call = self._call(path, query, headers, body)
        if dialect is None:
            return self._whole(404, {"error": {"message": f"nothing is served at {path}"}})
        if path.endswith(("/count_tokens", ":countTokens", "/input_tokens")):
            self._answer_bytes(200, dialect.count_reply(text_tokens(body.decode(errors="replace"))))
            return True
        try:
            play = self._state.player.play(dialect, call)
        except (ClientFault, ScenarioError) as error:
            fault = error if isinstance(error, ClientFault) else ClientFault(str(error), Kind.NOT_FOUND)
            reply = dialect.render_error(fault)
            self._answer_bytes(reply.status, reply.body)
            return True
        return await self._perform(play)

    def _call(self, path: str, query: str, headers: dict[str, str], body: bytes) -> tuple[Dialect | None, ClientCall]:
        for part, name in _PATHS.items():
            if part in path:
                return self._dialects[name], ClientCall(body, headers)
        model, colon, method = path.rpartition("/models/")[2].rpartition(":")
        if not colon:
            return None, ClientCall(body, headers)
        params = dict(pair.partition("=")[::2] for pair in query.split("&") if pair)
        call = ClientCall(body, headers, model, stream=method.startswith("stream"), params=params)
        return self._dialects["gemini"], call

    async def _tell(self, method: str, path: str) -> bool:
        if method == "OPTIONS":
            return self._whole(200, {})
        model = {"id": self._state.player.scenario.model, "object": "model", "created": 0, "owned_by": "replay"}
        found = {"object": "list", "data": [model]} if path.endswith("/models") else {"status": "ok"}
        return self._whole(200, found)

    def _whole(self, status: int, value: object) -> bool:
        self._answer_bytes(status, msgspec.json.encode(value))
        return True

    def _answer_bytes(self, status: int, body: bytes) -> None:
        head = f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{_CORS}\r\n"
        self._writer.write(head.encode() + body)

    async def _perform(self, play: Play) -> bool:
        """Take the steps while watching that the client stays; leaving is noticed at once, also in a wait."""
        self._state.open_streams += 1
        watcher = asyncio.ensure_future(self._reader.read(1))
        performer = asyncio.ensure_future(self._steps(play))
        try:
            await asyncio.wait({watcher, performer}, return_when=asyncio.FIRST_COMPLETED)
            if performer.done():
                return performer.result() and not watcher.done()
            self._state.left_at.append(self._loop.time())
            self._state.left.set()
            return False
        finally:
            self._state.open_streams -= 1
            for task in (performer, watcher):
                task.cancel()
            await asyncio.gather(performer, watcher, return_exceptions=True)

    async def _steps(self, play: Play) -> bool:
        if play.refused:
            self._writer.transport.abort()
            return False
        await asyncio.sleep(play.head_wait)
        headers = "".join(f"{name}: {value}\r\n" for name, value in play.headers.items())
        self._writer.write(f"HTTP/1.1 {play.status} -\r\n{headers}{_CORS}transfer-encoding: chunked\r\n\r\n".encode())
        for step in play.steps:
            match step:
                case Send():
                    self._writer.write(b"%x\r\n%s\r\n" % (len(step.data), step.data))
                    self._state.sent_at.append(self._loop.time())
                    await self._writer.drain()
                case Wait(seconds=None):
                    await asyncio.Event().wait()
                case Wait(seconds=seconds):
                    await asyncio.sleep(seconds or 0)
                case End(how="reset"):
                    self._writer.transport.abort()
                    return False
                case End():
                    break
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()
        return True
