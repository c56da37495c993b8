"""One candidate while it arrives: the block that is open, and what is known of the whole answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from millstream.core import events as ev
from millstream.core.errors import Kind, UpstreamFault
from millstream.core.messages import Extra, Opaque
from millstream.dialects.base import own_extra
from millstream.dialects.gemini import wire
from millstream.dialects.gemini.arguments import PartialArguments
from millstream.dialects.gemini.calls import NO_ID
from millstream.dialects.gemini.finish import reason_of
from millstream.dialects.gemini.grounding import citations_of
from millstream.dialects.gemini.parts_in import BARE, CODE_PART, CODE_TOOL, TYPE

_ORIGIN = wire.DIALECT
_ID_IS_OURS: Extra = {_ORIGIN: {NO_ID: True}}
_THOUGHT: Extra = {_ORIGIN: {"thought": True}}


class Answer:
    """``indexes`` numbers the blocks of all answers of a reply; ``prefix`` begins the ids that we make up.

    ``finish`` is the last ``finishReason``, forgotten when more content follows; ``awaits_result`` says that code was
    written whose result has not come yet.
    """

    __slots__ = (
        "_calls",
        "_choice",
        "_code_id",
        "_facts",
        "_for_client",
        "_grounding",
        "_index",
        "_indexes",
        "_kind",
        "_partial",
        "_pieces",
        "_prefix",
        "_recited",
        "_signature",
        "_told",
        "awaits_result",
        "finish",
        "finish_message",
    )

    def __init__(self, choice: int, indexes: Iterator[int], prefix: str) -> None:
        self._choice = choice
        self._indexes = indexes
        self._prefix = prefix
        self._kind: Literal["", "text", "reasoning", "call"] = ""
        self._index = 0
        self._signature: Opaque | None = None
        self._pieces: list[str] = []
        self._partial: PartialArguments | None = None
        self._calls = 0
        self._for_client = False
        self._code_id = ""
        self._grounding: Any = None
        self._recited: list[Any] = []
        self._told = 0
        self._facts: dict[str, Any] = {}
        self.awaits_result = False
        self.finish: str | None = None
        self.finish_message: str | None = None

    def text(self, text: str, events: list[ev.Event]) -> None:
        if self._kind != "text" or self._signature is not None:
            self._open_text(events)
        self._pieces.append(text)
        events.append(ev.TextDelta(self._index, text))

    def thought(self, text: str, events: list[ev.Event]) -> None:
        if self._kind != "reasoning" or self._signature is not None:
            self._open_thought(events)
        events.append(ev.ReasoningDelta(self._index, text))

    def part(self, part: wire.Part, events: list[ev.Event], whole: Callable[[], Mapping[str, Any]]) -> None:
        """Any part. ``whole`` gives it as it came, for what is passed on unread."""
        signature = Opaque(_ORIGIN, part.thought_signature) if part.thought_signature else None
        if part.function_call is not None:
            self._function(part.function_call, signature, events)
        elif part.inline_data is not None or part.file_data is not None:
            self._media(part, signature, events)
        elif part.executable_code is not None:
            self._code(part.executable_code, signature, events)
        elif part.tool_call is not None:
            self._server_call(part.tool_call, signature, events)
        elif part.code_execution_result is not None:
            result = part.code_execution_result
            self.awaits_result = False
            self._result(result.id or self._code_id, whole(), result.output, events)
        elif part.tool_response is not None:
            self._result(part.tool_response.id or "", whole(), None, events)
        elif part.text is not None or signature is not None:
            self._signed_text(part, signature, events)
        else:
            self._unknown(whole(), events)

    def note(self, candidate: wire.Candidate) -> None:
        """What a chunk says of the whole answer. Of most facts the last one counts; recited sources add up."""
        facts = self._facts
        if wire.given(candidate.grounding_metadata):
            self._grounding = wire.value_of(candidate.grounding_metadata) or self._grounding
        if wire.given(candidate.citation_metadata):
            metadata = wire.value_of(candidate.citation_metadata)
            cited = metadata.get("citations") if isinstance(metadata, Mapping) else None
            self._recited.extend(cited if isinstance(cited, list) else ())
        if wire.given(candidate.safety_ratings):
            facts["safetyRatings"] = candidate.safety_ratings
        if wire.given(candidate.url_context_metadata):
            facts["urlContextMetadata"] = candidate.url_context_metadata
        if wire.given(candidate.avg_logprobs):
            facts["avgLogprobs"] = candidate.avg_logprobs
        if wire.given(candidate.logprobs_result):
            facts.setdefault("logprobsResult", []).append(candidate.logprobs_result)

    def close(self, events: list[ev.Event]) -> None:
        """End the open block, if there is one."""
        match self._kind:
            case "text":
                self._cite(events)
                events.append(ev.TextEnd(self._index, self._signature))
            case "reasoning":
                events.append(ev.ReasoningEnd(self._index, self._signature))
            case "call":
                if self._partial is not None:
                    events.append(ev.ToolCallDelta(self._index, self._partial.end()))
                    self._partial = None
                events.append(ev.ToolCallEnd(self._index, self._signature))
        self._kind = ""
        self._signature = None

    def end(self) -> ev.ChoiceEnd:
        """After ``close``, when the stream has ended with a ``finish``."""
        written = self.finish or "STOP"
        own: dict[str, Any] = {} if written == "STOP" else {"finishReason": written}
        if self.finish_message is not None:
            own["finishMessage"] = self.finish_message
        if self._grounding:
            own["groundingMetadata"] = self._grounding
        if self._recited:
            own["citationMetadata"] = {"citations": self._recited}
        for name, raw in self._facts.items():
            own[name] = _joined(raw) if isinstance(raw, list) else wire.value_of(raw)
        reason = reason_of(written, called=self._for_client)
        return ev.ChoiceEnd(self._choice, reason, extra=own_extra(_ORIGIN, own))

    def _open_text(self, events: list[ev.Event]) -> None:
        self.close(events)
        self._index = next(self._indexes)
        self._kind = "text"
        self._pieces = []
        events.append(ev.TextStart(self._index, self._choice))

    def _open_thought(self, events: list[ev.Event]) -> None:
        self.close(events)
        self._index = next(self._indexes)
        self._kind = "reasoning"
        events.append(ev.ReasoningStart(self._index, self._choice))

    def _signed_text(self, part: wire.Part, signature: Opaque | None, events: list[ev.Event]) -> None:
        """A signature belongs to the text it comes with, or to the text before it if it comes with none."""
        if part.text:
            (self.thought if part.thought else self.text)(part.text, events)
        elif signature is None:
            return
        elif part.thought and (self._kind != "reasoning" or self._signature is not None):
            self._open_thought(events)
        elif not part.thought and (self._kind != "text" or self._signature is not None):
            self._open_text(events)
        self._signature = signature

    def _function(self, call: wire.FunctionCall, signature: Opaque | None, events: list[ev.Event]) -> None:
        """A whole call, or with ``willContinue`` the beginning or more of one, which a part without it ends."""
        if call.name:
            self._begin_call(call, signature, events)
        elif self._kind != "call":
            if wire.given(call.args) or call.partial_args:
                raise UpstreamFault("the upstream sent arguments of a call without a name", Kind.MALFORMED)
            return
        elif signature is not None:
            self._signature = signature
        if wire.given(call.args) and self._partial is not None and self._partial.untouched:
            events.append(ev.ToolCallDelta(self._index, wire.text_of(call.args)))
            self._partial = None
        elif call.partial_args and self._partial is not None:
            text = self._partial.add(call.partial_args)
            if text:
                events.append(ev.ToolCallDelta(self._index, text))
        if not call.will_continue:
            self.close(events)

    def _begin_call(self, call: wire.FunctionCall, signature: Opaque | None, events: list[ev.Event]) -> None:
        self.close(events)
        self._index = next(self._indexes)
        self._kind = "call"
        self._signature = signature
        self._partial = PartialArguments()
        self._for_client = True
        extra = None if call.id else _ID_IS_OURS
        events.append(ev.ToolCallStart(self._index, self._call_id(call.id), call.name or "", self._choice, extra=extra))

    def _call_id(self, given: str | None) -> str:
        """One of our own is unlike any of an earlier reply, since clients keep ids for a whole session."""
        self._calls += 1
        suffix = f"{self._choice}_{self._calls}" if self._choice else str(self._calls)
        return given or f"call_{self._prefix}_{suffix}"

    def _code(self, code: wire.ExecutableCode, signature: Opaque | None, events: list[ev.Event]) -> None:
        self._code_id = self._call_id(code.id)
        self.awaits_result = True
        written = {name: value for name in ("language", "code") if (value := getattr(code, name)) is not None}
        arguments = msgspec.json.encode(written).decode()
        self._server_tool(self._code_id, CODE_TOOL, arguments, _kind(CODE_PART, code.id), signature, events)

    def _server_call(self, call: wire.ServerToolUse, signature: Opaque | None, events: list[ev.Event]) -> None:
        kind = call.tool_type or "TOOL_TYPE_UNSPECIFIED"
        has_args = wire.given(call.args)
        extra = _kind(kind, call.id, bare=not has_args)
        arguments = wire.text_of(call.args) if has_args else "{}"
        self._server_tool(self._call_id(call.id), kind.lower(), arguments, extra, signature, events)

    def _server_tool(
        self,
        call_id: str,
        name: str,
        arguments: str,
        extra: Extra | None,
        signature: Opaque | None,
        events: list[ev.Event],
    ) -> None:
        self.close(events)
        index = next(self._indexes)
        events.append(ev.ToolCallStart(index, call_id, name, self._choice, "server", extra))
        events.append(ev.ToolCallDelta(index, arguments))
        events.append(ev.ToolCallEnd(index, signature))

    def _result(self, call_id: str, data: Mapping[str, Any], text: str | None, events: list[ev.Event]) -> None:
        self.close(events)
        events.append(ev.ServerToolResult(next(self._indexes), _ORIGIN, call_id, data, self._choice, text))

    def _media(self, part: wire.Part, signature: Opaque | None, events: list[ev.Event]) -> None:
        self.close(events)
        blob, file = part.inline_data, part.file_data
        media_type = (blob or file or wire.Blob()).mime_type or "application/octet-stream"
        data = (blob.data or "") if blob is not None else None
        url = file.file_uri if blob is None and file is not None else None
        extra = _THOUGHT if part.thought else None
        events.append(ev.Media(next(self._indexes), media_type, data, url, self._choice, signature, extra))

    def _unknown(self, data: Mapping[str, Any], events: list[ev.Event]) -> None:
        if data:
            self.close(events)
            events.append(ev.UnknownBlock(next(self._indexes), _ORIGIN, data, self._choice))

    def _cite(self, events: list[ev.Event]) -> None:
        """Sources known by the end of a text block stand in it; those that come later only at the answer's end."""
        recited = self._recited[self._told :]
        if self._grounding or recited:
            events.extend(citations_of(self._index, "".join(self._pieces), self._grounding, recited))
            self._told = len(self._recited)


def _kind(kind: str, given_id: str | None, *, bare: bool = False) -> Extra:
    marks = {TYPE: kind, NO_ID: not given_id, BARE: bare}
    return {_ORIGIN: {name: value for name, value in marks.items() if value}}


def _joined(pieces: list[Any]) -> dict[str, Any]:
    """Log probabilities come with the text they are of: their lists make one."""
    joined: dict[str, Any] = {}
    for piece in pieces:
        value = wire.value_of(piece)
        for name, part in (value if isinstance(value, Mapping) else {}).items():
            if isinstance(part, list):
                joined.setdefault(name, []).extend(part)
            else:
                joined[name] = part
    return joined
