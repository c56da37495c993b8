"""Scenarios as an upstream inside this process: ``replay/NAME``."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from millstream.core.errors import ClientFault, Kind, UpstreamFault
from millstream.core.tokens import text_tokens
from millstream.dialects.base import ClientCall, Dialect, Headers, UpstreamRequest
from millstream.providers.base import ReadReply
from millstream.providers.replay.content import Content, refusal
from millstream.providers.replay.library import Found, Library, UnknownNameError
from millstream.providers.replay.plan import Plan, Send, lay_out
from millstream.providers.replay.player import Player, Received
from millstream.providers.replay.reading import ScenarioError
from millstream.providers.replay.scenario import Pace

_GEMINI_PATH = re.compile(r".*/models/(?P<model>.+):(?P<method>\w+)")
_COUNTS = ("/count_tokens", ":countTokens", "/input_tokens")
_NAME = "replay"


def call_of(target: str, headers: Headers, body: bytes, *, stream: bool | None = None) -> ClientCall:
    """A request as its dialect reads it: where the URL's path says model and method, they are taken from it."""
    url = urlsplit(target)
    params = dict(pair.partition("=")[::2] for pair in url.query.split("&") if pair)
    found = _GEMINI_PATH.fullmatch(url.path)
    if found is None:
        return ClientCall(body, headers, stream=stream, params=params)
    return ClientCall(body, headers, unquote(found["model"]), found["method"].startswith("stream"), params)


def counted(dialect: Dialect, target: str, body: bytes) -> Plan | None:
    """The answer to a request that only asks for a count of tokens; None if ``target`` is none."""
    if not urlsplit(target).path.endswith(_COUNTS):
        return None
    answer = dialect.count_reply(text_tokens(body.decode(errors="replace")))
    return whole(Content((answer,), "application/json"))


def whole(content: Content) -> Plan:
    """``content`` at once."""
    return lay_out(content, Pace(), "events", (), {})


class ReplayReply(ReadReply):
    """An answer being played. Implements ``providers.base.Reply``."""

    name = _NAME

    def __init__(self, plan: Plan, received: Received | None, idle_timeout: float) -> None:
        self.status = plan.status
        self.headers: Headers = plan.headers
        self._plan = plan
        self._received = received
        self._idle_timeout = idle_timeout
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._sends = iter(plan.sends)
        self._closed = asyncio.Event()
        self._ended = False

    async def read(self) -> bytes:
        """The next piece when it is due. Raises ``UpstreamFault`` where the scenario breaks off, or for a silence."""
        if self._ended:
            return b""
        send = next(self._sends, None)
        await self._until(self._plan.end_at if send is None else send.at)
        if send is not None:
            return self._noted(send)
        self._ended = True
        if self._plan.end == "eof":
            return b""
        how = "reset" if self._plan.end == "reset" else "closed"
        raise UpstreamFault(f"{_NAME} broke off its answer (connection {how}, as its scenario says)", Kind.TRUNCATED)

    def close(self) -> None:
        """Nothing is played any more."""
        if not self._ended and self._received is not None and not self._closed.is_set():
            self._received.left = self._loop.time()
        self._closed.set()

    def _noted(self, send: Send) -> bytes:
        if self._received is not None:
            times = self._received.sent
            times += [self._loop.time()] * (send.events - len(times))
        return send.data

    async def _until(self, at: float) -> None:
        wait = self._began + at - self._loop.time()
        if self._closed.is_set():
            wait = 0
        if wait > 0:
            try:
                async with asyncio.timeout(min(wait, self._idle_timeout)):
                    await self._closed.wait()
            except TimeoutError:
                if wait > self._idle_timeout:
                    self.close()
                    message = f"{_NAME} sent nothing for {self._idle_timeout:g} s"
                    raise UpstreamFault(message, Kind.TIMEOUT) from None
                return
        if self._closed.is_set():
            raise UpstreamFault(f"{_NAME}'s answer was let go of", Kind.CANCELLED)


class ReplayTransport:
    """``dialect`` is what the provider is configured to speak; recordings of the other ``dialects`` are translated.

    ``folder`` holds scenarios and recordings besides those that come with millstream. Limits are in seconds, as in
    ``providers.transport.Waits``. Implements ``providers.base.Transport``.
    """

    def __init__(
        self,
        dialect: Dialect,
        folder: Path | None,
        dialects: Mapping[str, Dialect],
        *,
        head_timeout: float = 600.0,
        idle_timeout: float = 300.0,
    ) -> None:
        self._dialect = dialect
        self._dialects = dialects
        self._head_timeout = head_timeout
        self._idle_timeout = idle_timeout
        self._library = Library(folder)
        self._players: dict[str, tuple[Found, Player]] = {}

    async def open(self, request: UpstreamRequest, *, stream: bool) -> ReplayReply:
        """Raises ``UpstreamFault``: NOT_FOUND for a name that is not there, INTERNAL for a scenario that cannot be
        used, UNREACHABLE and TIMEOUT where a scenario says so."""
        count = counted(self._dialect, request.path, request.body)
        if count is not None:
            return ReplayReply(count, None, self._idle_timeout)
        call = call_of(request.path, request.headers, request.body, stream=stream)
        try:
            player = await self._player(self._dialect.peek(call).model)
            plan, received = player.play(self._dialect, call, request.path)
        except ClientFault as error:
            return ReplayReply(whole(refusal(self._dialect.render_error(error))), None, self._idle_timeout)
        except ScenarioError as error:
            raise UpstreamFault(str(error), Kind.INTERNAL, retryable=False) from error
        if plan.refused:
            raise UpstreamFault(f"{_NAME} refused the connection, as its scenario says", Kind.UNREACHABLE)
        if plan.head_at > self._head_timeout:
            await asyncio.sleep(self._head_timeout)
            raise UpstreamFault(f"{_NAME} did not answer within {self._head_timeout:g} s", Kind.TIMEOUT)
        await asyncio.sleep(plan.head_at)
        return ReplayReply(plan, received, self._idle_timeout)

    def received(self, name: str) -> list[Received]:
        """The requests that the scenario ``name`` was given."""
        return list(self._players[name][1].received) if name in self._players else []

    async def aclose(self) -> None:
        """Forget what was played."""
        self._players.clear()

    async def _player(self, name: str) -> Player:
        """The player of a scenario, made anew when its file has changed."""
        try:
            found = await asyncio.to_thread(self._library.find, name)
        except UnknownNameError as error:
            raise UpstreamFault(str(error), Kind.NOT_FOUND) from error
        if name not in self._players or self._players[name][0] != found:
            clock = asyncio.get_running_loop().time
            self._players[name] = (found, Player(found.scenario, found.folder, self._dialects, clock))
        return self._players[name][1]
