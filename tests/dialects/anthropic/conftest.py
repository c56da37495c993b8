"""What the tests of this dialect share: recordings, short ways to write streams and requests, and the official SDK."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from anthropic import Anthropic
from anthropic.types.beta import BetaMessage

from millstream.core import events as ev
from millstream.core import messages as msg
from millstream.core.grammar import Grammar
from millstream.dialects.anthropic import DIALECT, AnthropicQuirks
from millstream.dialects.base import ClientCall, ReplyContext, Target, UpstreamRequest
from millstream.testing.streams import parse

_CORPUS = Path(os.environ.get("MILLSTREAM_CORPUS") or Path(__file__).parents[3] / "../shared/corpus").resolve()
_NONE = pytest.param(None, marks=pytest.mark.skip(reason="no recordings: set MILLSTREAM_CORPUS"))

Wire = dict[str, Any]


_BROKEN = {
    "anthropic/044-messages-tool-single-reasoning": "another message in the middle",
    "anthropic/079-messages-error-midstream-handwritten": "Overloaded",
}
"""Recorded streams that end in an error, and what it says."""


@dataclass(frozen=True)
class Recording:
    name: str
    status: int
    body: bytes
    error: str | None = None


def _recordings(wanted: str) -> Iterable[Any]:
    index = _CORPUS / "index.json"
    if not index.is_file():
        return [_NONE]
    found = []
    for entry in json.loads(index.read_text()):
        kind = "failed" if entry["status"] != 200 else "streamed" if entry["streaming"] else "whole"
        error = _BROKEN.get(entry["path"])
        kinds = {kind, "broken" if error else "complete"} if kind == "streamed" else {kind}
        if entry["dialect"] == "anthropic-messages" and wanted in kinds:
            body = next((_CORPUS / "streams" / entry["path"]).glob("response.*")).read_bytes()
            found.append(pytest.param(Recording(entry["path"], entry["status"], body, error), id=entry["path"]))
    return found


def _captured() -> Iterable[Any]:
    """Bodies that real clients sent to ``/v1/messages``, and to its token count."""
    if not (_CORPUS / "requests").is_dir():
        return [_NONE]
    found = []
    for file in sorted((_CORPUS / "requests").glob("*/*.json")):
        captured = json.loads(file.read_text())
        if captured["path"].startswith("/v1/messages"):
            found.append(pytest.param(captured["body"], id=f"{file.parent.name}/{file.stem}"))
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``streamed`` is any recorded stream, ``complete`` and ``broken`` those that end well and those that do not."""
    for name in ("streamed", "complete", "broken", "whole", "failed"):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, list(_recordings(name)))
    if "captured" in metafunc.fixturenames:
        metafunc.parametrize("captured", list(_captured()))


@pytest.fixture(scope="session")
def sse() -> Callable[..., bytes]:
    """Events as a stream."""

    def write(*events: Wire) -> bytes:
        return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)

    return write


@pytest.fixture(scope="session")
def message(sse: Callable[..., bytes]) -> Callable[..., bytes]:
    """A complete stream around ``inner`` events, ended with ``stop_reason``."""

    def write(*inner: Wire, stop_reason: str = "end_turn", **fields: Any) -> bytes:
        start = {"type": "message", "id": "msg_1", "role": "assistant", "model": "claude", "content": []}
        usage = {"input_tokens": 3, "output_tokens": 1}
        end = {"stop_reason": stop_reason, "stop_sequence": None, **fields}
        return sse(
            {"type": "message_start", "message": {**start, "usage": usage}},
            *inner,
            {"type": "message_delta", "delta": end, "usage": {"output_tokens": 9}},
            {"type": "message_stop"},
        )

    return write


@pytest.fixture(scope="session")
def block() -> Callable[..., list[Wire]]:
    """The events of one block, in the wire's words."""

    def write(index: int, start: Wire, *deltas: Wire) -> list[Wire]:
        return [
            {"type": "content_block_start", "index": index, "content_block": start},
            *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
            {"type": "content_block_stop", "index": index},
        ]

    return write


@pytest.fixture(scope="session")
def read() -> Callable[[bytes], list[ev.Event]]:
    """The events of a stream, legal by the grammar, without those that only frame it."""

    def read_stream(stream: bytes) -> list[ev.Event]:
        found = parse(DIALECT, [stream])
        grammar = Grammar()
        grammar.advance(found)
        assert grammar.ended
        return [event for event in found if not isinstance(event, ev.MessageStart | ev.Usage)]

    return read_stream


@pytest.fixture(scope="session")
def context() -> Callable[..., ReplyContext]:
    def make(**fields: Any) -> ReplyContext:
        request = msg.Request("anthropic", "asked-model", (), **fields.pop("request", {}))
        return ReplyContext("msg_ours", 1_700_000_000, request, **fields)

    return make


@pytest.fixture(scope="session")
def render(context: Callable[..., ReplyContext]) -> Callable[..., list[Wire]]:
    """What a client is sent for ``events``: each frame's JSON, whose name must be its type."""

    def render_events(*events: ev.Event, batch: int = 0, **fields: Any) -> list[Wire]:
        Grammar().advance(events)
        renderer = DIALECT.renderer(context(**fields))
        size = batch or max(len(events), 1)
        rendered = b"".join(renderer.render(events[at : at + size]) for at in range(0, len(events), size))
        frames = []
        for frame in rendered.decode().split("\n\n")[:-1]:
            name, data = frame.split("\n")
            frames.append(json.loads(data.removeprefix("data: ")))
            assert name == f"event: {frames[-1]['type']}"
        return frames

    return render_events


@pytest.fixture(scope="session")
def say(render: Callable[..., list[Wire]]) -> Callable[..., list[Wire]]:
    """The same for the inside of a message: block events only."""

    def render_inside(*events: ev.Event, batch: int = 0, **fields: Any) -> list[Wire]:
        message = (ev.MessageStart("msg_1", "m"), *events, ev.ChoiceEnd(0, "stop"), ev.Finish())
        frames = render(*message, batch=batch, **fields)
        return [frame for frame in frames if frame["type"].startswith("content_block")]

    return render_inside


@pytest.fixture(scope="session")
def accumulate() -> Callable[[bytes], BetaMessage]:
    """The message that Anthropic's own SDK makes of a stream."""

    def read_with_sdk(stream: bytes) -> BetaMessage:
        headers = {"content-type": "text/event-stream"}
        transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=stream))
        client = Anthropic(
            api_key="k", base_url="http://sdk.test", max_retries=0, http_client=httpx2.Client(transport=transport)
        )
        turns: Any = [{"role": "user", "content": "x"}]
        with client, client.beta.messages.stream(model="m", max_tokens=9, messages=turns) as events:
            return events.get_final_message()

    return read_with_sdk


@pytest.fixture(scope="session")
def ask() -> Callable[..., msg.Request]:
    """The canonical form of a request with these fields."""

    def parse_fields(**fields: Any) -> msg.Request:
        body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}], **fields}
        return DIALECT.parse_request(ClientCall(json.dumps(body).encode()))

    return parse_fields


@pytest.fixture(scope="session")
def translate() -> Callable[..., tuple[Wire, UpstreamRequest]]:
    """A chat client's canonical request in this API's words: the body, and the whole."""

    def render_request(
        *messages: msg.Message, model: str = "claude-sonnet-5", quirks: AnthropicQuirks | None = None, **fields: Any
    ) -> tuple[Wire, UpstreamRequest]:
        turns = messages or (msg.Message("user", (msg.TextPart("hi"),)),)
        request = msg.Request(fields.pop("origin", "openai_chat"), "asked", turns, **fields)
        rendered = DIALECT.render_request(request, Target(model, quirks or AnthropicQuirks()))
        body: Wire = json.loads(rendered.body)
        return body, rendered

    return render_request


@pytest.fixture(scope="session")
def user() -> Callable[..., msg.Message]:
    return lambda *parts: msg.Message("user", _parts(parts))


@pytest.fixture(scope="session")
def assistant() -> Callable[..., msg.Message]:
    return lambda *parts: msg.Message("assistant", _parts(parts))


def _parts(parts: Sequence[str | msg.Part]) -> tuple[msg.Part, ...]:
    return tuple(msg.TextPart(part) if isinstance(part, str) else part for part in parts)
