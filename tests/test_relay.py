"""A read that is passed on without an event says what it would have said with one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from matrix import DIALECTS, names, recording

from millstream.core.events import Event
from millstream.core.messages import Request
from millstream.dialects.base import Renderer, RepeatingParser, RepeatingRenderer, ReplyContext
from millstream.relay import HubRelay
from millstream.testing.streams import framewise

CLIENTS = ("anthropic", "openai_chat", "gemini")
UPSTREAMS = ("anthropic", "openai_chat")


class OfEventsOnly:
    """A renderer that has to be given each event."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    def render(self, events: Sequence[Event]) -> bytes:
        return self._renderer.render(events)

    def keepalive(self) -> bytes:
        return self._renderer.keepalive()


def renderer(client: str) -> Renderer:
    request = Request(origin=client, model="m", messages=(), stream=True, include_usage=True)
    return DIALECTS[client].renderer(ReplyContext("reply_1", 1_700_000_000, request))


def relayed(upstream: str, to: Renderer, reads: Sequence[bytes]) -> list[bytes]:
    relay = HubRelay(DIALECTS[upstream].parser(), to)
    return [*map(relay.feed, reads), relay.finish()]


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_every_recording_reads_the_same_without_events(upstream: str, corpus: object) -> None:
    del corpus
    for name, dialect in names():
        if dialect != upstream:
            continue
        reads = framewise(recording(name, upstream).stream)
        for client in CLIENTS:
            expected = relayed(upstream, OfEventsOnly(renderer(client)), reads)
            assert relayed(upstream, renderer(client), reads) == expected, (name, client)


@pytest.mark.parametrize("client", CLIENTS)
def test_repeated_reads_need_no_events(client: str) -> None:
    """Else the test above would compare one way with itself."""
    assert isinstance(renderer(client), RepeatingRenderer)
    assert isinstance(DIALECTS["openai_chat"].parser(), RepeatingParser)
    reads = [
        b'data: {"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"w%d"}}]}\n\n' % number
        for number in range(9)
    ]
    said: list[str] = []
    parser = DIALECTS["openai_chat"].parser()
    assert isinstance(parser, RepeatingParser)
    for read in reads:
        said.append(parser.more(read))
        if not said[-1]:
            parser.feed(read)
    assert said == ["", "", *(f"w{number}" for number in range(2, 9))]
