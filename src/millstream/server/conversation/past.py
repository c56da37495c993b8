"""From a conversation as it is kept to what a model is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from millstream.conversation.turns import Past, Turn, first_kept
from millstream.sessions.history import Answered, Asked, Entry, Summarised


@dataclass(frozen=True, slots=True)
class Said:
    """A turn and the id of its (first) message."""

    id: str
    turn: Turn


def turns_of(entries: Sequence[Entry]) -> list[Said]:
    """Questions with their answers. One that got no answer at all is left out, since it will be asked again; an answer
    in several pieces is one turn."""
    found: list[Said] = []
    asked: Asked | None = None
    for entry in entries:
        if isinstance(entry, Asked):
            asked = entry
        elif isinstance(entry, Answered) and asked is not None and entry.text:
            cut = entry.state != "complete"
            if asked.goes_on and found:
                before = found[-1].turn
                whole = Turn("assistant", before.text + entry.text, before.tokens + entry.tokens, cut)
                found[-1] = Said(found[-1].id, whole)
            elif not asked.goes_on:
                found.append(Said(asked.id, Turn("user", asked.text, asked.tokens)))
                found.append(Said(entry.id, Turn("assistant", entry.text, entry.tokens, cut)))
            asked = None
    return found


def past_of(entries: Sequence[Entry], budget: int, *, go_on: bool = False) -> Past:
    """The newest turns, together at most ``budget`` tokens. ``go_on``: the last answer is to be ended, and so is told
    whatever its size, as if it had not been cut off."""
    said, summary = _since_summary(entries)
    turns = [one.turn for one in said]
    first = first_kept(turns, budget)
    if go_on and turns:
        turns[-1] = msgspec.structs.replace(turns[-1], cut=False)
        first = min(first, max(len(turns) - 2, 0))
    return Past(tuple(turns[first:]), summary)


@dataclass(frozen=True, slots=True)
class Overlong:
    """What is to be summed up: ``turns``, those before message ``before``, after what ``summary`` says."""

    turns: tuple[Turn, ...]
    before: str
    summary: str


def overlong(entries: Sequence[Entry], budget: int) -> Overlong | None:
    """Where the turns since the last summary are more than ``budget`` tokens: all but the newest half of it, and never
    the last question."""
    said, summary = _since_summary(entries)
    turns = [one.turn for one in said]
    if sum(turn.tokens for turn in turns) <= budget:
        return None
    first = min(first_kept(turns, budget // 2), len(turns) - 2)
    return Overlong(tuple(turns[:first]), said[first].id, summary) if first > 0 else None


def _since_summary(entries: Sequence[Entry]) -> tuple[list[Said], str]:
    said = turns_of(entries)
    last = next((entry for entry in reversed(entries) if isinstance(entry, Summarised)), None)
    if last is None:
        return said, ""
    place = next((n for n, one in enumerate(said) if one.id == last.before), 0)
    return said[place:], last.text


def recent_turns(entries: Sequence[Entry], most: int = 6) -> list[Turn]:
    return [said.turn for said in turns_of(entries)[-most:]]
