"""What broken input may and may not do, one function per kind of input. Each takes any bytes.

A parser answers with events or an ``UpstreamFault``, a reader of requests with a ``ClientFault``; nothing else is
raised, the events are legal, and they are not much more than the input.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import fuzz_seeds
import msgspec
from features.table import MODELS

from millstream.core import events as ev
from millstream.core.errors import ClientFault, UpstreamFault
from millstream.core.grammar import Grammar
from millstream.core.json_field import StringField
from millstream.core.sse import SSEDecoder
from millstream.dialects.base import ClientCall, Dialect, Target
from millstream.dialects.openai_responses.state import continued, input_items
from millstream.dialects.openai_responses.websocket import read_message
from millstream.providers.catalog import provider, rows
from millstream.registry import dialects
from millstream.testing.streams import joined

DIALECTS = dialects()
_NAMES = fuzz_seeds.ALL

_PROVIDERS = [provider(name, row, DIALECTS[row.dialect], None, configured=False) for name, row in rows().items()]

_GROWTH = 60
"""How many bytes of events one byte of input may make: a tiny frame becomes several events that name their kind."""

_ROOM = 4096
_DEPTH = 40

HOSTILE: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**63,
    1e308,
    0.5,
    "",
    "x",
    "\ud800",
    "0",
    [],
    [None],
    [[]],
    {},
    {"type": "x"},
    [{}],
    {"": None},
)
"""Values that stand where others are expected."""


class Chooser:
    """Decisions read from a fuzzer's bytes; zeros once they are used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def upto(self, limit: int) -> int:
        """A number below ``limit``, of which there are at most 65,536."""
        pair = self._data[self._place : self._place + 2]
        self._place += 2
        return int.from_bytes(pair, "little") % limit if limit else 0

    @property
    def spent(self) -> bool:
        return self._place >= len(self._data)

    @property
    def rest(self) -> bytes:
        return self._data[self._place :]


def stream(data: bytes) -> None:
    """Bytes that begin with a choice of dialect and of pieces, read as a stream."""
    choose = Chooser(data)
    dialect, size = DIALECTS[_NAMES[choose.upto(4)]], choose.upto(64)
    check_stream(dialect, choose.rest, size)


def mutated_stream(data: bytes) -> None:
    """A good stream of which some JSON values, frames and bytes are others."""
    choose = Chooser(data)
    name = _NAMES[choose.upto(4)]
    seeds = fuzz_seeds.streams(name)
    seed, size = seeds[choose.upto(len(seeds))], choose.upto(64)
    check_stream(DIALECTS[name], _broken_stream(seed, choose), size)


def reply(data: bytes) -> None:
    """A whole reply, mutated, or any bytes."""
    choose = Chooser(data)
    name = _NAMES[choose.upto(4)]
    body = _broken_body(fuzz_seeds.replies(name), choose)
    try:
        events = DIALECTS[name].parse_reply(body)
    except UpstreamFault:
        return
    check_events(events, len(body))


def error(data: bytes) -> None:
    choose = Chooser(data)
    name = _NAMES[choose.upto(4)]
    status = (400, 401, 404, 413, 429, 500, 503, 529)[choose.upto(8)]
    headers = ({}, {"retry-after": "x"}, {"retry-after": "1e400"}, {"retry-after-ms": "nan"})[choose.upto(4)]
    fault = DIALECTS[name].parse_error(status, headers, _broken_body(fuzz_seeds.errors(name), choose))
    assert isinstance(fault, UpstreamFault)
    assert fault.retry_after is None or 0 <= fault.retry_after < math.inf


def request(data: bytes) -> None:
    """A request, mutated, or any bytes; what can be read is put to every dialect."""
    choose = Chooser(data)
    name = _NAMES[choose.upto(4)]
    check_request(name, _broken_body(fuzz_seeds.requests(name), choose), choose)


def sse(data: bytes) -> None:
    """Frames are the same however the bytes are cut, and no frame is larger than the limit."""
    choose = Chooser(data)
    size, limit = 1 + choose.upto(16), 64 + choose.upto(512)
    stream = choose.rest
    whole = SSEDecoder()
    expected = whole.feed(stream) + whole.finish()
    pieces = SSEDecoder(limit)
    found = []
    try:
        for piece in cut(stream, size):
            found += pieces.feed(piece)
            assert pieces.pending <= limit
        found += pieces.finish()
    except UpstreamFault:
        assert found == expected[: len(found)]
    else:
        assert found == expected


def json_field(data: bytes) -> None:
    """The text is the same however it is cut."""
    choose = Chooser(data)
    size = 1 + choose.upto(8)
    text = choose.rest.decode("utf-8", "replace")
    expected = _field_of([text])
    assert _field_of([text[at : at + size] for at in range(0, len(text), size)]) == expected


def websocket(data: bytes) -> None:
    choose = Chooser(data)
    seeds = fuzz_seeds.requests("openai_responses")
    try:
        body = read_message(_broken_body(_messages(seeds), choose)).body
        input_items(body)
        body = continued(body, [{"type": "message", "role": "user", "content": "before"}])
    except ClientFault:
        return
    check_request("openai_responses", body, choose)


def _messages(seeds: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return tuple(b'{"type":"response.create",' + seed[1:] for seed in seeds)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "stream": stream,
    "mutated_stream": mutated_stream,
    "reply": reply,
    "error": error,
    "request": request,
    "sse": sse,
    "json_field": json_field,
    "websocket": websocket,
}


def seed_inputs(target: str) -> list[bytes]:
    """Good input for a target: each seed behind the choices that lead to it unchanged, or to a change of it."""
    bodies: dict[str, Callable[[str], tuple[bytes, ...]]] = {
        "reply": fuzz_seeds.replies,
        "error": fuzz_seeds.errors,
        "request": fuzz_seeds.requests,
    }
    found: list[bytes] = []
    for number, name in enumerate(_NAMES):
        dialect, streams = _number(number), fuzz_seeds.streams(name)
        if target == "stream":
            found += [dialect + _number(0) + seed for seed in streams]
        elif target == "mutated_stream":
            found += [dialect + _number(which) + bytes(8) for which in range(len(streams))]
        elif target == "sse":
            found += [_number(7) + _number(500) + seed for seed in streams]
        elif target in bodies:
            seeds = bodies[target](name)
            before = bytes(4) if target == "error" else b""
            found += [dialect + before + _number(len(seeds)) + seed for seed in seeds]
    if target == "json_field":
        found += [
            _number(1) + text for text in (b'{"input": "a\\n\\u00e9\\ud83d\\ude00\\""}', b'{"x": ["\\u"]}', b"bare")
        ]
    if target == "websocket":
        seeds = _messages(fuzz_seeds.requests("openai_responses"))
        found += [_number(len(seeds)) + seed for seed in seeds]
    return found


def _number(value: int) -> bytes:
    return value.to_bytes(2, "little")


def cut(data: bytes, size: int) -> Iterator[bytes]:
    """``data`` in pieces of ``size`` bytes; whole if that is 0."""
    step = size or max(1, len(data))
    return (data[at : at + step] for at in range(0, len(data), step))


def check_stream(dialect: Dialect, data: bytes, size: int) -> None:
    """However it is cut, and above all if each frame comes by itself, as most do, it is read alike."""
    events = _events(dialect, cut(data, size))
    check_events(events, len(data))
    by_frame = _events(dialect, (frame for frame in _FRAMES.split(data) if frame))
    # Gemini's errors come as bare JSON between frames, and what is bare but no error may be noticed now or later.
    noticed = dialect.name == "gemini" and any(isinstance(found[-1], ev.Fault) for found in (events, by_frame))
    assert noticed or joined(by_frame) == joined(events)


_FRAMES = re.compile(rb"(?<=\n\n)|(?<=\r\n\r\n)")


def _events(dialect: Dialect, pieces: Iterable[bytes]) -> list[ev.Event]:
    parser = dialect.parser()
    events: list[ev.Event] = []
    try:
        for piece in pieces:
            events += parser.feed(piece)
        events += parser.finish()
    except UpstreamFault as fault:
        events.append(ev.Fault.of(fault))
    return events


def check_events(events: list[ev.Event], size: int) -> None:
    grammar = Grammar()
    grammar.advance(events)
    assert grammar.ended
    made = len(msgspec.json.encode(events))
    assert made <= _GROWTH * size + _ROOM, f"{size} bytes became {made}"


def check_request(name: str, body: bytes, choose: Chooser) -> None:
    call = ClientCall(body)
    if name == "gemini":
        call = ClientCall(body, model="m", stream=False, params={})
    try:
        DIALECTS[name].peek(call)
        parsed = DIALECTS[name].parse_request(call)
    except ClientFault:
        return
    provider = _PROVIDERS[choose.upto(len(_PROVIDERS))]
    upstreams = [(dialect, Target(MODELS[upstream], dialect.quirks())) for upstream, dialect in DIALECTS.items()]
    for dialect, target in [*upstreams, (provider.dialect, Target(provider.default_model or "m", provider.quirks))]:
        try:
            sent = dialect.render_request(parsed, target)
        except ClientFault:
            continue
        json.loads(sent.body)


def _field_of(pieces: list[str]) -> str:
    field = StringField("input")
    return "".join([*map(field.feed, pieces), field.finish()])


def _broken_body(seeds: tuple[bytes, ...], choose: Chooser) -> bytes:
    """One of the ``seeds`` with some of its values replaced, or else the fuzzer's own bytes."""
    which = choose.upto(len(seeds) + 1)
    if which == len(seeds):
        return choose.rest
    return _encoded(_broken_value(json.loads(seeds[which]), choose))


def _encoded(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _broken_stream(seed: bytes, choose: Chooser) -> bytes:
    """Changes of whole frames, of values in a frame's JSON, and of single bytes."""
    frames = seed.replace(b"\r\n", b"\n").split(b"\n\n")
    for _ in range(1 + choose.upto(4)):
        place, change = choose.upto(len(frames)), choose.upto(6)
        if change == 0:
            frames.insert(place, frames[choose.upto(len(frames))])
        elif change == 1 and len(frames) > 1:
            del frames[place]
        elif change == 2:
            at = choose.upto(len(frames[place]) + 1)
            frames[place] = frames[place][:at] + bytes([choose.upto(256)]) + frames[place][at + 1 :]
        else:
            frames[place] = _broken_frame(frames[place], choose)
    return (b"\n\n" if choose.upto(2) else b"\r\n\r\n").join(frames)


def _broken_frame(frame: bytes, choose: Chooser) -> bytes:
    head, mark, data = frame.partition(b"data: ")
    try:
        value = json.loads(data)
    except ValueError:
        return frame
    return head + mark + _encoded(_broken_value(value, choose))


def _broken_value(value: Any, choose: Chooser) -> Any:
    for _ in range(1 + choose.upto(3)):
        places = list(_places(value))
        if not places:
            return _hostile(choose)
        holder, key = places[choose.upto(len(places))]
        change = choose.upto(4)
        if change == 0:
            del holder[key]
        elif change == 1:
            source, name = places[choose.upto(len(places))]
            holder[key] = json.loads(json.dumps(source[name]))
        else:
            holder[key] = _hostile(choose)
    return value


def _hostile(choose: Chooser) -> Any:
    return copy.deepcopy(HOSTILE[choose.upto(len(HOSTILE))])


def _places(value: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    """Every place within a JSON value, as the object or list that has it and its key there."""
    if depth > _DEPTH:
        return
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key], depth + 1)
