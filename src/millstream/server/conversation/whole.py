"""A model asked for its whole reply at once: what is left where its stream does not work."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from millstream.core.events import Event
from millstream.core.messages import Request
from millstream.dialects.base import Target
from millstream.model_call import EventSink
from millstream.pipeline import Gateway, Record
from millstream.relay import HubRelay
from millstream.upstream import open_reply, take_whole, usable


async def whole_call(gateway: Gateway, request: Request, record: Record, sink: EventSink) -> None:
    """All events of the reply to ``sink``, once they are all there. Raises ``MillstreamError`` before any."""
    record.route = gateway.route(request.model, lambda: request)
    upstream = usable(gateway.upstreams[record.route.provider])
    provider = upstream.provider
    request = msgspec.structs.replace(request, stream=False, include_usage=False)
    asked = provider.dialect.render_request(request, Target(record.route.model, provider.quirks, stream=False))
    record.tries += 1
    reply = await open_reply(upstream, asked, stream=False)
    events = _Events()
    relay = HubRelay(provider.dialect.parser(), events, asked.stop)
    try:
        await take_whole(reply, relay, provider.dialect)
    finally:
        reply.close()
    if relay.error is not None:
        raise relay.error
    record.usage, record.finish_reason = relay.watch.usage, relay.watch.finish_reason
    record.first_content_at = gateway.now()
    if (wait := sink.take(events.all)) is not None:
        await wait


class _Events:
    """A renderer that keeps events instead of saying them."""

    def __init__(self) -> None:
        self.all: list[Event] = []

    def render(self, events: Sequence[Event]) -> bytes:
        self.all += events
        return b""

    def keepalive(self) -> bytes:
        return b""
