"""A read that takes the shortcut says what it would have said on the long way, and changes what that would have."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matrix import DIALECTS, names, recording

from millstream.core.messages import Request
from millstream.core.repeats import Around, Repeats
from millstream.dialects.base import ReplyContext
from millstream.relay import HubRelay, Relay, SideDoor
from millstream.shortcut import Shortcut
from millstream.testing.streams import framewise

CLIENTS = ("anthropic", "openai_chat", "gemini")
UPSTREAMS = ("anthropic", "openai_chat")
HEARD = Around(b'data: {"text":', b"}\n\n")
SAID = Around(b'data: {"piece":', b',"n":1}\n\n')


class Clock:
    """Goes on by one second whenever it is looked at."""

    def __init__(self) -> None:
        self._now = 0.0

    def time(self) -> float:
        self._now += 1
        return self._now


class Wire:
    """Takes the chunks of a body apart."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def write(self, data: bytes) -> None:
        size, _, rest = data.partition(b"\r\n")
        assert rest[int(size, 16) :] == b"\r\n"
        self.bodies.append(rest[: int(size, 16)])


def chunk(body: bytes, digits: str = "x") -> bytes:
    return f"{len(body):{digits}}\r\n".encode() + body + b"\r\n"


def frame(text: str) -> bytes:
    return HEARD.before + json.dumps(text, ensure_ascii=False).encode() + HEARD.after


def written(string: bytes) -> bytes:
    """A read with ``string`` where a JSON string should be."""
    return chunk(HEARD.before + string + HEARD.after)


def shortcut(said: Around | None = SAID, heard: Around = HEARD) -> tuple[Shortcut, Wire]:
    wire = Wire()
    made = Shortcut(Repeats(heard, said), wire, Clock())
    assert made.fits(chunk(frame("first")), frame("first"))
    return made, wire


def relay(upstream: str, client: str) -> Relay:
    request = Request(origin=client, model="m", messages=(), stream=True, include_usage=True)
    renderer = DIALECTS[client].renderer(ReplyContext("reply_1", 1_700_000_000, request))
    if upstream == client:
        return SideDoor(DIALECTS[upstream].parser, lambda: renderer)
    return HubRelay(DIALECTS[upstream].parser(), renderer)


def the_long_way(through: Relay, reads: Sequence[bytes]) -> list[bytes]:
    return [out for out in [*map(through.feed, reads), through.finish()] if out]


def with_shortcuts(through: Relay, reads: Sequence[bytes]) -> tuple[list[bytes], int]:
    """What is said, and how many reads took a shortcut."""
    wire, clock = Wire(), Clock()
    way: Shortcut | None = None
    short = 0
    for read in reads:
        if way is not None and way.take(chunk(read)):
            short += 1
            continue
        way = None
        if out := through.feed(read):
            wire.write(chunk(out))
        if through.by_heart and through.repeats is not None:
            way = Shortcut(through.repeats, wire, clock)
            assert way.fits(chunk(read), read) is (len(chunk(read)) < 4096)
    if out := through.finish():
        wire.write(chunk(out))
    return wire.bodies, short


def meaning(said: Sequence[bytes]) -> list[object]:
    """A text may be escaped in another way."""
    return [json.loads(line[6:]) if line[:7] == b"data: {" else line for one in said for line in one.splitlines()]


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_every_recording_says_the_same_by_shortcuts(upstream: str, corpus: object) -> None:
    del corpus
    taken = 0
    for name, dialect in names():
        if dialect != upstream:
            continue
        reads = framewise(recording(name, upstream).stream)
        for client in CLIENTS:
            long, short = relay(upstream, client), relay(upstream, client)
            expected = the_long_way(long, reads)
            said, shortcuts = with_shortcuts(short, reads)
            assert meaning(said) == meaning(expected), (name, client)
            assert (short.watch.usage, short.watch.fault) == (long.watch.usage, long.watch.fault)
            taken += shortcuts
    assert taken > 400


@given(st.text(min_size=1))
def test_any_text_arrives(text: str) -> None:
    if not text.isprintable() or '"' in text or "\\" in text:
        return
    way, wire = shortcut()
    assert way.take(chunk(frame(text)))
    [said] = wire.bodies
    assert said.startswith(b"data: ")
    assert json.loads(said[6:]) == {"piece": text, "n": 1}


@pytest.mark.parametrize("text", [rb"a\n\n", rb"\"", rb"\\", rb"\u00e9", rb"\ud83c\udf88", "größer 水".encode()])
def test_escapes_pass_as_they_were_written(text: bytes) -> None:
    way, wire = shortcut()
    assert way.take(written(b'"%b"' % text))
    assert wire.bodies == [SAID.before + b'"%b"' % text + SAID.after]


def test_to_a_client_of_the_same_dialect_the_read_goes_as_it_is() -> None:
    way, wire = shortcut(None)
    assert way.take(chunk(frame("a b")))
    assert wire.bodies == [frame("a b")]


GOOD = chunk(frame("stone"))


@pytest.mark.parametrize(
    "read",
    [
        b"",
        b"\0",
        GOOD[:-1],
        GOOD[1:],
        GOOD + GOOD,
        GOOD + b"0\r\n\r\n",
        b"0" + GOOD,
        GOOD.replace(b"\r\n", b";ext=1\r\n", 1),
        GOOD.replace(b"18\r\n", b"17\r\n"),
        GOOD.replace(b"18\r\n", b"19\r\n"),
        chunk(frame("")),
        chunk(frame("stone").replace(b"text", b"next")),
        chunk(frame("stone").replace(b"}", b',"more":1}')),
        written(b'"a"b"'),
        written(b'"a","n":"b"'),
        written(b'"a\\"'),
        written(b'"\\ud800"'),
        written(b'"a\nb"'),
        written(b'"a\x00b"'),
        written(b'"\xff"'),
        written(b""),
        written(b'"'),
        written(b' "stone"'),
        written(b"null"),
        chunk(frame("x" * 5000)),
    ],
)
def test_all_else_goes_the_long_way_and_leaves_no_trace(read: bytes) -> None:
    heard: list[str] = []
    way, wire = shortcut(heard=HEARD._replace(hear=heard.append))
    at = way.at
    assert not way.take(read)
    assert (wire.bodies, heard, way.taken, way.at) == ([], [], 0, at)


@given(st.binary(max_size=60))
def test_no_bytes_do_harm(noise: bytes) -> None:
    way, _ = shortcut()
    for read in (noise, GOOD[:-4] + noise, noise + GOOD, chunk(noise), written(noise)):
        way.take(read)


@pytest.mark.parametrize("size", [1, 10, 200, 3000])
@pytest.mark.parametrize("digits", ["x", "X"])
def test_sizes_may_be_written_in_either_case(digits: str, size: int) -> None:
    way, wire = shortcut(None)
    bodies = [frame(letter * size) for letter in "abc"]
    assert way.fits(chunk(bodies[0], digits), bodies[0])
    assert all(way.take(chunk(body, digits)) for body in bodies[1:])
    assert wire.bodies == bodies[1:]


def test_it_is_offered_nothing_while_the_parser_stands_within_a_chunk() -> None:
    body = frame("a")
    way, _ = shortcut()
    assert not way.fits(chunk(body)[1:], body)
    assert not way.fits(chunk(body) + chunk(body), body)
    assert not way.fits(body, body)
    assert not way.fits(chunk(b"x" * 5000), b"x" * 5000)


def test_both_sides_hear_what_they_keep() -> None:
    heard: list[str] = []
    said: list[str] = []
    way, _ = shortcut(SAID._replace(hear=said.append), HEARD._replace(hear=heard.append))
    for text in ("a", "b\n"):
        assert way.take(chunk(frame(text)))
    assert heard == said == ["a", "b\n"]


def test_it_counts_and_knows_when() -> None:
    way, _ = shortcut()
    before = way.at
    assert way.take(GOOD)
    assert way.take(GOOD)
    assert way.taken == 2
    assert way.at == before + 2


def test_once_closed_it_takes_nothing() -> None:
    way, wire = shortcut()
    way.open = False
    assert not way.take(GOOD)
    assert not way.fits(GOOD, frame("stone"))
    assert wire.bodies == []
