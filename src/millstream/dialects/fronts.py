"""What the protocols of front ends have in common: a run told in parts, since a question to the user ends a response,
and the files that users send.

Render-only dialects build on it; it makes no bytes itself.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

from millstream.core import run_events as app
from millstream.core.errors import ClientFault
from millstream.core.messages import MediaPart, ResultPart, TextPart
from millstream.core.run_events import RunEntry, RunEvent

_DATA_URL = re.compile(r"data:([^;,]*)((?:;[^;,]+)*),(.*)", re.DOTALL)


Question = app.ApprovalAsked | app.InputAsked


class Waiting:
    """Which calls of the present turn are open, and which of them wait for an answer."""

    def __init__(self, *, inputs: bool) -> None:
        """``inputs``: what tools ask while they run counts too."""
        self.asked: dict[str, Question] = {}
        self._inputs = inputs
        self._calls: set[str] = set()

    def note(self, event: RunEvent) -> bool:
        """True where ``event`` leaves nothing but what waits for answers."""
        match event:
            case app.StepStart():
                self._calls.clear()
            case app.ToolDetected():
                self._calls.add(event.call_id)
            case app.InputAsked() if not self._inputs:
                return False
            case app.ApprovalAsked() | app.InputAsked():
                self.asked[event.id] = event
                return self._stuck()
            case app.ApprovalGiven() | app.InputGiven():
                self.asked.pop(event.id, None)
                return self._stuck()
            case app.ToolRunEnd():
                self._calls.discard(event.call_id)
                return self._stuck()
        return False

    def _stuck(self) -> bool:
        return bool(self.asked) and self._calls <= {asked.call_id for asked in self.asked.values()}


class RunView(ABC):
    """One response's part of a run: from its beginning, or (``since``) from the answer to that question, to its end or
    to where it waits for answers that ``is_open`` says nobody has given yet.

    Each chunk has a place, ``(number of the entry, place within it)``, which is the same however often it is told.
    """

    carries_inputs: ClassVar[bool] = False
    """The protocol has a way for a tool to ask while it runs."""

    def __init__(self, is_open: Callable[[str], bool], since: str | None = None) -> None:
        self.paused = False
        """The part is over, though the run is not."""
        self._is_open = is_open
        self._since = since
        self._held: list[bytes] = []
        self._waiting = Waiting(inputs=self.carries_inputs)

    @abstractmethod
    def opening(self) -> list[bytes]:
        """What a response begins with."""

    def reopening(self) -> list[bytes]:
        """What one begins with that goes on from an answer."""
        return self.opening()

    @abstractmethod
    def say(self, entry: RunEntry) -> list[bytes]:
        """One entry. That of the run's start is ``opening``."""

    @abstractmethod
    def pause(self, asked: Sequence[Question], at: int) -> list[bytes]:
        """The end of a response that leaves ``asked`` to the user, at ``at`` (Unix time in ms)."""

    def chunks(self, entries: Sequence[RunEntry]) -> list[tuple[int, int, bytes]]:
        found: list[tuple[int, int, bytes]] = []
        for entry in entries:
            if self.paused:
                break
            said = self._part(entry)
            found += [(entry.number, place, chunk) for place, chunk in enumerate(said)]
        return found

    def _part(self, entry: RunEntry) -> list[bytes]:
        stuck = self._waiting.note(entry.event)
        said = self.say(entry)
        if self._since is not None:
            said = self._unheard(entry, said, stuck=stuck)
            if self._since is not None:
                return said
        open_ones = [asked for asked in self._waiting.asked.values() if stuck and self._is_open(asked.id)]
        if open_ones:
            self.paused = True
            said += self.pause(open_ones, entry.at)
        return said

    def _unheard(self, entry: RunEntry, said: list[bytes], *, stuck: bool) -> list[bytes]:
        """What came before the answer has been told already, in the response that ended with the question."""
        event = entry.event
        self._held += said
        answered = isinstance(event, app.ApprovalGiven | app.InputGiven) and event.id == self._since
        if answered or isinstance(event, app.RunEnd):
            self._since = None
            return [*self.reopening(), *self._held]
        if stuck:
            self.pause(list(self._waiting.asked.values()), entry.at)
            self._held = []
        return []


def file_part(url: str, media_type: str | None, name: str | None, path: str) -> MediaPart:
    """A user's file, by a ``data:`` URL or another. Raises ``ClientFault`` that names ``path``."""
    if not url.startswith("data:"):
        return MediaPart(_kind(media_type), media_type, url=url, name=name)
    found = _DATA_URL.fullmatch(url)
    if found is None or "base64" not in found[2].split(";"):
        raise ClientFault(f"{path}: write a data: URL with ;base64, or one that can be fetched", param=path)
    media_type = media_type or found[1] or None
    return MediaPart(_kind(media_type), media_type, data=found[3], name=name)


def _kind(media_type: str | None) -> Literal["image", "document", "audio", "video"]:
    match (media_type or "").partition("/")[0]:
        case "image":
            return "image"
        case "audio":
            return "audio"
        case "video":
            return "video"
        case _:
            return "document"


def run_and_approval(text: str) -> tuple[str, str | None]:
    """What clients are given as the id of a question, or of a run from there on: ``run~approval``, or a run alone."""
    run_id, mark, approval = text.partition("~")
    return run_id, approval if mark else None


def question_id(run_id: str, approval: str) -> str:
    return f"{run_id}~{approval}"


def shown(content: str | tuple[ResultPart, ...]) -> str:
    """A tool's result, for people."""
    return content if isinstance(content, str) else "\n".join(map(_shown_part, content))


def _shown_part(part: ResultPart) -> str:
    match part:
        case TextPart():
            return part.text
        case MediaPart():
            return f"[{part.media_type or part.kind}]"
        case _:
            return f"[{type(part).__name__.removesuffix('Part')}]"
