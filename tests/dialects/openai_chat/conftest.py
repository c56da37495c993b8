"""What the tests of this dialect share: recordings, captured requests, and short streams written by hand."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from millstream.core import events as ev
from millstream.core.assemble import Assembler
from millstream.core.grammar import Grammar
from millstream.core.messages import Reply, Request, Tool
from millstream.dialects.base import ClientCall, ReplyContext, Target, UpstreamRequest
from millstream.dialects.openai_chat import DIALECT, OpenAIChatQuirks
from millstream.testing.streams import joined

_CORPUS = Path(os.environ.get("MILLSTREAM_CORPUS") or Path(__file__).parents[3] / "../shared/corpus").resolve()
_NONE = pytest.param(None, marks=pytest.mark.skip(reason="no recordings: set MILLSTREAM_CORPUS"))


@dataclass(frozen=True)
class Recording:
    name: str
    status: int
    body: bytes
    headers: dict[str, str]


def _recordings(wanted: str) -> Iterable[Any]:
    index = _CORPUS / "index.json"
    if not index.is_file():
        return [_NONE]
    found = []
    for entry in json.loads(index.read_text()):
        failed = entry["status"] != 200
        kind = "failed" if failed else "streamed" if entry["streaming"] else "whole"
        if entry["dialect"] == "openai-chat" and kind == wanted:
            folder = _CORPUS / "streams" / entry["path"]
            about = json.loads((folder / "meta.json").read_text())
            body = next(folder.glob("response.*")).read_bytes()
            recording = Recording(entry["path"], entry["status"] or 429, body, about.get("response_headers") or {})
            found.append(pytest.param(recording, id=entry["path"]))
    return found


def _requests() -> Iterable[Any]:
    """Every request in this dialect: what clients sent, and what the recorded streams answer."""
    index = _CORPUS / "index.json"
    if not index.is_file():
        return [_NONE]
    chat = [entry["path"] for entry in json.loads(index.read_text()) if entry["dialect"] == "openai-chat"]
    paths = [_CORPUS / "streams" / name / "request.json" for name in chat]
    found = [
        pytest.param(json.loads(path.read_text()), id=f"{path.parent.parent.name}/{path.parent.name}")
        for path in paths
        if path.is_file()
    ]
    for path in sorted((_CORPUS / "requests").glob("*/*.json")):
        capture = json.loads(path.read_text())
        if capture["path"].endswith("/chat/completions"):
            found.append(pytest.param(capture["body"], id=f"{path.parent.name}/{path.stem}"))
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for name in ("streamed", "whole", "failed"):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, _recordings(name))
    if "recorded_request" in metafunc.fixturenames:
        metafunc.parametrize("recorded_request", _requests())


Chunk = dict[str, Any]


@pytest.fixture
def chunk() -> Callable[..., Chunk]:
    """A chunk with one choice."""

    def made(delta: dict[str, Any] | None = None, finish: str | None = None, *, index: int = 0, **more: Any) -> Chunk:
        choice: dict[str, Any] = {"index": index, "delta": delta or {}, "finish_reason": finish}
        for name in ("logprobs", "usage", "stop_reason", "matched_stop", "message", "error"):
            if f"choice_{name}" in more:
                choice[name] = more.pop(f"choice_{name}")
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "m"}
        return {**head, "choices": [choice], **more}

    return made


def _sse(*frames: Chunk | bytes | str) -> bytes:
    """Chunks as ``data:`` frames; bytes as they are."""
    return b"".join(
        frame
        if isinstance(frame, bytes)
        else f"data: {frame if isinstance(frame, str) else json.dumps(frame)}\n\n".encode()
        for frame in frames
    )


@pytest.fixture
def read() -> Callable[..., list[ev.Event]]:
    """The events of a stream, which obey the grammar; neighbouring pieces of text joined."""

    def events_of(*frames: Chunk | bytes | str) -> list[ev.Event]:
        parser = DIALECT.parser()
        events = parser.feed(_sse(*frames)) + parser.finish()
        Grammar().advance(events)
        return joined(events)

    return events_of


@pytest.fixture
def fold(read: Callable[..., list[ev.Event]]) -> Callable[..., Reply]:
    """The reply that a stream folds to. Raises the fault it ends with."""

    def folded(*frames: Chunk | bytes | str) -> Reply:
        assembler = Assembler()
        assembler.add(read(*frames))
        return assembler.reply()

    return folded


@pytest.fixture
def context() -> Callable[..., ReplyContext]:
    """A client that asked for nothing special, except as named."""

    def made(*, usage: bool = False, tools: tuple[Tool, ...] = (), **more: Any) -> ReplyContext:
        request = Request("openai_chat", "asked-for", (), tools=tools, stream=True, include_usage=usage)
        return ReplyContext("reply_1", 1_700_000_001, request, **more)

    return made


@pytest.fixture
def said(context: Callable[..., ReplyContext]) -> Callable[..., list[Chunk]]:
    """The chunks in which events are told to a client, each with its ``data:``; the end is the string ``[DONE]``."""

    def chunks(events: list[ev.Event], **options: Any) -> list[Any]:
        rendered = DIALECT.renderer(context(**options)).render(events)
        frames = rendered.decode().split("\n\n")
        assert frames.pop() == ""
        assert all(frame.startswith("data: ") for frame in frames)
        return [frame[6:] if frame == "data: [DONE]" else json.loads(frame[6:]) for frame in frames]

    return chunks


@pytest.fixture
def parse() -> Callable[..., Request]:
    """A client's body → the request."""

    def parsed(**body: Any) -> Request:
        body.setdefault("model", "m")
        body.setdefault("messages", [{"role": "user", "content": "hi"}])
        return DIALECT.parse_request(ClientCall(json.dumps(body).encode()))

    return parsed


@pytest.fixture
def render() -> Callable[..., UpstreamRequest]:
    def rendered(request: Request, *, model: str = "m", stream: bool = False, **quirks: Any) -> UpstreamRequest:
        return DIALECT.render_request(request, Target(model, OpenAIChatQuirks(**quirks), stream))

    return rendered


@pytest.fixture
def body(render: Callable[..., UpstreamRequest]) -> Callable[..., dict[str, Any]]:
    """The JSON that an upstream with these quirks is sent."""

    def sent(request: Request, **options: Any) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(render(request, **options).body)
        return found

    return sent
