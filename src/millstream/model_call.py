"""One call of a model from a canonical request to events, for whoever wants events instead of a client's bytes: agents,
conversations, streams for apps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from millstream.core.errors import MillstreamError
from millstream.core.events import Event, Fault, Finish, MessageStart
from millstream.core.messages import Request
from millstream.dialects.base import Target
from millstream.pipeline import Gateway, Record, metered
from millstream.relay import HubRelay, Relay
from millstream.upstream import drain, is_json, open_reply, pour, refuse_foreign_state, take_whole, usable


class EventSink(Protocol):
    """Where the events of a reply go."""

    def take(self, events: Sequence[Event]) -> Awaitable[None] | None:
        """None: go on. Else to be awaited before the next call: whoever reads at the other end is slow."""
        ...


class ModelCall:
    """One call of a model from a canonical request to events. After it is made: ``run``, once."""

    def __init__(self, gateway: Gateway, request: Request, record: Record, *, continues: bool = False) -> None:
        """Routes and translates ``request``, noting in ``record`` what becomes known. ``continues``: its last message
        is the beginning of the answer.

        Raises ``ClientFault`` or ``PolicyRefusal``.
        """
        self.record = record
        self._gateway = gateway
        self._asked = request
        record.route = gateway.route(request.model, lambda: request)
        self._upstream = usable(gateway.upstreams[record.route.provider])
        provider = self._upstream.provider
        client = gateway.dialects.get(request.origin)
        if client is not None and client.name != provider.dialect.name:
            refuse_foreign_state(request, client, provider)
        target = Target(record.route.model, provider.quirks, stream=True, continues=continues)
        self._request = provider.dialect.render_request(request, target)
        record.dropped = self._request.dropped

    async def run(self, sink: EventSink) -> None:
        """Every event of the reply to ``sink`` as it comes: one ``MessageStart`` however often the upstream had to be
        tried, and exactly one ``Finish`` or ``Fault``. Raises ``MillstreamError`` only while nothing was taken."""
        outlet = _Outlet(sink)
        error = await metered(self._gateway, self.record, lambda: self._once(outlet), lambda: self._asked)
        self.record.error = error
        if error is None or outlet.ended:
            return
        if not outlet.began:
            raise error
        if (wait := sink.take([Fault.of(error)])) is not None:
            await wait

    async def _once(self, outlet: _Outlet) -> MillstreamError | None:
        try:
            reply = await open_reply(self._upstream, self._request, stream=True)
        except MillstreamError as error:
            return error
        dialect = self._upstream.provider.dialect
        relay = HubRelay(dialect.parser(), outlet, self._request.stop)
        flow = _EventFlow(relay, outlet, self.record, self._gateway.now)
        try:
            if is_json(reply):
                await take_whole(reply, relay, dialect)
            else:
                await pour(reply, flow, relay)
            if (wait := flow.taken()) is not None:
                await wait
            if relay.error is None:
                await drain(reply)
        finally:
            reply.close()
            self.record.usage = relay.watch.usage
            self.record.finish_reason = relay.watch.finish_reason
        return relay.error


class _Outlet:
    """The end of a relay where events are wanted, not bytes. Of several tries one start is said."""

    def __init__(self, sink: EventSink) -> None:
        self.began = False
        self.ended = False
        self._sink = sink
        self._wait: Awaitable[None] | None = None

    def render(self, events: Sequence[Event]) -> bytes:
        if self.began:
            events = [event for event in events if not isinstance(event, MessageStart)]
        if events:
            self.began = True
            last = events[-1]
            self.ended = isinstance(last, Finish | Fault)
            if isinstance(last, Fault):  # the relay passes one on only where content came before it
                events = [*events[:-1], msgspec.structs.replace(last, content_sent=True)]
            self._wait = self._sink.take(events)
        return b""

    def keepalive(self) -> bytes:
        return b""

    def slow(self) -> Awaitable[None] | None:
        """What is to be awaited before more is said."""
        wait, self._wait = self._wait, None
        return wait


class _EventFlow:
    """One reply on its way to an ``EventSink``."""

    def __init__(self, relay: Relay, outlet: _Outlet, record: Record, now: Callable[[], float]) -> None:
        self._relay = relay
        self._outlet = outlet
        self._record = record
        self._now = now

    shortcut = None

    @property
    def done(self) -> bool:
        return self._relay.done

    def take(self, data: bytes) -> Awaitable[None] | None:
        self._relay.feed(data)
        self._record.chunks += 1
        return self.taken()

    def taken(self) -> Awaitable[None] | None:
        if self._record.first_content_at is None and self._relay.watch.blocks:
            self._record.first_content_at = self._now()
        return self._outlet.slow()
