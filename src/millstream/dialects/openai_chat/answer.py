"""One choice of a reply while it comes: what a delta says → blocks.

Nothing says where a block begins or ends. Text, refusal and thinking are one voice: each goes on until another speaks
or a tool is called. Calls are kept apart (``calls.py``). What an upstream writes into its text stays text: ``<think>``
of models served without a reasoning parser, ``</s>`` of older TGI; whether it is the model's or the server's cannot be
told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from millstream.core import events as ev
from millstream.core.messages import CitationPart
from millstream.dialects.base import own_extra
from millstream.dialects.openai_chat import reasoning, wire
from millstream.dialects.openai_chat.calls import Calls
from millstream.dialects.openai_chat.finish import choice_end, failure_of
from millstream.dialects.openai_chat.media import citation_of, data_url

Voice = Literal["text", "refusal", "reasoning", ""]

AUDIO = "audio"
"""Name of the ``Unknown`` events that carry the pieces of a spoken answer, which no other dialect knows."""

_WHOLE_AUDIO = frozenset({"id", "data", "transcript"})


class Answer:
    """``finish_reason``: as the upstream gave it, once it has. ``voice``: whose block is open."""

    __slots__ = (
        "_calls",
        "_citations",
        "_cited",
        "_details",
        "_heard",
        "_indexes",
        "_logprobs",
        "_stopped_at",
        "block",
        "finish_reason",
        "number",
        "voice",
    )

    def __init__(self, number: int, indexes: Iterator[int], reply_id: str) -> None:
        self.number = number
        self.finish_reason: str | None = None
        self._indexes = indexes
        self._calls = Calls(number, indexes, reply_id)
        self.voice: Voice = ""
        self.block = -1
        self._heard: list[str] = []
        self._details = reasoning.Details()
        self._logprobs: list[Mapping[str, Any]] = []
        self._citations: list[CitationPart] = []
        self._cited: set[str] = set()
        self._stopped_at: object = None

    def take(self, choice: wire.Choice, events: list[ev.Event]) -> None:
        """Raises ``UpstreamFault`` where the choice says that it failed."""
        delta = choice.delta
        if delta is None:
            delta = choice.message
        if delta is not None:
            self._delta(delta, choice.logprobs, events)
        if choice.finish_reason:
            self._finish(choice, events)

    def hear(self, thought: str) -> None:
        """More of the open block of thinking."""
        self._heard.append(thought)

    def _finish(self, choice: wire.Choice, events: list[ev.Event]) -> None:
        """The first reason counts: repetitions come with the usage."""
        reason = choice.finish_reason or ""
        fault = failure_of(reason)
        if fault is not None:
            raise fault
        if self.finish_reason is None:
            self.finish_reason = reason
            self._stopped_at = choice.stop_reason if choice.stop_reason is not None else choice.matched_stop
        self.close(events)

    def _delta(self, delta: wire.Delta, logprobs: object, events: list[ev.Event]) -> None:
        thought = delta.reasoning_content or delta.reasoning
        if thought and self.voice == "reasoning" and not delta.reasoning_details:
            self._heard.append(thought)
            events.append(ev.ReasoningDelta(self.block, thought))
        elif thought or delta.reasoning_details:
            self._think(thought or "", delta.reasoning_details, events)
        given = logprobs if logprobs and isinstance(logprobs, dict) and any(logprobs.values()) else None
        content = delta.content
        if content:
            if type(content) is str and self.voice == "text" and given is None:
                events.append(ev.TextDelta(self.block, content))
            else:
                self._say(content, given, events)
        if delta.refusal or delta.annotations or delta.images or delta.audio or delta.function_call is not None:
            self._seldom(delta, given, events)
        if given is not None and not content and not delta.refusal:
            self._odd_logprobs(given, events)
        if delta.tool_calls:
            self._hush(events)
            for call in delta.tool_calls:
                self._calls.take(call, events)

    def _say(self, content: str | list[Any], logprobs: Mapping[str, Any] | None, events: list[ev.Event]) -> None:
        if isinstance(content, str):
            self._speak("text", content, logprobs, events)
            return
        for part in content:
            self._part(part, events)

    def _seldom(self, delta: wire.Delta, logprobs: Mapping[str, Any] | None, events: list[ev.Event]) -> None:
        if delta.refusal:
            self._speak("refusal", delta.refusal, logprobs, events)
        if delta.images or delta.audio:
            self._media(delta, events)
        if delta.annotations:
            self._annotate(delta.annotations, events)
        if delta.function_call is not None:
            self._hush(events)
            self._calls.take_legacy(delta.function_call, events)

    def _think(self, text: str, details: list[Any] | None, events: list[ev.Event]) -> None:
        """Two fields of one delta that say the same are heard once."""
        entries = [entry for entry in details if isinstance(entry, dict)] if details else []
        if entries and not text:
            text = "".join(reasoning.text_of(entry) for entry in entries)
            if self.voice == "reasoning" and text and text == "".join(self._heard):
                # A gateway that repeats the whole thought beside its signature.
                entries = [wire.without(entry, ("text", "summary")) for entry in entries]
                text = ""
        if text:
            if self.voice != "reasoning":
                self._begin("reasoning", events)
            self._heard.append(text)
            events.append(ev.ReasoningDelta(self.block, text))
        if entries:
            self._keep(entries, events)

    def _keep(self, details: list[dict[str, Any]], events: list[ev.Event]) -> None:
        """Entries belong to the thought that is open. Without one, they are hidden thinking by themselves."""
        if self.voice == "reasoning":
            for entry in details:
                self._details.add(entry)
        elif (redacted := reasoning.seal(details)) is not None:
            self._hush(events)
            block = next(self._indexes)
            events += [ev.ReasoningStart(block, self.number, redacted), ev.ReasoningEnd(block)]

    def _begin(self, voice: Voice, events: list[ev.Event]) -> None:
        if self.voice == voice:
            return
        self._hush(events)
        self._calls.close_complete(events)
        self.voice = voice
        self.block = next(self._indexes)
        if voice == "reasoning":
            self._heard.clear()
            events.append(ev.ReasoningStart(self.block, self.number))
        else:
            kind: Literal["text", "refusal"] = "refusal" if voice == "refusal" else "text"
            events.append(ev.TextStart(self.block, self.number, kind))

    def _speak(self, voice: Voice, text: str, logprobs: Mapping[str, Any] | None, events: list[ev.Event]) -> None:
        self._begin(voice, events)
        extra = None if logprobs is None else {wire.NAME: {"logprobs": logprobs}}
        events.append(ev.TextDelta(self.block, text, extra))

    def _odd_logprobs(self, logprobs: Mapping[str, Any], events: list[ev.Event]) -> None:
        """Those of thinking (DeepSeek), or of a token that gave no text of its own."""
        if self.voice == "reasoning":
            self._logprobs.append(logprobs)
        elif self.voice:
            events.append(ev.TextDelta(self.block, "", {wire.NAME: {"logprobs": logprobs}}))

    def _part(self, part: object, events: list[ev.Event]) -> None:
        """Mistral's: thinking is a part of the content, itself made of parts."""
        if isinstance(part, str):
            part = {"type": "text", "text": part}
        if not isinstance(part, dict):
            return
        thinking = part.get("thinking")
        if isinstance(thinking, list):
            text = "".join(wire.string(inner, "text") for inner in thinking if isinstance(inner, dict))
        else:
            text = thinking if isinstance(thinking, str) else wire.string(part, "text")
        if not text:
            return
        if "thinking" in part:
            self._begin("reasoning", events)
            events.append(ev.ReasoningDelta(self.block, text))
        else:
            self._speak("text", text, None, events)

    def _media(self, delta: wire.Delta, events: list[ev.Event]) -> None:
        for image in delta.images or ():
            url = wire.string(wire.mapping(image, "image_url"), "url") if isinstance(image, dict) else ""
            if url:
                self._hush(events)
                media_type, data = data_url(url)
                link = None if data is not None else url
                events.append(ev.Media(next(self._indexes), media_type or "image", data, link, self.number))
        audio = delta.audio
        if audio and audio.keys() >= _WHOLE_AUDIO:
            self._whole_audio(audio, events)
        elif audio:
            events.append(ev.Unknown(wire.NAME, wire.json_text({"index": self.number, "audio": audio}), AUDIO))

    def _whole_audio(self, audio: Mapping[str, Any], events: list[ev.Event]) -> None:
        """Of a whole message. Snowflake's messages all have one, an empty one."""
        if audio["data"]:
            self._hush(events)
            about = {wire.NAME: wire.without(audio, ("data",))}
            events.append(ev.Media(next(self._indexes), AUDIO, audio["data"], None, self.number, extra=about))

    def cite(self, urls: Sequence[object], results: Sequence[object]) -> None:
        """Perplexity's sources, which every chunk repeats. They are said at the end of the text."""
        found = {wire.string(result, "url"): result for result in results if isinstance(result, dict)}
        for url in urls:
            if isinstance(url, str) and url not in self._cited:
                self._cited.add(url)
                about = found.get(url, {"url": url})
                title = wire.string(about, "title") or None
                self._citations.append(CitationPart(wire.NAME, about, url, title))

    def _annotate(self, annotations: Sequence[object], events: list[ev.Event]) -> None:
        """Sources belong to the text that is open; to the next one if they come first."""
        self._citations += [citation_of(annotation) for annotation in annotations if isinstance(annotation, dict)]
        if self.voice == "text":
            self._say_citations(events)

    def _say_citations(self, events: list[ev.Event]) -> None:
        events += [ev.Citation(self.block, **msgspec.structs.asdict(citation)) for citation in self._citations]
        self._citations.clear()

    def _hush(self, events: list[ev.Event]) -> None:
        """End the voice that speaks, if one does."""
        voice, self.voice = self.voice, ""
        if voice == "reasoning":
            extra = own_extra(wire.NAME, {"logprobs": _merged(self._logprobs)} if self._logprobs else {})
            events.append(ev.ReasoningEnd(self.block, self._details.seal(), extra))
            self._logprobs.clear()
        elif voice:
            if self._citations and voice == "text":
                self._say_citations(events)
            events.append(ev.TextEnd(self.block))

    def close(self, events: list[ev.Event]) -> None:
        """End everything that is open."""
        self._hush(events)
        self._calls.close_all(events)

    def end(self) -> ev.ChoiceEnd:
        """After ``close``."""
        return choice_end(self.number, self.finish_reason or "", self._stopped_at, called=self._calls.begun)


def _merged(pieces: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Log probabilities that came in pieces: their lists joined."""
    merged: dict[str, Any] = {}
    for piece in pieces:
        for name, value in piece.items():
            merged[name] = [*(merged.get(name) or ()), *value] if isinstance(value, list) else value
    return merged
