"""Stop sequences for upstreams that know none: the reply is ended where the first one begins, as it would have been.

Text that may turn out to be the beginning of a sequence is held back until that is decided; nothing else waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from millstream.core import events as ev


class StopSequences:
    """One stream's events, cut at the first of ``sequences`` in a text. Thoughts and tool calls are not looked at."""

    def __init__(self, sequences: Sequence[str]) -> None:
        self._sequences = tuple(sequence for sequence in sequences if sequence)
        self._held: dict[int, str] = {}
        self._open: dict[int, ev.Event] = {}
        self._stopped = False

    def apply(self, events: Iterable[ev.Event]) -> list[ev.Event]:
        """What of ``events`` may be said. After the end of a cut reply, nothing."""
        said: list[ev.Event] = []
        for event in events:
            if self._stopped:
                break
            match event:
                case ev.TextDelta() if event.index in self._held:
                    self._text(event, said)
                case ev.TextEnd() if event.index in self._held:
                    rest = self._held.pop(event.index)
                    said.extend([ev.TextDelta(event.index, rest)] if rest else [])
                    self._open.pop(event.index, None)
                    said.append(event)
                case _:
                    self._note(event)
                    said.append(event)
        return said

    def _note(self, event: ev.Event) -> None:
        match event:
            case ev.TextStart():
                self._held[event.index] = ""
                self._open[event.index] = ev.TextEnd(event.index)
            case ev.ReasoningStart():
                self._open[event.index] = ev.ReasoningEnd(event.index)
            case ev.ToolCallStart():
                self._open[event.index] = ev.ToolCallEnd(event.index)
            case ev.ReasoningEnd() | ev.ToolCallEnd():
                self._open.pop(event.index, None)
            case _:
                pass

    def _text(self, delta: ev.TextDelta, said: list[ev.Event]) -> None:
        text = self._held[delta.index] + delta.text
        places = [(text.find(sequence), sequence) for sequence in self._sequences]
        # The one that is complete first; of two that end together, the longer.
        found = [(place + len(sequence), place, sequence) for place, sequence in places if place >= 0]
        if found:
            _, place, sequence = min(found)
            if place:
                said.append(ev.TextDelta(delta.index, text[:place], delta.extra))
            said.extend(self._open.values())
            said += [ev.ChoiceEnd(0, "stop_sequence", sequence), ev.Finish()]
            self._stopped = True
            return
        held = max((_overlap(text, sequence) for sequence in self._sequences), default=0)
        self._held[delta.index] = text[len(text) - held :]
        if held < len(text) or delta.extra is not None:
            said.append(ev.TextDelta(delta.index, text[: len(text) - held], delta.extra))


def _overlap(text: str, sequence: str) -> int:
    """How many characters at the end of ``text`` may be the beginning of ``sequence``."""
    for length in range(min(len(sequence) - 1, len(text)), 0, -1):
        if text.endswith(sequence[:length]):
            return length
    return 0
