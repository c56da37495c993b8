"""What the tests of this dialect share: recordings, ways to split a stream, and short streams written by hand."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from millstream.core.assemble import Assembler
from millstream.core.events import Event
from millstream.core.grammar import Grammar
from millstream.core.messages import Reply, Request
from millstream.dialects.base import ReplyContext
from millstream.dialects.gemini import DIALECT

_CORPUS = Path(os.environ.get("MILLSTREAM_CORPUS") or Path(__file__).parents[3] / "../shared/corpus").resolve()
_NONE = pytest.param(None, marks=pytest.mark.skip(reason="no recordings: set MILLSTREAM_CORPUS"))

Read = Callable[..., list[Event]]


@dataclass(frozen=True)
class Recording:
    name: str
    status: int
    body: bytes

    @property
    def frames(self) -> list[bytes]:
        """A stream's frames, each with its blank line; an array's elements, each with what stands before it."""
        if self.body.startswith(b"["):
            return re.findall(rb"[\[,]?\s*\{.*?\n\}", self.body, re.DOTALL)
        return [frame + b"\r\n\r\n" for frame in self.body.split(b"\r\n\r\n") if frame.strip()]


def _recordings(wanted: str) -> Iterable[Any]:
    index = _CORPUS / "index.json"
    if not index.is_file():
        return [_NONE]
    found = []
    for entry in json.loads(index.read_text()):
        if not entry["dialect"].startswith("gemini"):
            continue
        kind = "failed" if entry["status"] != 200 else "streamed" if entry["streaming"] else "whole"
        if kind == wanted:
            folder = _CORPUS / "streams" / entry["path"]
            body = next(folder.glob("response.*")).read_bytes()
            found.append(pytest.param(Recording(entry["path"], entry["status"], body), id=entry["path"]))
    return found


def _captured() -> Iterable[Any]:
    if not (_CORPUS / "requests").is_dir():
        return [_NONE]
    found = []
    for path in sorted((_CORPUS / "requests").glob("*/*.json")):
        capture = json.loads(path.read_text())
        if "enerateContent" in capture["path"]:
            found.append(pytest.param(capture, id=f"{path.parent.name}/{path.stem}"))
    return found


def _recorded_requests() -> Iterable[Any]:
    if not (_CORPUS / "streams").is_dir():
        return [_NONE]
    paths = sorted(path for provider in ("gemini", "vertex") for path in (_CORPUS / "streams").glob(f"{provider}/*"))
    return [
        pytest.param(json.loads((path / "request.json").read_text()), id=f"{path.parent.name}/{path.name}")
        for path in paths
        if (path / "request.json").is_file()
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for name in ("streamed", "whole", "failed"):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, _recordings(name))
    if "captured" in metafunc.fixturenames:
        metafunc.parametrize("captured", _captured())
    if "recorded_request" in metafunc.fixturenames:
        metafunc.parametrize("recorded_request", _recorded_requests())


def _read(data: bytes, *, size: int = 0, seed: int | None = None, finish: bool = True) -> list[Event]:
    """The events of a stream fed whole, in pieces of ``size``, or at random splits; they obey the grammar."""
    parser = DIALECT.parser()
    pick = random.Random(seed)
    events: list[Event] = []
    at = 0
    while at < len(data):
        step = pick.randint(1, 80) if seed is not None else size or len(data)
        events.extend(parser.feed(data[at : at + step]))
        at += step
    if finish:
        events.extend(parser.finish())
    Grammar().advance(events)
    return events


@pytest.fixture
def read() -> Read:
    return _read


@pytest.fixture
def fold(read: Read) -> Callable[[bytes], Reply]:
    """The reply that a stream folds to."""

    def folded(data: bytes) -> Reply:
        assembler = Assembler()
        assembler.add(read(data))
        return assembler.reply()

    return folded


@pytest.fixture
def sse() -> Callable[..., bytes]:
    """Chunks as Google streams them."""

    def encoded(*chunks: Any, newline: str = "\r\n") -> bytes:
        return "".join(f"data: {json.dumps(chunk)}{newline}{newline}" for chunk in chunks).encode()

    return encoded


@pytest.fixture
def said() -> Callable[..., dict[str, Any]]:
    """A chunk with ``parts``, and perhaps an end."""

    def chunk(*parts: Any, finish: str | None = None, index: int | None = None, **more: Any) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}}
        if finish is not None:
            candidate["finishReason"] = finish
        if index is not None:
            candidate["index"] = index
        whole: dict[str, Any] = {"modelVersion": "gemini-x", "responseId": "R1"}
        for name in ("usageMetadata", "promptFeedback", "createTime"):
            if name in more:
                whole[name] = more.pop(name)
        return {"candidates": [{**candidate, **more}], **whole}

    return chunk


@pytest.fixture
def context() -> ReplyContext:
    return ReplyContext("reply-1", 1_700_000_000, Request(origin="gemini", model="gemini-x", messages=()))
