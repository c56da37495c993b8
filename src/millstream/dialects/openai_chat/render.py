"""Events → the chunks of one reply, as OpenAI writes them.

Most events are pieces of text: each is a prefix made once per block, the escaped text, and a suffix. Thinking is said
in ``reasoning_content``, which most clients read; its signature, or what is hidden, in ``reasoning_details``, from
where clients give it back. A fault is a chunk with an ``error`` field, which the official SDKs raise; no ``[DONE]``
follows it, for that says the answer is complete. Tools that a provider ran cannot be said, since a client would run
them: what they found is said as ``annotations`` if it has URLs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, assert_never

import msgspec

from millstream.core import events as ev
from millstream.core.json_field import StringField
from millstream.core.messages import CitationPart, Opaque
from millstream.core.messages import Usage as TokenUsage
from millstream.core.opaque import sign_call_id
from millstream.core.repeats import Around
from millstream.core.sse import comment
from millstream.dialects.base import CUSTOM_TOOL_INPUT, ReplyContext
from millstream.dialects.openai_chat import media, reasoning, wire
from millstream.dialects.openai_chat.answer import AUDIO
from millstream.dialects.openai_chat.calls import LEGACY
from millstream.dialects.openai_chat.errors import fault_body
from millstream.dialects.openai_chat.finish import finish_reason
from millstream.dialects.openai_chat.identity import custom_tools, identity, sources, wants_function_call
from millstream.dialects.openai_chat.usage import usage_out

_encode = msgspec.json.encode
_KIND = "chat.completion.chunk"
_DONE = b"data: [DONE]\n\n"
_KEEPALIVE = comment("keepalive")
_NO_REASON = b',"logprobs":null,"finish_reason":null}]'


_Seldom = (
    ev.MessageStart
    | ev.TextStart
    | ev.TextEnd
    | ev.ReasoningStart
    | ev.ReasoningEnd
    | ev.ToolCallEnd
    | ev.ServerToolResult
    | ev.Media
    | ev.UnknownBlock
    | ev.Citation
    | ev.Usage
    | ev.ChoiceEnd
    | ev.Finish
    | ev.Fault
    | ev.Unknown
)
"""What comes once per block or reply; all other events are pieces."""


class _Block:
    """``before`` and ``after`` stand around the escaped text of a delta. ``said`` counts its characters, ``start`` is
    where a text begins in its choice's content. ``unsaid`` blocks are none of the client's."""

    __slots__ = ("after", "before", "choice", "field", "heard", "said", "start", "thought", "unsaid")

    def __init__(self, choice: int, before: bytes = b"", after: bytes = b"", start: int = 0) -> None:
        self.choice = choice
        self.before = before
        self.after = after
        self.said = 0
        self.start = start
        self.heard: list[str] = []
        self.field: StringField | None = None
        self.thought = False
        self.unsaid = not before

    def hear(self, text: str) -> None:
        """Of a text or of thinking."""
        if self.thought:
            self.heard.append(text)
        else:
            self.said += len(text)


class ChatRenderer:
    """One reply for one client."""

    def __init__(self, context: ReplyContext) -> None:
        self._context = context
        self._custom = custom_tools(context.request)
        self._legacy = wants_function_call(context.request)
        self._with_usage = context.request.include_usage
        self._close = (b',"usage":null' if self._with_usage else b"") + b"}\n\n"
        self._head = b""
        self._usage: TokenUsage | None = None
        self._blocks: dict[int, _Block] = {}
        self._calls: dict[int, int] = {}
        self._lengths: dict[int, int] = {}
        self._sources: dict[int, Iterator[int]] = defaultdict(count)
        self._entries: dict[tuple[int, str], int] = {}

    def keepalive(self) -> bytes:
        """A comment: all clients of this API skip it, and their timers see it."""
        return _KEEPALIVE

    def render(self, events: Sequence[ev.Event]) -> bytes:
        out: list[bytes] = []
        blocks = self._blocks
        for position, event in enumerate(events):
            if isinstance(event, ev.TextDelta):
                block = blocks[event.index]
                block.said += len(event.text)
                if event.extra is None:
                    out += (block.before, _encode(event.text), block.after)
                else:
                    self._text_with_logprobs(block, event, out)
            elif isinstance(event, ev.ReasoningDelta):
                block = blocks[event.index]
                block.heard.append(event.text)
                out += (block.before, _encode(event.text), block.after)
            elif isinstance(event, ev.ToolCallDelta):
                self._arguments(blocks[event.index], event.arguments, out)
            elif isinstance(event, ev.ToolCallStart):
                self._start_call(event, _signature(events, position, event.index), out)
            else:
                self._seldom(event, out)
        return b"".join(out)

    def more(self, index: int, text: str) -> bytes:
        """Fulfils ``dialects.base.RepeatingRenderer``."""
        block = self._blocks[index]
        block.hear(text)
        return b"%b%b%b" % (block.before, _encode(text), block.after)

    def around(self, index: int) -> Around:
        """Fulfils ``dialects.base.RepeatingRenderer``."""
        block = self._blocks[index]
        return Around(block.before, block.after, block.hear)

    def _seldom(self, event: _Seldom, out: list[bytes]) -> None:
        match event:
            case ev.MessageStart():
                self._start(event, out)
            case ev.TextStart():
                self._start_text(event, out)
            case ev.TextEnd():
                block = self._blocks.pop(event.index)
                self._lengths[block.choice] = block.start + block.said
            case ev.ReasoningStart():
                self._start_thought(event, out)
            case ev.ReasoningEnd():
                self._end_thought(event, out)
            case ev.ToolCallEnd():
                self._end_call(self._blocks.pop(event.index), out)
            case ev.Citation():
                self._cite(event, out)
            case ev.ServerToolResult():
                self._found(event, out)
            case ev.Media():
                self._media(event, out)
            case ev.Usage():
                self._usage = event.usage
            case ev.ChoiceEnd():
                self._begin(event.choice, out)
                out.append(self._finish_chunk(event))
            case ev.Finish():
                self._finish(out)
            case ev.Fault():
                out.append(b"data: " + fault_body(event) + b"\n\n")
            case ev.Unknown() if event.origin == wire.NAME and event.name == AUDIO:
                self._spoken(event, out)
            case ev.Unknown() | ev.UnknownBlock():
                pass
            case _:
                assert_never(event)

    def _start(self, start: ev.MessageStart, out: list[bytes]) -> None:
        self._usage = start.usage
        first = self._context.start or start
        fields = identity(self._context, _KIND, first.id, first.model, first.created, first.extra)
        self._head = b"data: " + _encode(fields)[:-1] + b',"choices":['
        if self._context.started:
            self._lengths[0] = 0
        else:
            self._begin(0, out)

    def _begin(self, choice: int, out: list[bytes]) -> None:
        """The first chunk of each choice says whose turn it is."""
        if choice not in self._lengths:
            self._lengths[choice] = 0
            out.append(self._chunk(choice, {"role": "assistant", "content": "", "refusal": None}))

    def _chunk(self, choice: int, delta: dict[str, Any], logprobs: object = None, reason: str | None = None) -> bytes:
        body = {"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        return self._head + _encode(body) + b"]" + self._close

    def _block(self, choice: int, before: bytes, after: bytes) -> _Block:
        """``before`` and ``after``: what stands around the text within ``delta``."""
        opening = self._head + b'{"index":%d,"delta":{' % choice + before
        return _Block(choice, opening, after + b"}" + _NO_REASON + self._close, self._lengths.get(choice, 0))

    def _start_text(self, event: ev.TextStart, out: list[bytes]) -> None:
        self._begin(event.choice, out)
        before = b'"content":' if event.kind == "text" else b'"refusal":'
        self._blocks[event.index] = self._block(event.choice, before, b"")

    def _text_with_logprobs(self, block: _Block, event: ev.TextDelta, out: list[bytes]) -> None:
        field = "refusal" if b'"refusal":' in block.before[-12:] else "content"
        logprobs = {"content": None, "refusal": None, **wire.own(event.extra).get("logprobs", {})}
        has_logprobs = any(value is not None for value in logprobs.values())
        out.append(self._chunk(block.choice, {field: event.text}, logprobs if has_logprobs else None))

    def _start_thought(self, event: ev.ReasoningStart, out: list[bytes]) -> None:
        self._begin(event.choice, out)
        block = self._blocks[event.index] = self._block(event.choice, b'"reasoning_content":', b"")
        block.thought = True
        if event.redacted is not None:
            self._say_details(event.choice, "", None, event.redacted, out)

    def _end_thought(self, event: ev.ReasoningEnd, out: list[bytes]) -> None:
        block = self._blocks.pop(event.index)
        if event.signature is not None:
            self._say_details(block.choice, "".join(block.heard), event.signature, None, out)
        logprobs = wire.own(event.extra).get("logprobs")
        if logprobs:
            out.append(self._chunk(block.choice, {}, logprobs))

    def _say_details(
        self, choice: int, text: str, signature: Opaque | None, redacted: Opaque | None, out: list[bytes]
    ) -> None:
        number = self._entries.get((choice, "reasoning_details"), 0)
        entries = reasoning.details_for_client(text, signature, redacted, number)
        if entries:
            self._entries[choice, "reasoning_details"] = number + len(entries)
            out.append(self._chunk(choice, {"reasoning_details": entries}))

    def _start_call(self, event: ev.ToolCallStart, signature: Opaque | None, out: list[bytes]) -> None:
        number = self._calls.get(event.choice, 0)
        legacy = self._legacy or LEGACY in wire.own(event.extra)
        if event.kind == "server" or (legacy and number):
            self._blocks[event.index] = _Block(event.choice)
            return
        self._begin(event.choice, out)
        self._calls[event.choice] = number + 1
        if legacy:
            out.append(self._chunk(event.choice, {"function_call": {"name": event.name, "arguments": ""}}))
            self._blocks[event.index] = self._block(event.choice, b'"function_call":{"arguments":', b"}")
            return
        call: dict[str, Any] = {"index": number, "id": sign_call_id(event.id, signature)}
        if event.kind == "custom" or event.name in self._custom:
            call |= {"type": "custom", "custom": {"name": event.name, "input": ""}}
            inner = b'"custom":{"input":'
        else:
            call |= {"type": "function", "function": {"name": event.name, "arguments": ""}}
            inner = b'"function":{"arguments":'
        out.append(self._chunk(event.choice, {"tool_calls": [call]}))
        block = self._block(event.choice, b'"tool_calls":[{"index":%d,' % number + inner, b"}}]")
        if event.kind == "custom":
            block.said = 1
        elif event.name in self._custom:
            block.field = StringField(CUSTOM_TOOL_INPUT)
        self._blocks[event.index] = block

    def _arguments(self, block: _Block, text: str, out: list[bytes]) -> None:
        if block.unsaid:
            return
        block.said += len(text)
        if block.field is not None:
            text = block.field.feed(text)
        if text:
            out += (block.before, _encode(text), block.after)

    def _end_call(self, block: _Block, out: list[bytes]) -> None:
        """A call without arguments has those of an empty object: clients parse them as JSON."""
        if block.unsaid:
            return
        rest = block.field.finish() if block.field is not None else "" if block.said else "{}"
        if rest:
            out += (block.before, _encode(rest), block.after)

    def _cite(self, event: ev.Citation, out: list[bytes]) -> None:
        block = self._blocks[event.index]
        part = CitationPart(event.origin, event.data, event.url, event.title, event.cited_text, event.start, event.end)
        annotation = media.annotation_of(part, block.start, block.start + block.said)
        if annotation is not None:
            out.append(self._annotations(block.choice, [annotation]))

    def _found(self, event: ev.ServerToolResult, out: list[bytes]) -> None:
        self._begin(event.choice, out)
        place = self._lengths[event.choice]
        annotations = [
            media.annotation_of(CitationPart(event.origin, {}, url, title), place, place)
            for url, title in sources(event.data)
        ]
        if annotations:
            out.append(self._annotations(event.choice, annotations))

    def _annotations(self, choice: int, annotations: Sequence[dict[str, Any] | None]) -> bytes:
        entries = [annotation for annotation in annotations if annotation is not None]
        return self._chunk(choice, {"annotations": self._numbered(choice, "annotations", entries)})

    def _numbered(self, choice: int, field: str, entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """OpenAI's SDKs join the entries of any list in a delta by their ``index``, and raise without one."""
        first = self._entries.get((choice, field), 0)
        self._entries[choice, field] = first + len(entries)
        return [{**entry, "index": first + number} for number, entry in enumerate(entries)]

    def _media(self, event: ev.Media, out: list[bytes]) -> None:
        delta = media.media_delta(event.media_type, event.data, event.url, wire.own_fields(event.extra))
        if not delta:
            return
        self._begin(event.choice, out)
        if "images" in delta:
            delta["images"] = self._numbered(event.choice, "images", delta["images"])
        out.append(self._chunk(event.choice, delta))

    def _spoken(self, event: ev.Unknown, out: list[bytes]) -> None:
        piece: dict[str, Any] = msgspec.json.decode(event.data)
        self._begin(piece["index"], out)
        out.append(self._chunk(piece["index"], {AUDIO: piece[AUDIO]}))

    def _finish_chunk(self, event: ev.ChoiceEnd) -> bytes:
        reason = finish_reason(event)
        if reason == "tool_calls" and self._legacy:
            reason = "function_call"
        return self._chunk(event.choice, {}, None, reason)

    def _finish(self, out: list[bytes]) -> None:
        if self._with_usage and self._usage is not None:
            out += (self._head, b'],"usage":', _encode(usage_out(self._usage)), b"}\n\n")
        out.append(_DONE)


def _signature(events: Sequence[ev.Event], position: int, index: int) -> Opaque | None:
    """The signature of a call that comes whole in one batch: its id carries it, which has to be said first."""
    for event in events[position + 1 :]:
        if type(event) is ev.ToolCallEnd and event.index == index:
            return event.signature
    return None
