"""The matrix: every recorded stream, said to each client dialect, and what each SDK that reads the dialect makes of it.

``tests/matrix`` and ``make matrix`` are two ways to run what is here. What may differ, and why, is in ``matrix_why``.
"""

from __future__ import annotations

import functools
import json
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from matrix_why import EVERY_CHUNK_IS_THE_LAST, NEVER_TOLD, NOT_WHOLE, WHY
from node_readers import Split, ToldOfAnError
from oracles import ORACLES
from readers import Reader
from seen import Seen

from millstream.core import events as ev
from millstream.core.errors import UpstreamFault
from millstream.core.messages import Request
from millstream.dialects.base import ReplyContext
from millstream.registry import dialects
from millstream.testing.streams import frame_prefixes

CORPUS = Path(os.environ.get("MILLSTREAM_CORPUS") or Path(__file__).parents[2] / "../shared/corpus").resolve()
DIALECTS = dialects()
UPSTREAMS = {
    "anthropic-messages": "anthropic",
    "openai-chat": "openai_chat",
    "openai-responses": "openai_responses",
    "gemini": "gemini",
}
NEAREST = {
    "stop_sequence": {"stop"},
    "refusal": {"stop", "content_filter"},
    "content_filter": {"refusal", "stop"},
    "pause": {"stop", "length", "tool_calls"},
    "context_window": {"length"},
}
"""Canonical reasons that a reader has no word for are told as one of these."""

BYTEWISE_UP_TO = 8_000
"""Bytes of a reply that is also read byte by byte: an SDK takes about ten microseconds for each."""


class Deviation(NamedTuple):
    """``reason`` None: nobody has explained it. ``field`` is one of ``Seen``, ``error`` or ``cut``."""

    recording: str
    reader: str
    field: str
    said: object
    read: object
    reason: str | None


@dataclass(frozen=True)
class Recording:
    """``expected`` is what the oracle read, None for an error. ``events`` end in a ``Fault`` if it is not whole."""

    name: str
    upstream: str
    stream: bytes
    expected: Seen | None
    events: Sequence[ev.Event]

    @property
    def whole(self) -> bool:
        return not isinstance(self.events[-1], ev.Fault)

    @property
    def tools(self) -> list[str]:
        return sorted({name for name, _ in self.expected.calls if name}) if self.expected else []


def names() -> list[tuple[str, str]]:
    """Every recorded stream: its name and its upstream's dialect. None if there are no recordings here."""
    index = CORPUS / "index.json"
    if not index.is_file():
        return []
    return [
        (entry["path"], UPSTREAMS[entry["dialect"]])
        for entry in json.loads(index.read_text())
        if entry["dialect"] in UPSTREAMS
        and entry["streaming"]
        and entry["status"] == 200
        and (CORPUS / "streams" / entry["path"] / "response.sse").is_file()
    ]


@functools.lru_cache(maxsize=4)
def recording(name: str, upstream: str) -> Recording:
    stream = (CORPUS / "streams" / name / "response.sse").read_bytes()
    return Recording(name, upstream, stream, ORACLES[upstream](stream), parsed(upstream, stream))


def parsed(upstream: str, stream: bytes) -> list[ev.Event]:
    parser = DIALECTS[upstream].parser()
    events: list[ev.Event] = []
    try:
        events += parser.feed(stream)
        events += parser.finish()
    except UpstreamFault as fault:
        events.append(ev.Fault.of(fault))
    return events


def rendered(events: Iterable[ev.Event], client: str) -> bytes:
    request = Request(origin=client, model="m", messages=(), stream=True, include_usage=True)
    renderer = DIALECTS[client].renderer(ReplyContext("reply_1", 1_700_000_000, request))
    return b"".join(renderer.render([event]) for event in events)


@functools.lru_cache(maxsize=16)
def _reply(name: str, upstream: str, client: str) -> bytes:
    return rendered(recording(name, upstream).events, client)


def splits(size: int, seed: int) -> Iterator[Split]:
    """Ways in which a reply of ``size`` bytes may arrive."""
    yield "whole"
    chance = random.Random(seed)  # reproducible, not secret
    yield sorted({chance.randrange(1, size) for _ in range(40)})
    if size <= BYTEWISE_UP_TO:
        yield "bytewise"


def judge(found: Recording, reader: Reader, ways: Iterable[Split] | None = None) -> list[Deviation]:
    """What ``reader`` made of the whole recording, compared with what it says; also explanations that do not hold.

    Raises ``AssertionError`` if the reading depends on how the reply was parted.
    """
    if not found.whole or found.expected is None:
        # What is no whole answer is read by ``judge_cuts``; here its being so must be known.
        known = found.expected is None or found.name in NOT_WHOLE
        fault = isinstance(found.events[-1], ev.Fault)
        if known and fault:
            return []
        return [Deviation(found.name, reader.name, "error", found.expected, found.events[-1], None)]
    body = _reply(found.name, found.upstream, reader.client)
    readings = [_reading(found, reader, body, way) for way in ways or splits(len(body), len(found.name))]
    assert all(reading == readings[0] for reading in readings), "the reading depends on how the reply is parted"
    return _compared(found, reader, readings[0])


def _reading(found: Recording, reader: Reader, body: bytes, way: Split) -> Seen | str:
    try:
        return reader.read(body, way, found.tools)
    except ToldOfAnError as error:
        return str(error)


def _compared(found: Recording, reader: Reader, got: Seen | str) -> list[Deviation]:
    assert found.expected is not None
    wrong = {"error": ("an answer", got)} if isinstance(got, str) else _differences(found.expected, got, reader)
    deviations = [
        Deviation(found.name, reader.name, field, said, read, why(found.name, reader, field, read))
        for field, (said, read) in wrong.items()
    ]
    for (name, who, field), reason in WHY.items():
        holds = field in wrong or field == "cut"
        if name == found.name and who in (reader.name, reader.client, "*") and not holds:
            deviations.append(Deviation(name, reader.name, field, reason, "the explanation no longer holds", None))
    return deviations


def _differences(expected: Seen, got: Seen, reader: Reader) -> dict[str, tuple[object, object]]:
    wrong: dict[str, tuple[object, object]] = {}
    for name in ("text", "reasoning", "calls", "input_tokens", "output_tokens"):
        want, have = getattr(expected, name), getattr(got, name)
        if want != have and not (name.endswith("tokens") and want is None):
            wrong[name] = (want, have)
    stop = expected.stop or ""
    if got.stop not in ({stop} if stop in reader.stops else NEAREST.get(stop, {stop})):
        wrong["stop"] = (expected.stop, got.stop)
    return wrong


def why(name: str, reader: Reader, field: str, read: object = "") -> str | None:
    for who in (reader.name, reader.client, "*"):
        if (name, who, field) in WHY:
            return WHY[name, who, field]
    # That it never tells explains nothing that it does tell.
    return NEVER_TOLD.get((reader.name, field)) if not read else None


def places(stream: bytes, seed: int) -> list[bytes]:
    """``stream`` cut off: everywhere if it is short, else at its last frames, in the middle and at random.

    The parsers alone are cut off everywhere in ``tests/dialects``; an SDK takes milliseconds for each.
    """
    prefixes = list(frame_prefixes(stream))
    if len(prefixes) <= 8:
        return prefixes
    chance = random.Random(seed)  # reproducible, not secret
    chosen = {*range(len(prefixes) - 3, len(prefixes)), len(prefixes) // 2, 0}
    chosen |= {chance.randrange(len(prefixes)) for _ in range(2)}
    return [prefixes[number] for number in sorted(chosen)]


def judge_cuts(found: Recording, reader: Reader, prefixes: Iterable[bytes]) -> list[Deviation]:
    """An answer that was cut off, or failed by itself, must be told as an error, or hold all that the whole one does."""
    if found.name in EVERY_CHUNK_IS_THE_LAST:
        return []
    deviations: list[Deviation] = []
    complete = _reading(found, reader, _reply(found.name, found.upstream, reader.client), "whole")
    if not found.whole and isinstance(complete, Seen):
        deviations.append(_polite(found, reader, complete))
    for prefix in prefixes:
        events = parsed(found.upstream, prefix)
        cut = _reading(found, reader, rendered(events, reader.client), "whole")
        if isinstance(events[-1], ev.Fault):
            polite = isinstance(cut, Seen)
        else:
            polite = not _same(cut, complete)
        if polite:
            deviations.append(_polite(found, reader, cut))
    return deviations


def _polite(found: Recording, reader: Reader, cut: Seen | str) -> Deviation:
    return Deviation(found.name, reader.name, "cut", "an error", cut, why(found.name, reader, "cut"))


def _same(cut: Seen | str, complete: Seen | str) -> bool:
    if isinstance(cut, str) or isinstance(complete, str):
        return isinstance(cut, str) and isinstance(complete, str)
    fields = ("text", "reasoning", "calls", "stop")
    return all(getattr(cut, field) == getattr(complete, field) for field in fields)
