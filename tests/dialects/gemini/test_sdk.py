"""Google's own SDK reads what is rendered as it reads the recording itself."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest

from millstream.core import events as ev
from millstream.core.assemble import Assembler, events_of
from millstream.core.errors import ClientFault, Kind
from millstream.core.messages import Opaque, ReasoningPart, Request, ToolCallPart
from millstream.dialects.base import ClientCall, ErrorReply, ReplyContext
from millstream.dialects.gemini import DIALECT
from millstream.dialects.gemini.request_in import ALT

genai = pytest.importorskip("google.genai", reason="the package google-genai is not installed")
httpx2 = pytest.importorskip("httpx2", reason="the package httpx2 is not installed")

Read = Callable[..., list[ev.Event]]

NO_REPLY = {"vertex/015-nonstream-gemini-text"}


@dataclass
class Reading:
    """What a program gets out of the SDK's chunks, with the pieces of partial arguments put together."""

    text: str = ""
    thoughts: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    signatures: list[tuple[str, bytes]] = field(default_factory=list)
    media: list[tuple[str | None, int]] = field(default_factory=list)
    server: list[tuple[str, Any]] = field(default_factory=list)
    finish: str | None = None
    usage: dict[str, int] = field(default_factory=dict)
    sources: Any = None
    model: str | None = None
    reply_id: str | None = None

    def take(self, chunk: Any) -> None:
        self.model = chunk.model_version or self.model
        self.reply_id = chunk.response_id or self.reply_id
        if chunk.usage_metadata is not None:
            self.usage = _counts(chunk.usage_metadata)
        for candidate in chunk.candidates or ():
            self.finish = candidate.finish_reason.value if candidate.finish_reason else self.finish
            if candidate.grounding_metadata is not None and candidate.grounding_metadata.grounding_chunks:
                self.sources = candidate.grounding_metadata
            for part in (candidate.content.parts if candidate.content else None) or ():
                self._part(part)

    def _part(self, part: Any) -> None:
        kind = "text"
        if part.function_call is not None:
            kind = "call"
            self._call(part.function_call)
        elif part.text and part.thought:
            self.thoughts += part.text
        elif part.text:
            self.text += part.text
        elif part.inline_data is not None:
            self.media.append((part.inline_data.mime_type, len(part.inline_data.data)))
        for name in ("executable_code", "code_execution_result", "tool_call", "tool_response"):
            if getattr(part, name) is not None:
                kind = name
                self.server.append((name, getattr(part, name)))
        if part.thought_signature is not None:
            self.signatures.append((kind, part.thought_signature))

    def _call(self, call: Any) -> None:
        if call.name:
            self.calls.append((call.name, dict(call.args or {})))
        for piece in call.partial_args or ():
            value: Any = piece.string_value
            if value is None:
                value = piece.number_value if piece.bool_value is None else piece.bool_value
            _put(self.calls[-1][1], piece.json_path, value)


def _put(into: Any, path: str, value: Any) -> None:
    """A slow and plain reading of ``$.a[0].b``: strings of one place are joined."""
    steps = [int(step[1:-1]) if step[0] == "[" else step[1:] for step in re.findall(r"\.\w+|\[\d+\]", path)]
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        if isinstance(into, list) and step == len(into):
            into.append([] if isinstance(following, int) else {} if following is not None else "")
        elif isinstance(into, dict):
            into.setdefault(step, [] if isinstance(following, int) else {} if following is not None else "")
        if following is None:
            into[step] = into[step] + value if isinstance(value, str) else value
        else:
            into = into[step]


def _counts(usage: Any) -> dict[str, int]:
    names = ("prompt", "candidates", "thoughts", "tool_use_prompt", "cached_content", "total")
    return {name: getattr(usage, f"{name}_token_count") or 0 for name in names}


class _Gateway:
    """Google's SDK and the server it talks to, which answers with ``reply`` and keeps what it was ``sent``."""

    def __init__(self) -> None:
        self.reply = ErrorReply(200, b"")
        self.sent = b""
        transport = httpx2.Client(transport=httpx2.MockTransport(self._answer))
        options = genai.types.HttpOptions(base_url="http://gateway", httpx_client=transport)
        self.models = genai.Client(api_key="k", http_options=options).models

    def _answer(self, request: Any) -> Any:
        self.sent = request.content
        return httpx2.Response(self.reply.status, headers=self.reply.headers, content=self.reply.body)


@cache
def _gateway() -> _Gateway:
    return _Gateway()


def _streamed(body: bytes) -> Reading:
    return _taken(_chunks(body))


def _chunks(body: bytes, contents: Any = "x") -> Iterable[Any]:
    _gateway().reply = ErrorReply(200, body, {"content-type": "text/event-stream"})
    chunks: Iterable[Any] = _gateway().models.generate_content_stream(model="m", contents=contents)
    return chunks


def _whole(body: bytes) -> Reading:
    _gateway().reply = ErrorReply(200, body, {"content-type": "application/json"})
    return _taken([_gateway().models.generate_content(model="m", contents="x")])


def _taken(chunks: Iterable[Any]) -> Reading:
    reading = Reading()
    for chunk in chunks:
        reading.take(chunk)
    return reading


def _array(body: bytes) -> Reading:
    """The SDK itself never asks for an array: it is given the elements one by one."""
    return _streamed("".join(f"data: {json.dumps(element)}\n\n" for element in json.loads(body)).encode())


def _read_recording(body: bytes) -> Reading:
    return _array(body) if body.startswith(b"[") else _streamed(body)


@pytest.fixture
def array_context() -> ReplyContext:
    request = Request(origin="gemini", model="gemini-x", messages=(), extra={"gemini": {ALT: "json"}})
    return ReplyContext("reply-1", 1_700_000_000, request)


def _rendered(events: list[ev.Event], context: ReplyContext) -> bytes:
    renderer = DIALECT.renderer(context)
    return b"".join(renderer.render([event]) for event in events)


def test_a_stream_rendered_again_reads_as_the_recording(streamed: Any, read: Read, context: ReplyContext) -> None:
    expected = _read_recording(streamed.body)
    found = _streamed(_rendered(read(streamed.body), context))
    assert (found.model, found.reply_id) == (expected.model or "gemini-x", expected.reply_id or "reply-1")
    found.model, found.reply_id = expected.model, expected.reply_id
    assert found == expected


def test_an_array_rendered_again_reads_as_the_recording(
    streamed: Any, read: Read, context: ReplyContext, array_context: ReplyContext
) -> None:
    events = read(streamed.body)
    assert _array(_rendered(events, array_context)) == _streamed(_rendered(events, context))


def test_a_whole_reply_rendered_again_reads_as_the_recording(whole: Any, context: ReplyContext) -> None:
    if whole.name in NO_REPLY:
        return
    assembler = Assembler()
    assembler.add(DIALECT.parse_reply(whole.body))
    original = _whole(whole.body)
    again = _whole(DIALECT.render_reply(assembler.reply(), context))
    again.model, again.reply_id = original.model, original.reply_id
    assert again == original


def test_a_stream_folded_and_rendered_whole_says_the_same(streamed: Any, read: Read, context: ReplyContext) -> None:
    events = read(streamed.body)
    assembler = Assembler()
    assembler.add(events)
    reply = assembler.reply()
    whole = _whole(DIALECT.render_reply(reply, context))
    assert whole == _streamed(_rendered(events, context))
    assert _streamed(_rendered(events_of(reply), context)) == whole


def test_a_foreign_signature_survives_the_sdk_and_returns_with_its_origin(context: ReplyContext) -> None:
    foreign = Opaque("anthropic", "EqQBCkYIARgCKkBd+ünicode/==")
    events: list[ev.Event] = [
        ev.MessageStart("msg_1", "claude"),
        ev.ReasoningStart(0),
        ev.ReasoningDelta(0, "hm"),
        ev.ReasoningEnd(0, foreign),
        ev.ReasoningStart(1, redacted=Opaque("anthropic", "hidden")),
        ev.ReasoningEnd(1),
        ev.ToolCallStart(2, "toolu_1", "f"),
        ev.ToolCallDelta(2, '{"a":1}'),
        ev.ToolCallEnd(2, Opaque("openai_responses", "enc")),
        ev.ChoiceEnd(0, "tool_calls"),
        ev.Finish(),
    ]
    echoed = [part for chunk in _chunks(_rendered(events, context)) for part in chunk.candidates[0].content.parts]
    list(_chunks(b"", ["go", genai.types.Content(role="model", parts=echoed)]))
    parts = DIALECT.parse_request(ClientCall(_gateway().sent, model="m", stream=True)).messages[1].parts
    thoughts = [part for part in parts if isinstance(part, ReasoningPart)]
    assert [part.signature for part in thoughts if part.signature] == [foreign]
    assert [part.redacted for part in thoughts if part.redacted] == [Opaque("anthropic", "hidden")]
    (call,) = [part for part in parts if isinstance(part, ToolCallPart)]
    assert (call.id, call.name, call.arguments) == ("toolu_1", "f", '{"a":1}')
    assert call.signature == Opaque("openai_responses", "enc")


@pytest.mark.parametrize("finish_first", [True, False])
def test_an_error_in_the_middle_of_a_stream_is_raised_by_the_sdk(context: ReplyContext, finish_first: bool) -> None:
    fault = ev.Fault("upstream", Kind.OVERLOADED, "too busy", 529, retryable=True, retry_after=2.5)
    events: list[ev.Event] = [ev.MessageStart("1", "m")]
    if finish_first:
        events += [ev.TextStart(0), ev.TextDelta(0, "so far")]
    with pytest.raises(genai.errors.ServerError, match="too busy") as raised:
        _streamed(_rendered([*events, fault], context))
    assert raised.value.code == 503
    assert raised.value.status == "UNAVAILABLE"


def test_an_error_response_is_raised_by_the_sdk_with_its_status() -> None:
    _gateway().reply = DIALECT.render_error(ClientFault("no such model", Kind.NOT_FOUND))
    with pytest.raises(genai.errors.ClientError, match="no such model") as raised:
        _gateway().models.generate_content(model="m", contents="x")
    assert (raised.value.code, raised.value.status) == (404, "NOT_FOUND")


def test_keepalives_between_frames_do_not_disturb_the_sdk(context: ReplyContext) -> None:
    renderer = DIALECT.renderer(context)
    events: list[ev.Event] = [
        ev.MessageStart("1", "m"),
        ev.TextStart(0),
        ev.TextDelta(0, "a"),
        ev.TextDelta(0, "b"),
    ]
    end: list[ev.Event] = [ev.TextEnd(0), ev.ChoiceEnd(0, "stop"), ev.Finish()]
    body = renderer.keepalive() * 3
    for event in [*events, *end]:
        body += renderer.render([event]) + renderer.keepalive()
    assert _streamed(body).text == "ab"
