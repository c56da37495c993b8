"""Reads, or frames of a read, that differ from what came before in a piece of text alone (``core/repeats.py``)."""

from __future__ import annotations

from collections.abc import Sequence

from millstream.core import events as ev
from millstream.core.repeats import Around, Repeated
from millstream.dialects.openai_chat import wire
from millstream.dialects.openai_chat.answer import Answer, Voice


class Known:
    """One shape that an answer's pieces of text have, once it is learnt. It holds while the block it was learnt in is
    open."""

    __slots__ = ("_answer", "_repeated", "_voice", "block")

    def __init__(self) -> None:
        self._repeated = Repeated()
        self._answer: Answer | None = None
        self._voice: Voice = ""
        self.block = 0

    def text_in(self, data: bytes) -> str:
        """The piece of text that ``data`` stands for, heard by its answer; empty if that cannot be told."""
        answer = self._speaking
        if answer is None:
            return ""
        text = self._repeated.text_in(data)
        if text and self._voice == "reasoning":
            answer.hear(text)
        return text

    def events_in(self, payloads: Sequence[bytes]) -> list[ev.Event]:
        """What the first of ``payloads`` give, one event each, up to the first of which that cannot be told; for one
        that has learnt from a payload alone."""
        answer = self._speaking
        if answer is None or not self._repeated.teachable:
            return []
        texts = self._repeated.texts_in(payloads)
        if self._voice == "reasoning":
            for text in texts:
                answer.hear(text)
        delta, block = self._delta, self.block
        return [delta(block, text) for text in texts]

    @property
    def around(self) -> Around | None:
        """What is around each text, while that can be told."""
        answer = self._speaking
        if answer is None:
            return None
        return self._repeated.around(answer.hear if self._voice == "reasoning" else None)

    @property
    def _speaking(self) -> Answer | None:
        answer = self._answer
        if answer is None or answer.block != self.block or answer.voice is not self._voice:
            return None
        return answer

    def event(self, text: str) -> ev.Event:
        return self._delta(self.block, text)

    @property
    def _delta(self) -> type[ev.TextDelta] | type[ev.ReasoningDelta]:
        return ev.ReasoningDelta if self._voice == "reasoning" else ev.TextDelta

    def learn(self, data: bytes, payload: bytes, answers: dict[int, Answer], event: ev.Event) -> None:
        """``data`` was one frame with ``payload`` and gave ``event`` alone: if that was a piece of text, others like it
        will follow."""
        if not isinstance(event, ev.TextDelta | ev.ReasoningDelta) or not self._repeated.teachable:
            return
        piece = wire.only_text(wire.decode_chunk(payload))
        if piece is None:
            self._repeated.miss()
        elif self._repeated.learn(data, *piece):
            self._answer = next(answer for answer in answers.values() if answer.voice and answer.block == event.index)
            self._voice, self.block = self._answer.voice, self._answer.block
            return
        self._answer = None
