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
from millstream.testing.streams import frame_prefixes, joined

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

BYTEWISE_UP_TO = 5_000
"""Bytes of a reply that is also read byte by byte: an SDK takes about ten microseconds for each."""

CUT_EVERYWHERE_UP_TO = 8
"""Frames of a recording."""


class Deviation(NamedTuple):
    """``reason`` None: nobody has explained it. ``field`` is one of ``Seen``, ``error`` or ``cut``."""

    recording: str
    reader: str
    field: str
    said: object
    read: object
    reason: str | None


@dataclass(frozen=True, eq=False)
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
def _reply(found: Recording, client: str) -> bytes:
    return rendered(found.events, client)


def splits(size: int) -> Iterator[Split]:
    """Ways in which a reply of ``size`` bytes may arrive."""
    yield "whole"
    chance = random.Random(size)  # reproducible, not secret
    yield sorted({chance.randrange(1, size) for _ in range(40)})
    if size <= BYTEWISE_UP_TO:
        yield "bytewise"


def judge(found: Recording, reader: Reader) -> list[Deviation]:
    """What ``reader`` made of the whole recording, compared with what it says; also explanations that do not hold.

    Raises ``AssertionError`` if the reading depends on how the reply was parted.
    """
    if not found.whole or found.expected is None:
        # How it is told is for ``judge_cuts``; here it must be known that it is no whole answer.
        if not found.whole and (found.expected is None or found.name in NOT_WHOLE):
            return []
        return [Deviation(found.name, reader.name, "error", found.expected, found.events[-1], None)]
    body = _reply(found, reader.client)
    readings = [_reading(found, reader, body, way) for way in splits(len(body))]
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


@functools.lru_cache(maxsize=4)
def _cuts(found: Recording) -> list[list[ev.Event]]:
    """The events of the recording cut off: everywhere if it is short, else at its last frames, in the middle and at
    random. The parsers alone are cut off everywhere in ``tests/dialects``; an SDK takes milliseconds for each, most of
    them for the number of deltas, which are therefore joined here.
    """
    prefixes = list(frame_prefixes(found.stream))
    chosen = set(range(len(prefixes)))
    if len(prefixes) > CUT_EVERYWHERE_UP_TO:
        chance = random.Random(found.name)  # reproducible, not secret
        last = len(prefixes) - 1
        chosen = {0, last // 2, last - 1, last, chance.randrange(last)}
    cuts = [joined(parsed(found.upstream, prefixes[number])) for number in sorted(chosen)]
    return cuts if found.whole else [*cuts, joined(found.events)]


@functools.lru_cache(maxsize=64)
def _cut_reply(found: Recording, number: int, client: str) -> bytes:
    return rendered(_cuts(found)[number], client)


def judge_cuts(found: Recording, reader: Reader) -> list[Deviation]:
    """An answer that was cut off, or failed by itself, must be told as an error, or hold all that the whole one has."""
    if found.name in EVERY_CHUNK_IS_THE_LAST:
        return []
    deviations: list[Deviation] = []
    for number, events in enumerate(_cuts(found)):
        cut = _reading(found, reader, _cut_reply(found, number, reader.client), "whole")
        if isinstance(events[-1], ev.Fault):
            polite = isinstance(cut, Seen)
        else:
            polite = not _same(cut, _reading(found, reader, _reply(found, reader.client), "whole"))
        if polite:
            reason = why(found.name, reader, "cut")
            deviations.append(Deviation(found.name, reader.name, "cut", "an error", cut, reason))
    return deviations


def _same(cut: Seen | str, complete: Seen | str) -> bool:
    if isinstance(cut, str) or isinstance(complete, str):
        return isinstance(cut, str) and isinstance(complete, str)
    fields = ("text", "reasoning", "calls", "stop")
    return all(getattr(cut, field) == getattr(complete, field) for field in fields)
