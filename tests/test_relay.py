"""A read that is passed on without an event says what it would have said with one."""

from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import patch

import pytest
from matrix import DIALECTS, names, recording

from millstream.core.events import Event
from millstream.core.grammar import Grammar
from millstream.core.messages import Request
from millstream.dialects.base import Renderer, RepeatingParser, RepeatingRenderer, ReplyContext
from millstream.relay import HubRelay, SideDoor
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


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_every_recording_passes_the_side_door_and_ends_as_it_did(upstream: str, corpus: object) -> None:
    del corpus
    for name, dialect in names():
        if dialect != upstream:
            continue
        reads = framewise(recording(name, upstream).stream)
        watched, relay = Grammar(), SideDoor(DIALECTS[upstream].parser, lambda: renderer(upstream))
        parser = DIALECTS[upstream].parser()
        passed = b"".join([*map(relay.feed, reads), relay.finish()])
        watched.advance([event for read in reads for event in parser.feed(read)])
        if not watched.ended:
            watched.advance(parser.finish())
        if relay.error is None:
            assert passed == b"".join(reads), name
        assert (relay.watch.state, relay.watch.usage, relay.watch.fault) == (
            watched.state,
            watched.usage,
            watched.fault,
        )


def test_at_the_side_door_repeated_reads_need_no_events() -> None:
    relay = SideDoor(DIALECTS["openai_chat"].parser, lambda: renderer("openai_chat"))
    reads = [
        b'data: {"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"w%d"}}]}\n\n' % number
        for number in range(9)
    ]
    with patch.object(Grammar, "advance", autospec=True, side_effect=Grammar.advance) as advanced:
        assert [relay.feed(read) for read in reads] == reads
    assert advanced.call_count == 2


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
