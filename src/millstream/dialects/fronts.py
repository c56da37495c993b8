"""What the protocols of front ends have in common: a run told in parts, since a question to the user ends a response,
and the files that users send.

Render-only dialects build on it; it makes no bytes itself.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

from millstream.core import run_events as app
from millstream.core.errors import ClientFault
from millstream.core.messages import MediaPart, ResultPart, TextPart
from millstream.core.run_events import RunEntry, RunEvent

_DATA_URL = re.compile(r"data:([^;,]*)((?:;[^;,]+)*),(.*)", re.DOTALL)


class Waiting:
    """Which calls of the present turn are open, and which of them wait for an approval."""

    def __init__(self) -> None:
        self.asked: dict[str, app.ApprovalAsked] = {}
        self._calls: set[str] = set()

    def note(self, event: RunEvent) -> bool:
        """True where ``event`` leaves nothing but what waits for approvals."""
        match event:
            case app.StepStart():
                self._calls.clear()
            case app.ToolDetected():
                self._calls.add(event.call_id)
            case app.ApprovalAsked():
                self.asked[event.id] = event
                return self._stuck()
            case app.ApprovalGiven():
                self.asked.pop(event.id, None)
            case app.ToolRunEnd():
                self._calls.discard(event.call_id)
                return self._stuck()
        return False

    def _stuck(self) -> bool:
        return bool(self.asked) and self._calls <= {asked.call_id for asked in self.asked.values()}


class RunView(ABC):
    """One response's part of a run: from its beginning, or (``since``) from the answer to that approval, to its end or
    to where it waits for approvals that ``is_open`` says nobody has given yet.

    Each chunk has a place, ``(number of the entry, place within it)``, which is the same however often it is told.
    """

    def __init__(self, is_open: Callable[[str], bool], since: str | None = None) -> None:
        self.paused = False
        """The part is over, though the run is not."""
        self._is_open = is_open
        self._since = since
        self._held: list[bytes] = []
        self._waiting = Waiting()

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
    def pause(self, asked: Sequence[app.ApprovalAsked], at: int) -> list[bytes]:
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
            return self._unheard(entry, said, stuck=stuck)
        if stuck and any(map(self._is_open, self._waiting.asked)):
            self.paused = True
            said += self.pause(list(self._waiting.asked.values()), entry.at)
        return said

    def _unheard(self, entry: RunEntry, said: list[bytes], *, stuck: bool) -> list[bytes]:
        """What came before the answer has been told already, in the response that ended with the question."""
        event = entry.event
        self._held += said
        if isinstance(event, app.RunEnd) or (isinstance(event, app.ApprovalGiven) and event.id == self._since):
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
