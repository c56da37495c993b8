"""A read that is passed on without an event says what it would have said with one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matrix import DIALECTS, names, recording

from millstream.core.events import Event
from millstream.core.grammar import Grammar
from millstream.core.messages import Request
from millstream.core.repeats import Repeated
from millstream.dialects.base import Parser, Renderer, RepeatingParser, RepeatingRenderer, ReplyContext
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


def chat_frame(delta: dict[str, Any], **choice: Any) -> bytes:
    body = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, **choice}]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


pieces = st.sampled_from(["a", "b c", "\u00e9", 'd"', "\n"])
chat_streams = st.lists(
    st.one_of(
        st.builds(lambda text: chat_frame({"content": text}), pieces),
        st.builds(lambda text: chat_frame({"reasoning_content": text}), pieces),
        st.builds(
            lambda number, text: chat_frame(
                {
                    "tool_calls": [
                        {"index": number, "id": f"call_{number}", "function": {"name": "t", "arguments": text}}
                    ]
                }
            ),
            st.integers(0, 2),
            st.sampled_from(["{", "}", ""]),
        ),
    ),
    max_size=25,
).map(lambda frames: [*frames, chat_frame({}, finish_reason="stop"), b"data: [DONE]\n\n"])


def anthropic_frame(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


_BLOCKS = {
    "text": ({"type": "text", "text": ""}, "text_delta", "text"),
    "thinking": ({"type": "thinking", "thinking": "", "signature": ""}, "thinking_delta", "thinking"),
    "tool_use": ({"type": "tool_use", "id": "t", "name": "t", "input": {}}, "input_json_delta", "partial_json"),
}


def anthropic_stream(blocks: list[tuple[str, list[str]]]) -> list[bytes]:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": {}}
    frames = [anthropic_frame("message_start", message=message)]
    for index, (kind, texts) in enumerate(blocks):
        block, delta, field = _BLOCKS[kind]
        frames.append(anthropic_frame("content_block_start", index=index, content_block=block))
        for text in texts:
            said = {"type": delta, field: text}
            frames.append(anthropic_frame("content_block_delta", index=index, delta=said))
        frames.append(anthropic_frame("content_block_stop", index=index))
    ending = {"stop_reason": "end_turn", "stop_sequence": None}
    return [
        *frames,
        anthropic_frame("message_delta", delta=ending, usage={"output_tokens": 1}),
        anthropic_frame("message_stop"),
    ]


anthropic_streams = st.lists(st.tuples(st.sampled_from(sorted(_BLOCKS)), st.lists(pieces, max_size=6)), max_size=6).map(
    anthropic_stream
)
STREAMS = {"anthropic": anthropic_streams, "openai_chat": chat_streams}


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("client", CLIENTS)
@given(data=st.data())
def test_whatever_alternates_reads_the_same_without_events(client: str, upstream: str, data: st.DataObject) -> None:
    reads = data.draw(STREAMS[upstream])
    said = relayed(upstream, renderer(client), reads)
    assert said == relayed(upstream, OfEventsOnly(renderer(client)), reads)
    with patch.object(Repeated, "text_in", return_value=""):
        assert said == relayed(upstream, renderer(client), reads)


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


class CountedParser:
    """``fed`` are the reads that were looked through."""

    def __init__(self, parser: Parser) -> None:
        self._parser = parser
        self.fed = 0

    def feed(self, data: bytes) -> list[Event]:
        self.fed += 1
        return self._parser.feed(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


def test_at_the_side_door_repeated_reads_need_no_events() -> None:
    parser = CountedParser(DIALECTS["openai_chat"].parser())
    relay = SideDoor(lambda: cast("Parser", parser), lambda: renderer("openai_chat"))
    reads = [
        b'data: {"id":"1","model":"m","choices":[{"index":0,"delta":{"content":"w%d"}}]}\n\n' % number
        for number in range(9)
    ]
    assert [relay.feed(read) for read in reads] == reads
    assert parser.fed == 2


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
