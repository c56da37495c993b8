"""Scripted upstreams: what a scenario file says, and which of its replies answers a request.

A scenario is a TOML or JSON file with a list of replies. Each says when it applies, what it says (canonical content,
raw bytes, or a recording), at which pace and in which pieces, and how it fails. ``docs/replay.md`` is the reference.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from millstream.core.messages import FinishReason


class ScenarioError(Exception):
    """A scenario or recording cannot be used. The message is one line that names the file, the key and the fix."""


class Usage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    input_tokens: int = 12
    output_tokens: int = 24
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class ToolCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``arguments`` as a table, or as the very text a model would write (also a broken one)."""

    name: str
    arguments: dict[str, Any] | str = {}
    id: str | None = None


class When(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that is given must hold. ``request`` counts the requests this scenario has had, from 1."""

    contains: str | None = None
    """Somewhere in the request's body."""
    lacks: str | None = None
    last_role: Literal["user", "assistant", "tool", "system"] | None = None
    tool: str | None = None
    """The request offers a tool of this name."""
    stream: bool | None = None
    request: int | None = None


class Pace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Milliseconds: before the response's head, before the first event, between events."""

    head_ms: Annotated[float, msgspec.Meta(ge=0)] = 0
    first_ms: Annotated[float, msgspec.Meta(ge=0)] = 0
    event_ms: Annotated[float, msgspec.Meta(ge=0)] = 0


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a reply fails. ``after`` counts events, or bytes where ``bytes`` is given instead."""

    kind: Literal["status", "refuse", "cut", "reset", "stall", "corrupt", "error_event"]
    after: Annotated[int, msgspec.Meta(ge=0)] = 0
    bytes: Annotated[int, msgspec.Meta(ge=0)] | None = None
    times: int | None = None
    """Only the first so many requests that this reply answers; None: each."""
    status: int = 500
    retry_after: float | None = None
    headers: dict[str, str] = {}
    body: str | None = None
    seconds: float | None = None
    """How long a ``stall`` lasts; None: until the client leaves."""


class ScriptedReply(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One answer. Content is canonical (``text`` and its like), ``raw`` or a ``file``; only one of the three."""

    when: When = When()
    times: int | None = None
    """It answers so many requests, then the next that applies does."""
    text: str | None = None
    reasoning: str | None = None
    signature: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: FinishReason | None = None
    usage: Usage = Usage()
    words: Annotated[int, msgspec.Meta(ge=1)] = 1
    """Words of text per event."""
    raw: str | None = None
    file: str | None = None
    content_type: str | None = None
    headers: dict[str, str] = {}
    pace: Pace | None = None
    pieces: str | None = None
    fault: Fault | None = None


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``pace`` and ``pieces`` hold for every reply that has none of its own."""

    replies: tuple[ScriptedReply, ...]
    model: str = "replay"
    pace: Pace = Pace()
    pieces: str = "events"
    """``events``, ``whole``, ``bytes:N``, or ``random:SEED``: how a stream is cut into writes."""


def load(path: Path) -> Scenario:
    """A scenario file, or a recording (``.sse``, ``.json`` reply, or a folder with ``response.*``) as one.

    Raises ``ScenarioError``.
    """
    found = _recording(path)
    if found is not None:
        return Scenario(replies=(ScriptedReply(file=str(found)),))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ScenarioError(f"cannot read {path.name}: {error.strerror}") from error
    try:
        tree = tomllib.loads(data.decode()) if path.suffix == ".toml" else msgspec.json.decode(data)
        scenario = msgspec.convert(tree, Scenario)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise ScenarioError(f"{path.name}: {_explained(error)}") from error
    for number, reply in enumerate(scenario.replies):
        _check(path.name, number, reply)
    pieces_of(scenario.pieces)
    return scenario


def pieces_of(text: str) -> tuple[str, int]:
    """How to cut, and its number. Raises ``ScenarioError``."""
    kind, _, number = text.partition(":")
    if kind in ("events", "whole") and not number:
        return kind, 0
    if kind in ("bytes", "random") and number.isdigit() and (kind == "random" or int(number) > 0):
        return kind, int(number)
    raise ScenarioError(f"pieces {text!r}: write events, whole, bytes:N or random:SEED")


def applies(when: When, body: bytes, number: int) -> bool:
    """Whether a request with ``body``, the scenario's ``number``-th, is meant."""
    text = body.decode(errors="replace")
    tree = _object(body)
    return (
        (when.contains is None or when.contains in text)
        and (when.lacks is None or when.lacks not in text)
        and (when.request is None or when.request == number)
        and (when.stream is None or when.stream == bool(tree.get("stream")))
        and (when.last_role is None or when.last_role == last_role(tree))
        and (when.tool is None or f'"name":"{when.tool}"' in text.replace(": ", ":"))
    )


def last_role(tree: dict[str, Any]) -> str:
    """Whose turn the request's history ends with; a message that brings tool results counts as ``tool``."""
    turns = tree.get("messages") or tree.get("contents") or tree.get("input") or []
    last = turns[-1] if isinstance(turns, list) and turns and isinstance(turns[-1], dict) else {}
    brought = msgspec.json.encode(last)
    if any(mark in brought for mark in (b'"tool_result"', b'"functionResponse"', b"_call_output")):
        return "tool"
    role = str(last.get("role", "user"))
    return {"model": "assistant", "developer": "system"}.get(role, role)


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}


def _recording(path: Path) -> Path | None:
    if path.is_dir():
        for name in ("response.sse", "response.json"):
            if (path / name).is_file():
                return path / name
        raise ScenarioError(f"{path.name} is a folder without response.sse or response.json")
    return path if path.suffix == ".sse" or path.name == "response.json" else None


def _check(file: str, number: int, reply: ScriptedReply) -> None:
    said = [name for name in ("raw", "file") if getattr(reply, name) is not None]
    if reply.text is not None or reply.tool_calls or reply.reasoning is not None:
        said.append("text, reasoning or tool_calls")
    only_fails = reply.fault is not None and reply.fault.kind in ("status", "refuse") and reply.fault.times is None
    if len(said) != 1 and not (only_fails and not said):
        problem = f"both {' and '.join(said)}" if said else "nothing to say"
        raise ScenarioError(f"{file}: replies[{number}] has {problem}: give one of text (…), raw or file")
    if reply.pieces is not None:
        pieces_of(reply.pieces)


def _explained(error: Exception) -> str:
    """msgspec's message; for an unknown key with the nearest known one."""
    text = str(error)
    if "unknown field" not in text:
        return text
    name = text.split("`")[1]
    structs = (Scenario, ScriptedReply, When, Pace, Fault, Usage, ToolCall)
    known = [field.name for struct in structs for field in msgspec.structs.fields(struct)]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"{text}; did you mean {near[0]}?" if near else text
