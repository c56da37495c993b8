"""One request, start to end. Read this file first: it is the path of every token.

    client bytes → server/model_api → dialects/<client>/request (wire → canonical Request)
      → policy/routing (which upstream) → dialects/<upstream>/request (canonical → wire)
      → providers/transport → relay: core/sse → dialects/<upstream>/parse (frames → events)
      → core/grammar (legal?) → dialects/<client>/render (events → bytes)
      → server/deliver → client

A read that repeats all of the one before it but the text goes from socket to socket by ``shortcut``, in one call.
An upstream of the client's own dialect takes the side door (``relay.SideDoor``): its bytes pass untouched.
``stream: false`` to another dialect is the same path, ended by ``core/assemble``. Until the first content event an
upstream may be tried again; after it, never.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple, Protocol

from millstream.core.errors import ClientFault, MillstreamError
from millstream.core.events import Fault, MessageStart
from millstream.core.grammar import Grammar, State
from millstream.core.messages import Request, Usage
from millstream.core.repeats import Repeats
from millstream.dialects.base import (
    ClientCall,
    Dialect,
    Renderer,
    ReplyContext,
    Target,
    UpstreamRequest,
)
from millstream.policy.auto import AUTO, Auto
from millstream.policy.retry import RetryPolicy
from millstream.policy.routing import Route, Routes
from millstream.providers.base import Reply
from millstream.relay import Collector, HubRelay, Relay, SideDoor
from millstream.shortcut import Shortcut
from millstream.upstream import (
    DRAIN_S,
    MAX_REPLY_BYTES,
    Upstream,
    drain,
    is_json,
    open_reply,
    pour,
    refuse_foreign_state,
    take_whole,
    usable,
)

_FORWARDED_HEADERS = ("anthropic-ratelimit-", "x-ratelimit-", "request-id", "x-request-id", "openai-")


@dataclass(frozen=True, slots=True)
class Gateway:
    """What every request needs and none changes. ``now`` is Unix time, ``new_id`` gives a fresh random id."""

    dialects: Mapping[str, Dialect]
    routes: Routes
    upstreams: Mapping[str, Upstream]
    retry: RetryPolicy
    now: Callable[[], float]
    new_id: Callable[[], str]
    auto: Auto | None = None
    """Chooses for the model name ``auto``."""
    continuation: Continuation | None = None
    """How answers that break off are gone on with (``continuation.py``); None: they fail."""
    make_exchange: MakeExchange | None = None
    """Makes exchanges where more is done for a client than to ask its model; None where it wants no more."""
    observers: list[Observer] = field(default_factory=list)
    """Told once of each request that has ended. They must not raise."""
    untold: list[Ended] = field(default_factory=list)
    """Requests that they will be told of within a moment."""
    meter: Meter | None = None
    """Lets calls of models in and counts what they take; None: everyone may do everything."""

    def exchange(self, client: Dialect, call: ClientCall, record: Record) -> Exchange:
        """How ``call`` is served. Raises ``ClientFault`` or ``PolicyRefusal``."""
        made = self.make_exchange(self, client, call, record) if self.make_exchange is not None else None
        return Exchange(self, client, call, record) if made is None else made

    def route(self, model: str, request: Callable[[], Request]) -> Route:
        """Where ``model`` leads; ``request`` is only looked at where the name leaves the choice to us. Raises
        ``ClientFault``."""
        if model == AUTO and self.auto is not None and model not in self.routes.aliases:
            model = self.auto.choose(request()).model or self.routes.default
        return self.permitted(model)

    def permitted(self, model: str) -> Route:
        """Where ``model`` leads. Raises ``ClientFault`` where nowhere, ``PolicyRefusal`` where not for this caller."""
        route = self.routes.resolve(model)
        if self.meter is not None:
            self.meter.permit(model, route)
        return route


@dataclass(frozen=True, slots=True)
class Continuation:
    """``models`` are asked in turn where the one whose answer broke off cannot go on; ``most`` further calls at most
    make one answer whole."""

    models: tuple[str, ...] = ()
    most: int = 5


MakeExchange = Callable[[Gateway, Dialect, ClientCall, "Record"], "Exchange | None"]
End = Literal["finished", "cancelled", "failed"]
Observer = Callable[["Record", int, End, float, float], None]
"""Gets what ``Ended`` has."""
Settle = Callable[[Usage | None, bool], None]
"""Gets what a call took, if that is known, and whether any content came of it."""


class Meter(Protocol):
    """What the present caller may use."""

    def permit(self, model: str, route: Route) -> None:
        """Raises ``PolicyRefusal`` unless the caller may use the model."""
        ...

    async def expect(self) -> None:
        """Raises ``PolicyRefusal`` where no call would be let in now, for who wants to know before a stream begins."""
        ...

    async def admit(self, route: Route, request: Callable[[], Request]) -> Settle:
        """Lets one call in, or raises ``PolicyRefusal``. What is returned is called once when it has ended."""
        ...


class Client(Protocol):
    """Where a streamed reply goes (``server/deliver``)."""

    started: bool
    """The head of the response has left: from here on a failure can only be an event of the stream."""

    async def start(self) -> None: ...

    def write(self, data: bytes) -> Awaitable[None] | None:
        """Hand over a piece of the stream. None: taken. Else to be awaited before the next one, since the reader is
        slow (or since only an await can send at all)."""
        ...

    def shortcut(self, repeats: Repeats) -> Shortcut | None:
        """A way past ``write`` for reads that are ``repeats``; None if there is none, or not now."""
        ...

    async def end(self) -> None: ...


@dataclass(slots=True)
class Record:
    """What the log will say of an exchange. Never holds a key or a prompt."""

    id: str
    dialect: str
    model: str = ""
    route: Route | None = None
    stream: bool = False
    tries: int = 0
    usage: Usage | None = None
    finish_reason: str | None = None
    first_content_at: float | None = None
    chunks: int = 0
    """Pieces that the reply came in."""
    dropped: tuple[str, ...] = ()
    switched: tuple[str, ...] = ()
    """Models that went on where an answer had broken off."""
    error: MillstreamError | None = None


class Ended(NamedTuple):
    """The record of a request, its HTTP status, how it ended, and the Unix times when it began and ended."""

    record: Record
    status: int
    end: End
    began: float
    at: float


class Exchange:
    """One client request on its way through. After it is made: ``stream`` or ``whole``, once."""

    def __init__(self, gateway: Gateway, client: Dialect, call: ClientCall, record: Record) -> None:
        """Routes and translates ``call``, noting in ``record`` what becomes known.

        Raises ``ClientFault`` or ``PolicyRefusal``.
        """
        envelope = client.peek(call)
        self.record = record
        record.model, record.stream = envelope.model, envelope.stream
        self._gateway = gateway
        self._dialect = client
        self._call = call
        self._began_at = int(gateway.now())
        self._start_left = False
        self._start: MessageStart | None = None
        self._end_left = False
        self._watch = Grammar()
        self._upstream_headers: dict[str, str] = {}
        self._prepare()

    @property
    def gateway(self) -> Gateway:
        return self._gateway

    def _prepare(self) -> None:
        """Routes and translates."""
        gateway, record = self._gateway, self.record
        record.route = gateway.route(record.model, lambda: self.request)
        self._upstream = usable(gateway.upstreams[record.route.provider])
        self._same_dialect = self._upstream.provider.dialect.name == self._dialect.name
        self._upstream_request = self._translate(record.route.model)
        record.dropped = self._upstream_request.dropped

    @cached_property
    def request(self) -> Request:
        """What the client asked, in canonical form; for the side door only looked at where something must be said."""
        return self._dialect.parse_request(self._call)

    @cached_property
    def renderer(self) -> Renderer:
        """Says the reply to the client. Made anew for a further try once the start of a failed one has left."""
        return self._dialect.renderer(self._reply_context())

    @property
    def response_headers(self) -> dict[str, str]:
        """What the response's head tells about this exchange."""
        record = self.record
        headers = {"x-request-id": record.id, "request-id": record.id, **self._upstream_headers}
        headers["x-millstream-id"] = record.id
        if record.route is not None:
            headers["x-millstream-model"] = record.route.name
        if record.dropped:
            headers["x-millstream-dropped"] = ",".join(record.dropped)
        return headers

    async def stream(self, client: Client) -> None:
        """Relay the reply as it comes. Raises ``MillstreamError`` only while ``client.started`` is false; later a
        failure ends the stream with the client dialect's own error event."""
        error = await metered(self._gateway, self.record, lambda: self._stream_once(client), lambda: self.request)
        if error is not None:
            await self.fail(client, error)

    async def fail(self, client: Client, error: MillstreamError) -> None:
        """End the reply with ``error``: by raising it, or as an event once the head has left."""
        self.record.error = error
        if not client.started:
            raise error
        if not self.has_ended:
            self._end_left = True
            wait = client.write(self.renderer.render([Fault.of(error)]))
            if wait is not None:
                await wait
        await client.end()

    def keepalive(self) -> bytes:
        """What fills a silence; nothing once the client has heard the end."""
        return b"" if self.has_ended else self.renderer.keepalive()

    @property
    def has_ended(self) -> bool:
        """Whether the reply's one end has left, however long the upstream takes to close."""
        return self._end_left or (self._watch.ended and self._watch.fault is None)

    async def whole(self) -> bytes:
        """The body of a whole reply. Raises ``MillstreamError``."""
        body = b""

        async def once() -> MillstreamError | None:
            nonlocal body
            try:
                body = await (self._forward_whole() if self._same_dialect else self._assemble_whole())
            except MillstreamError as error:
                return error
            return None

        self.record.error = await metered(self._gateway, self.record, once, lambda: self.request)
        if self.record.error is not None:
            raise self.record.error
        return body

    async def _stream_once(self, client: Client) -> MillstreamError | None:
        """One try. The error it ended with, if any; its ``content_sent`` tells whether another try is allowed."""
        try:
            reply = await self._open(stream=True)
        except MillstreamError as error:
            return error
        relay = self._relay()
        self._watch = relay.watch
        try:
            await client.start()
            await self._pump(reply, relay, client)
            if relay.error is None:
                await client.end()
                await drain(reply)
        finally:
            reply.close()
            self._note(relay)
        return relay.error

    async def _pump(self, reply: Reply, relay: Relay, client: Client) -> None:
        """Upstream reads → client writes, until the reply has ended."""
        flow = _Flow(self, relay, client)
        if self._is_whole(reply):
            wait = flow.tell(await take_whole(reply, relay, self._upstream.provider.dialect))
        else:
            try:
                wait = flow.tell(await self._pour(reply, flow, relay))
            finally:
                flow.leave_shortcut()
        if wait is not None:
            await wait

    async def _pour(self, reply: Reply, flow: _Flow, relay: Relay) -> bytes:
        """As ``pour``; but what may follow the end of a reply that passes untouched is not waited for."""
        if isinstance(relay, HubRelay):
            return await pour(reply, flow, relay)
        try:
            async with asyncio.timeout(None) as flow.patience:
                return await pour(reply, flow, relay)
        except TimeoutError:
            return relay.finish()

    def note_progress(self, relay: Relay, out: bytes) -> bool:
        """What is known once ``out`` has left. True when what a stream's beginning tells is all known."""
        watch = relay.watch
        if watch.blocks and self.record.first_content_at is None:
            self.record.first_content_at = self._gateway.now()
        if out:
            self._start_left = self._start_left or watch.state is not State.IDLE
            self._start = self._start or watch.start
            self._end_left = relay.error is not None
        return self._start_left and self.record.first_content_at is not None

    async def _forward_whole(self) -> bytes:
        reply = await self._open(stream=False)
        try:
            body = await reply.read_all(MAX_REPLY_BYTES)
        finally:
            reply.close()
        watch = Grammar()
        watch.advance(self._dialect.parse_reply(body))
        self.record.usage, self.record.finish_reason = watch.usage, watch.finish_reason
        return body

    async def _assemble_whole(self) -> bytes:
        reply = await self._open(stream=True)
        collector = Collector()
        relay = HubRelay(self._upstream.provider.dialect.parser(), collector, self._upstream_request.stop)
        try:
            if self._is_whole(reply):
                await take_whole(reply, relay, self._upstream.provider.dialect)
            else:
                await pour(reply, _Fold(relay), relay)
            if relay.error is None:
                await drain(reply)
        finally:
            reply.close()
            self._note(relay)
        if relay.error is not None:
            raise relay.error
        return self._dialect.render_reply(collector.assembler.reply(), self._reply_context())

    async def _open(self, *, stream: bool) -> Reply:
        """The upstream's answer with its head. Raises the upstream's refusal as ``UpstreamFault``."""
        reply = await open_reply(self._upstream, self._upstream_request, stream=stream)
        if self._same_dialect:
            self._upstream_headers = {
                name: value for name, value in reply.headers.items() if name.startswith(_FORWARDED_HEADERS)
            }
        return reply

    @property
    def stream_type(self) -> str:
        """The content type of the streamed response."""
        return self._dialect.stream_type(self._call)

    def _is_whole(self, reply: Reply) -> bool:
        """An upstream that was asked for a stream sent JSON, where JSON is not the very form of the stream."""
        return is_json(reply) and not (self._same_dialect and self.stream_type == "application/json")

    def _relay(self) -> Relay:
        upstream = self._upstream.provider.dialect
        if self._same_dialect and not self._start_left:
            return SideDoor(upstream.parser, lambda: self.renderer)
        if self._start_left:
            self.__dict__.pop("renderer", None)
        return HubRelay(upstream.parser(), self.renderer, self._upstream_request.stop)

    def _translate(self, model: str) -> UpstreamRequest:
        provider = self._upstream.provider
        # A whole reply in another dialect is a stream, folded: one way to parse, and a client's leaving is noticed.
        stream = self.record.stream if self._same_dialect else True
        target = Target(model, provider.quirks, stream=stream)
        if self._same_dialect:
            return provider.dialect.forward_request(self._call, target)
        refuse_foreign_state(self.request, self._dialect, provider)
        return provider.dialect.render_request(self.request, target)

    def _reply_context(self) -> ReplyContext:
        return ReplyContext(self.record.id, self._began_at, self._understood(), self._start_left, self._start)

    def _understood(self) -> Request:
        """The client's request, or what is certain of it: at the side door only its upstream need understand it."""
        try:
            return self.request
        except ClientFault:
            return Request(self._dialect.name, self.record.model, (), stream=self.record.stream)

    def _note(self, relay: Relay) -> None:
        self.record.usage = relay.watch.usage
        self.record.finish_reason = relay.watch.finish_reason


class _Flow:
    """One reply on its way to a client. ``take`` is what each read of the upstream's socket calls."""

    __slots__ = (
        "_beginning",
        "_client",
        "_exchange",
        "_feed",
        "_record",
        "_relay",
        "_repeats",
        "_watch",
        "_way",
        "_write",
        "done",
        "patience",
        "shortcut",
    )

    def __init__(self, exchange: Exchange, relay: Relay, client: Client) -> None:
        self.done = False
        self.patience: asyncio.Timeout | None = None
        """With what comes once the reply has ended."""
        self.shortcut: Shortcut | None = None
        self._way: Shortcut | None = None
        self._repeats: Repeats | None = None
        self._client = client
        self._exchange = exchange
        self._record = exchange.record
        self._relay = relay
        self._watch = relay.watch
        self._feed = relay.feed
        self._write = client.write
        self._beginning = True

    def take(self, data: bytes) -> Awaitable[None] | None:
        out = self._feed(data)
        self._record.chunks += 1
        if self._beginning or self._watch.ended:
            self.done = self._relay.done
            self._beginning = not self._exchange.note_progress(self._relay, out)
            if self._watch.ended and not self.done:
                self._wait_no_more()
        self.shortcut = self._way_past() if self._relay.by_heart and not self._beginning else None
        return self._write(out) if out else None

    def _way_past(self) -> Shortcut | None:
        """For the next read, if it is like the last."""
        repeats = self._relay.repeats
        if self._way is None or repeats != self._repeats or not self._way.open:
            self.leave_shortcut()
            self._repeats = repeats
            self._way = self._client.shortcut(repeats) if repeats is not None else None
        return self._way

    def leave_shortcut(self) -> None:
        """From now on all reads come here."""
        if self._way is not None:
            self._record.chunks += self._way.taken
            self._way = self.shortcut = None

    def _wait_no_more(self) -> None:
        if self.patience is not None and self.patience.when() is None:
            self.patience.reschedule(asyncio.get_running_loop().time() + DRAIN_S)

    def tell(self, out: bytes) -> Awaitable[None] | None:
        """What was made of the reply's end."""
        self._exchange.note_progress(self._relay, out)
        return self._write(out) if out else None


class _Fold:
    """A reply that nobody reads as it comes: its events are collected by the relay's renderer."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    shortcut = None

    @property
    def done(self) -> bool:
        return self._relay.done

    def take(self, data: bytes) -> None:
        self._relay.feed(data)


async def metered(
    gateway: Gateway,
    record: Record,
    once: Callable[[], Awaitable[MillstreamError | None]],
    request: Callable[[], Request],
) -> MillstreamError | None:
    """As ``_retried``, if the meter lets it in. Raises ``PolicyRefusal`` if not."""
    if gateway.meter is None or record.route is None:
        return await _retried(gateway, record, once)
    try:
        settle = await gateway.meter.admit(record.route, request)
    except MillstreamError as error:
        record.error = error
        raise
    before = record.usage  # of an earlier call for the same client
    try:
        return await _retried(gateway, record, once)
    finally:
        settle(record.usage if record.usage is not before else None, record.first_content_at is not None)


async def _retried(
    gateway: Gateway, record: Record, once: Callable[[], Awaitable[MillstreamError | None]]
) -> MillstreamError | None:
    """``once`` until it succeeds or the policy gives up; the last error, if any."""
    tries = 0
    while True:
        tries += 1
        record.tries += 1
        error = await once()
        if error is None:
            return None
        wait = gateway.retry.wait(error, tries, random.random())  # noqa: S311  # only jitter
        if wait is None:
            return error
        await asyncio.sleep(wait)
