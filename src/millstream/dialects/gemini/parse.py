"""An upstream's reply → events. One reading for streams, JSON arrays and whole replies.

What makes this API different from the others: a part says by its kind what it is, and nothing says where a block
begins or ends; ``finishReason`` may come in the middle and again, so that only the end of the stream is the end; and
what is said of the whole answer (sources, safety) comes with whatever chunk.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any

import msgspec

from millstream.core import events as ev
from millstream.core.assemble import error_of
from millstream.core.errors import Kind, UpstreamFault
from millstream.core.messages import Usage
from millstream.dialects.base import own_extra
from millstream.dialects.gemini import wire
from millstream.dialects.gemini.answer import Answer
from millstream.dialects.gemini.errors import stream_error
from millstream.dialects.gemini.finish import failure_of
from millstream.dialects.gemini.framing import Framing
from millstream.dialects.gemini.usage import counts_of, usage_of

_decode = msgspec.json.Decoder(wire.Chunk).decode
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_-]")
_MAX_PREFIX = 24
_UNSPECIFIED = ("", "BLOCK_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED")


class GeminiParser:
    """One reply. ``whole``: the bytes are a complete body, which cannot have been cut off."""

    __slots__ = (
        "_answers",
        "_counted",
        "_ended",
        "_framing",
        "_indexes",
        "_prefix",
        "_prompt_feedback",
        "_raw",
        "_started",
        "_usage",
        "_whole",
    )

    def __init__(self, *, whole: bool = False) -> None:
        self._framing = Framing()
        self._answers: dict[int, Answer] = {}
        self._indexes = count()
        self._prefix = ""
        self._started = False
        self._ended = False
        self._whole = whole
        self._usage: wire.UsageMetadata | None = None
        self._counted: Usage | None = None
        self._prompt_feedback = msgspec.Raw()
        self._raw: tuple[bytes, Any] = (b"", None)

    @property
    def pending(self) -> int:
        return self._framing.pending

    def feed(self, data: bytes) -> list[ev.Event]:
        events: list[ev.Event] = []
        if self._ended:
            return events
        try:
            for chunk in self._framing.feed(data):
                self._chunk(chunk, events)
        except UpstreamFault as fault:
            self._fail(fault, events)
        return events

    def finish(self) -> list[ev.Event]:
        events: list[ev.Event] = []
        if self._ended:
            return events
        try:
            self._last_chunks(events)
            self._end(events)
        except UpstreamFault as fault:
            self._fail(fault, events)
        self._ended = True
        return events

    def _fail(self, fault: UpstreamFault, events: list[ev.Event]) -> None:
        self._ended = True
        events.append(ev.Fault.of(fault))

    def _last_chunks(self, events: list[ev.Event]) -> None:
        """What stands at the end without its blank line. If it cannot be read, the rest of it is missing."""
        if self._framing.in_object:
            raise _truncated("in the middle of a chunk")
        for chunk in self._framing.finish():
            try:
                self._chunk(chunk, events)
            except UpstreamFault as fault:
                if fault.kind is Kind.MALFORMED:
                    raise _truncated("in the middle of a chunk") from fault
                raise

    def _chunk(self, data: bytes, events: list[ev.Event]) -> None:
        try:
            chunk = _decode(data)
        except (ValueError, RecursionError) as error:
            if data.strip() == b"[DONE]":
                return
            raise wire.not_json(error) from error
        if chunk.error and wire.given(chunk.error):
            raise stream_error(wire.value_of(chunk.error))
        if not self._started:
            self._start(chunk, data, events)
        finishes = False
        for number, candidate in enumerate(chunk.candidates or ()):
            finishes = candidate.finish_reason is not None
            self._candidate(candidate, number, data, events)
        if chunk.usage_metadata is not None:
            self._count(chunk.usage_metadata, events, last=finishes)
        if chunk.prompt_feedback:
            self._prompt_feedback = chunk.prompt_feedback

    def _start(self, chunk: wire.Chunk, data: bytes, events: list[ev.Event]) -> None:
        """The first chunk that says anything at all; a proxy's ``{}`` says nothing."""
        if not (chunk.candidates or chunk.usage_metadata or chunk.response_id or chunk.prompt_feedback):
            return
        self._started = True
        prefix = chunk.response_id or hashlib.blake2s(data, digest_size=8).hexdigest()
        self._prefix = _NOT_IN_IDS.sub("_", prefix)[:_MAX_PREFIX]
        usage = counts_of(chunk.usage_metadata) if chunk.usage_metadata is not None else None
        self._counted = usage
        extra = own_extra(wire.DIALECT, {"createTime": chunk.create_time} if chunk.create_time else {})
        created = _unix_time(chunk.create_time)
        events.append(ev.MessageStart(chunk.response_id or "", chunk.model_version or "", created, usage, extra))

    def _candidate(self, candidate: wire.Candidate, number: int, data: bytes, events: list[ev.Event]) -> None:
        choice = candidate.index or 0
        answer = self._answers.get(choice)
        if answer is None:
            answer = self._answers[choice] = Answer(choice, self._indexes, self._prefix)
        before = len(events)
        content = candidate.content
        for place, part in enumerate((content.parts if content is not None else None) or ()):
            if part.text and part.thought_signature is None:
                (answer.thought if part.thought else answer.text)(part.text, events)
            else:
                answer.part(part, events, partial(self._whole_part, data, number, place))
        if _says_more(candidate):
            answer.note(candidate)
        if candidate.finish_reason is not None:
            answer.finish = candidate.finish_reason
            answer.finish_message = candidate.finish_message
        elif len(events) > before:
            answer.finish = None

    def _whole_part(self, data: bytes, number: int, place: int) -> Mapping[str, Any]:
        """A part as it came. A chunk is decoded for this once, however many such parts it holds."""
        if self._raw[0] is not data:
            self._raw = (data, wire.value_of(data))
        part: Mapping[str, Any] = self._raw[1]["candidates"][number]["content"]["parts"][place]
        return part

    def _count(self, usage: wire.UsageMetadata, events: list[ev.Event], *, last: bool) -> None:
        """Tokens so far, so that a reply which is broken off can be charged for. The last word comes at the end."""
        counted = counts_of(usage)
        if counted is None and self._usage is not None:
            return
        self._usage = usage
        if counted is not None and counted != self._counted and not last:
            self._counted = counted
            events.append(ev.Usage(counted))

    def _end(self, events: list[ev.Event]) -> None:
        if not self._started:
            raise _truncated("it held nothing")
        feedback = wire.value_of(self._prompt_feedback) if wire.given(self._prompt_feedback) else None
        blocked = _block_reason(feedback)
        if not self._answers and blocked is None:
            raise _truncated("no answer came")
        for answer in self._answers.values():
            if answer.finish is None or (answer.awaits_result and answer.finish == "STOP" and not self._whole):
                raise _truncated("no finishReason came")
        for answer in self._answers.values():
            answer.close(events)
        usage = usage_of(self._usage) if self._usage is not None else None
        if usage is not None:
            events.append(ev.Usage(usage))
        for answer in self._answers.values():
            failure = failure_of(answer.finish or "", answer.finish_message)
            if failure is not None:
                raise failure
        events.extend(answer.end() for answer in self._answers.values())
        own = {"promptFeedback": feedback} if feedback else {}
        if not self._answers:
            events.append(ev.ChoiceEnd(0, "content_filter", extra=own_extra(wire.DIALECT, {"finishReason": blocked})))
        events.append(ev.Finish(own_extra(wire.DIALECT, own)))


def parse_reply(body: bytes) -> list[ev.Event]:
    """A whole reply as the events it would have streamed. Raises ``UpstreamFault`` if it is not one."""
    parser = GeminiParser(whole=True)
    events = [*parser.feed(body), *parser.finish()]
    last = events[-1]
    if isinstance(last, ev.Fault):
        raise error_of(last)
    return events


def _says_more(candidate: wire.Candidate) -> bool:
    return bool(
        candidate.safety_ratings
        or candidate.grounding_metadata
        or candidate.citation_metadata
        or candidate.url_context_metadata
        or candidate.logprobs_result
        or candidate.avg_logprobs
    )


def _truncated(detail: str) -> UpstreamFault:
    return UpstreamFault(f"the upstream's stream was cut off: {detail}", Kind.TRUNCATED)


def _block_reason(feedback: Any) -> str | None:
    reason = feedback.get("blockReason") if isinstance(feedback, Mapping) else None
    return reason if isinstance(reason, str) and reason not in _UNSPECIFIED else None


def _unix_time(written: str | None) -> int | None:
    if not written:
        return None
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
