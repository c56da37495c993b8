"""Recorded answers: a folder with ``response.sse`` or ``response.json``, such a file alone, or bytes in a scenario."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from millstream.core import events as ev
from millstream.dialects.base import Dialect
from millstream.providers.replay.reading import ScenarioError

_EVENT_STREAM = "text/event-stream"
_RESPONSES = ("response.sse", "response.json")
_OTHER_NAMES = {"openai-chat": "openai_chat", "anthropic-messages": "anthropic", "openai-responses": "openai_responses"}
_HEAD_OF_ITS_OWN = frozenset({"content-length", "transfer-encoding", "connection", "content-encoding", "content-type"})

_SIGNS: tuple[tuple[str, tuple[bytes, ...]], ...] = (
    ("openai_responses", (b'"type":"response.', b'"object":"response"')),
    ("anthropic", (b'"type":"message_start"', b'"type":"message"', b'"type":"error"')),
    ("openai_chat", (b'"chat.completion', b'"choices":')),
    ("gemini", (b'"candidates":', b'"promptFeedback":', b'"usageMetadata":')),
)
"""What is found in each dialect's answers and in no other's."""


class _Meta(msgspec.Struct):
    """``meta.json`` beside a response. ``event_ms`` are the milliseconds from the head to each event."""

    dialect: str | None = None
    http_status: int | None = None
    response_headers: dict[str, str] = {}
    event_ms: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """``dialect`` is None where nothing tells it. ``times`` are seconds from the head to each event."""

    body: bytes
    is_stream: bool
    dialect: str | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = _EVENT_STREAM
    times: tuple[float, ...] | None = None

    def read(self, source: Dialect) -> list[ev.Event]:
        """Its events. Raises ``UpstreamFault`` if they cannot be read."""
        if not self.is_stream:
            return source.parse_reply(self.body)
        parser = source.parser()
        return [*parser.feed(self.body), *parser.finish()]


def is_recording(path: Path) -> bool:
    """Whether ``path`` is a recorded answer rather than a scenario."""
    if path.is_dir():
        return any((path / name).is_file() for name in _RESPONSES)
    return path.is_file() and (path.suffix == ".sse" or path.name == "response.json")


def read_recording(path: Path, dialect: str | None = None) -> Recording:
    """The recording at ``path``; ``dialect`` is whose words it is, if known. Raises ``ScenarioError``."""
    if path.is_dir():
        found = next((path / name for name in _RESPONSES if (path / name).is_file()), None)
        if found is None:
            raise ScenarioError(f"{path}: neither response.sse nor response.json is in this folder")
        path = found
    try:
        meta_path = path.with_name("meta.json")
        known = path.name in _RESPONSES and meta_path.is_file()
        meta = msgspec.json.decode(meta_path.read_bytes(), type=_Meta) if known else _Meta()
        return _recording(path.read_bytes(), path.suffix == ".sse", meta, dialect)
    except OSError as error:
        raise ScenarioError(f"{error.filename}: cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise ScenarioError(f"{path.with_name('meta.json')}: {error}") from error


def recorded_text(text: str, dialect: str | None) -> Recording:
    """Raw bytes that a scenario gives: whole if they are JSON, else a stream."""
    body = text.encode()
    return _recording(body, not text.lstrip().startswith(("{", "[")), _Meta(), dialect)


def _recording(body: bytes, is_stream: bool, meta: _Meta, dialect: str | None) -> Recording:
    name = dialect or meta.dialect
    headers = {name.lower(): value for name, value in meta.response_headers.items()}
    fallback = _EVENT_STREAM if is_stream else "application/json"
    return Recording(
        body=body,
        is_stream=is_stream,
        dialect=_OTHER_NAMES.get(name, name) if name is not None else _sniffed(body),
        status=meta.http_status or 200,
        headers={name: value for name, value in headers.items() if name not in _HEAD_OF_ITS_OWN},
        content_type=headers.get("content-type", fallback),
        times=tuple(ms / 1000 for ms in meta.event_ms) if meta.event_ms is not None else None,
    )


def _sniffed(body: bytes) -> str | None:
    dense = body.replace(b": ", b":")
    return next((name for name, signs in _SIGNS if any(sign in dense for sign in signs)), None)
