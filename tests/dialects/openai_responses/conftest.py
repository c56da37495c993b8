"""Short ways to say a stream, a request and what became of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from millstream.core import events as ev
from millstream.core.grammar import Grammar
from millstream.core.messages import Request
from millstream.dialects.base import ClientCall, ReplyContext, Target, UpstreamRequest
from millstream.dialects.openai_responses import DIALECT
from millstream.dialects.openai_responses.quirks import ResponsesQuirks
from millstream.testing.streams import parse

Event = dict[str, Any]


@pytest.fixture(scope="session")
def sse() -> Callable[..., bytes]:
    """Events as a stream: numbered, with ``event:`` lines unless ``named`` is false."""

    def write(*events: Event, named: bool = True) -> bytes:
        frames = []
        for number, event in enumerate(events):
            data = json.dumps({**event, "sequence_number": number})
            frames.append(f"event: {event['type']}\ndata: {data}\n\n" if named else f"data: {data}\n\n")
        return "".join(frames).encode()

    return write


@pytest.fixture(scope="session")
def read(sse: Callable[..., bytes]) -> Callable[..., list[ev.Event]]:
    """The events of a stream, legal by the grammar."""

    def read_stream(*events: Event, named: bool = True) -> list[ev.Event]:
        found = parse(DIALECT, [sse(*events, named=named)])
        Grammar().advance(found)
        return found

    return read_stream


@pytest.fixture(scope="session")
def payloads() -> Callable[[bytes], list[Event]]:
    """The JSON of each frame of a stream, whose name must be its type."""

    def split(stream: bytes) -> list[Event]:
        found = []
        for frame in stream.decode().split("\n\n"):
            if not frame:
                continue
            name, data = frame.split("\n")
            event = json.loads(data.removeprefix("data: "))
            assert name == f"event: {event['type']}"
            found.append(event)
        return found

    return split


@pytest.fixture(scope="session")
def asked() -> Callable[..., Request]:
    """A request as a client of this API sends it."""

    def parse_body(**fields: Any) -> Request:
        body = {"model": "m", "input": "hi", **fields}
        return DIALECT.parse_request(ClientCall(json.dumps(body).encode()))

    return parse_body


@pytest.fixture(scope="session")
def said(payloads: Callable[[bytes], list[Event]], asked: Callable[..., Request]) -> Callable[..., list[Event]]:
    """The payloads a client gets for ``events``, given one at a time."""

    def render(events: Sequence[ev.Event], **fields: Any) -> list[Event]:
        Grammar().advance(events)
        renderer = DIALECT.renderer(ReplyContext("resp_own", 1700000000, asked(**fields)))
        return payloads(b"".join(renderer.render([event]) for event in events))

    return render


@pytest.fixture(scope="session")
def sent() -> Callable[..., tuple[Event, UpstreamRequest]]:
    """The body an upstream gets for a canonical request."""

    def render(request: Request, *, stream: bool = False, **quirks: Any) -> tuple[Event, UpstreamRequest]:
        target = Target("upstream-model", ResponsesQuirks(**quirks), stream=stream)
        rendered = DIALECT.render_request(request, target)
        return json.loads(rendered.body), rendered

    return render
