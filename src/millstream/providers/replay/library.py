"""Names → scenarios: those of a folder, and the two that come with millstream."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from millstream.providers.replay.reading import ScenarioError, read_scenario
from millstream.providers.replay.recording import is_recording
from millstream.providers.replay.scenario import Scenario, ScriptedReply

_SUFFIXES = (".toml", ".json", ".sse")


class UnknownNameError(ScenarioError):
    """Nothing has this name."""


@dataclass(frozen=True, slots=True)
class Found:
    """A scenario, the folder its files are named from, and what changes when its file does."""

    scenario: Scenario
    folder: Path
    version: tuple[str, int, int]


class Library:
    """Reads a file when it is first asked for, and again when it has changed."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._read: dict[str, Found] = {}

    def find(self, name: str) -> Found:
        """The scenario or recording ``name``, with or without its suffix; ``a/b`` is in the subfolder ``a``.

        Raises ``UnknownNameError`` that lists what there is, or ``ScenarioError`` for a file that cannot be used.
        """
        for place in self._places():
            for suffix in ("", *_SUFFIXES):
                path = place / f"{name}{suffix}"
                if _is_there(path, place):
                    return self._current(name, path)
        raise UnknownNameError(self._unknown(name))

    def names(self) -> list[str]:
        """Every name that ``find`` knows."""
        found: set[str] = set()
        for place in self._places():
            for path in place.rglob("*"):
                known = is_recording(path) if path.is_dir() else path.suffix in _SUFFIXES
                if known and not (path.is_file() and is_recording(path.parent)):
                    found.add(path.relative_to(place).with_suffix("" if path.is_file() else path.suffix).as_posix())
        return sorted(found)

    def _places(self) -> list[Path]:
        shipped = Path(str(resources.files("millstream.providers.replay").joinpath("scenarios")))
        return [self._folder, shipped] if self._folder is not None else [shipped]

    def _current(self, name: str, path: Path) -> Found:
        stat = path.stat()
        version = (str(path), stat.st_mtime_ns, stat.st_size)
        found = self._read.get(name)
        if found is None or found.version != version:
            found = self._read[name] = Found(load(path), path.parent, version)
        return found

    def _unknown(self, name: str) -> str:
        where = f"in {self._folder}" if self._folder is not None else "here (replay.folder is not set)"
        names = self.names()
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        return f"no scenario or recording {name!r} {where}; {'near it' if near else 'there are'}: " + ", ".join(
            near or names[:20]
        )


def load(path: Path) -> Scenario:
    """The scenario in a file, or the one that only plays the recording at ``path``. Raises ``ScenarioError``."""
    if is_recording(path):
        return Scenario(replies=(ScriptedReply(file=path.name),))
    if path.suffix not in (".toml", ".json"):
        raise ScenarioError(f"{path}: neither a scenario (.toml, .json) nor a recording (.sse, a folder of one)")
    return read_scenario(path)


def _is_there(path: Path, place: Path) -> bool:
    """Whether ``path`` is something to play, and inside ``place`` wherever its links lead: names come from requests."""
    try:
        return path.resolve().is_relative_to(place.resolve()) and (path.is_file() or is_recording(path))
    except (OSError, ValueError):  # a name too long, or with a null byte
        return False
