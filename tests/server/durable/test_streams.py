"""Durable Streams over HTTP, on each journal: what the protocol's own judge (``make judges``) does not ask."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest
from redis_server import redis_server

from millstream.config import Config, SessionsConfig, StreamsConfig
from millstream.server.stores import journal_of
from millstream.sessions.journal import Journal
from millstream.testing.gateway import GatewayThread

ZERO = "0" * 16 + "_" + "0" * 16


class Answer:
    def __init__(self, response: HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def offset(self) -> str:
        return self.headers["stream-next-offset"]


class Streams:
    """What clients ask of a gateway."""

    def __init__(self, gateway: GatewayThread) -> None:
        self.gateway = gateway

    def ask(self, method: str, path: str, body: bytes | str = b"", **headers: str) -> Answer:
        connection = HTTPConnection(*self.gateway.address, timeout=30)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, f"/v1/stream/{path}", body or None, named)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def put(self, path: str, body: str = "", content_type: str = "text/plain", **headers: str) -> Answer:
        return self.ask("PUT", path, body, content_type=content_type, **headers)

    def post(self, path: str, body: str = "", content_type: str = "text/plain", **headers: str) -> Answer:
        return self.ask("POST", path, body, content_type=content_type, **headers)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)


@pytest.fixture(scope="module", params=["memory", "sqlite", "redis"])
def streams(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Streams]:
    settings = StreamsConfig(poll=20.0, follow=2.0)
    if request.param == "redis":
        with redis_server() as server:
            config = Config(sessions=SessionsConfig(store="redis", redis_url=server.url), streams=settings)
            yield from _serving(config)
    elif request.param == "sqlite":
        path: Path = tmp_path_factory.mktemp("streams") / "s.db"
        yield from _serving(Config(sessions=SessionsConfig(path=str(path)), streams=settings))
    else:
        yield from _serving(Config(sessions=SessionsConfig(store="memory"), streams=settings))


def _serving(config: Config) -> Iterator[Streams]:
    journal: Journal = journal_of(config, time.time)
    with GatewayThread(config, journal=journal) as gateway:
        yield Streams(gateway)


def _events(data: bytes) -> list[tuple[str, str]]:
    found = []
    for block in data.decode().split("\n\n"):
        lines = [line.partition(":") for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            said = "\n".join(value.removeprefix(" ") for name, _, value in lines if name == "data")
            found.append((next(value.strip() for name, _, value in lines if name == "event"), said))
    return found


def test_what_is_appended_is_read_from_any_offset(streams: Streams) -> None:
    made = streams.put("plain/a", "one")
    assert (made.status, made.headers["content-type"]) == (201, "text/plain")
    assert made.headers["location"].endswith("/v1/stream/plain/a")
    assert made.offset > ZERO
    more = streams.post("plain/a", "two")
    assert (more.status, more.offset > made.offset) == (204, True)
    assert streams.get("plain/a").body == b"onetwo"
    rest = streams.get(f"plain/a?offset={made.offset}")
    assert (rest.body, rest.offset, rest.headers["stream-up-to-date"]) == (b"two", more.offset, "true")
    assert streams.ask("HEAD", "plain/a").offset == more.offset


def test_what_is_long_is_read_in_pieces_that_may_be_cached(streams: Streams) -> None:
    streams.put("long")
    for letter in "abcd":
        streams.post("long", letter * 100_000)
    first = streams.get("long")
    assert first.body == b"a" * 100_000 + b"b" * 100_000
    assert "stream-up-to-date" not in first.headers
    assert first.headers["cache-control"].startswith("private, max-age=60")
    second = streams.get(f"long?offset={first.offset}")
    assert second.body == b"c" * 100_000 + b"d" * 100_000
    assert second.headers["stream-up-to-date"] == "true"
    assert second.headers["cache-control"] == "private, no-cache"
    again = streams.get(f"long?offset={first.offset}", if_none_match=f'"x", {second.headers["etag"]}')
    assert (again.status, again.body) == (304, b"")


def test_two_producers_at_once_lose_and_double_nothing(streams: Streams) -> None:
    """Each request is sent twice at the same time, as a client does that hears nothing."""
    streams.put("busy", content_type="application/json")

    def send(job: tuple[str, int]) -> int:
        name, seq = job
        while True:
            answer = streams.post(
                "busy",
                json.dumps([{"by": name, "n": seq}]),
                "application/json",
                producer_id=name,
                producer_epoch="0",
                producer_seq=str(seq),
            )
            if answer.status != 409:
                return answer.status

    with ThreadPoolExecutor(8) as threads:
        jobs = [(name, seq) for seq in range(10) for name in ("a", "b") for _ in range(2)]
        statuses = list(threads.map(send, jobs))
    assert sorted(statuses) == [200] * 20 + [204] * 20
    said = json.loads(streams.get("busy").body)
    for name in ("a", "b"):
        assert [one["n"] for one in said if one["by"] == name] == list(range(10))


def test_one_of_many_who_close_at_once_has_the_last_word(streams: Streams) -> None:
    streams.put("contested", "first,")

    def close(number: int) -> int:
        return streams.post("contested", f"last of {number}", stream_closed="true").status

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(close, range(8)))
    assert sorted(statuses) == [204] + [409] * 7
    found = streams.get("contested")
    assert found.body == b"first,last of %d" % statuses.index(204)
    assert found.headers["stream-closed"] == "true"


def test_one_of_many_who_make_it_at_once_makes_it_whole(streams: Streams) -> None:
    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda _: streams.put("made", "the beginning").status, range(8)))
    assert sorted(statuses) == [200] * 7 + [201]
    assert streams.get("made").body == b"the beginning"


def test_who_follows_is_told_what_comes_until_the_end(streams: Streams) -> None:
    streams.put("followed", "a\r\nb")
    told: list[Answer] = []
    reader = threading.Thread(target=lambda: told.append(streams.get("followed?offset=-1&live=sse")))
    reader.start()
    streams.post("followed", " c")
    streams.post("followed", "d", stream_closed="true")
    reader.join(30)
    events = _events(told[0].body)
    assert told[0].headers["content-type"] == "text/event-stream"
    text = "".join(data for name, data in events if name == "data")
    assert text == "a\nb cd"
    last = json.loads(events[-1][1])
    assert (last["streamClosed"], last["upToDate"], "streamCursor" in last) == (True, True, False)
    assert [name for name, _ in events][::2] == ["data"] * (len(events) // 2)


def test_a_connection_of_events_ends_by_itself_and_is_taken_up_again(streams: Streams) -> None:
    streams.put("short", content_type="application/octet-stream")
    first = _events(streams.get("short?offset=now&live=sse").body)
    assert [name for name, _ in first] == ["control"]
    offset = json.loads(first[0][1])["streamNextOffset"]
    streams.ask("POST", "short", b"\x00\xff", content_type="application/octet-stream", stream_closed="true")
    second = streams.get(f"short?offset={offset}&live=sse")
    assert second.headers["stream-sse-data-encoding"] == "base64"
    assert base64.b64decode(_events(second.body)[0][1]) == b"\x00\xff"


def test_who_polls_is_woken_by_an_append_and_by_the_end(streams: Streams) -> None:
    streams.put("polled")
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(streams.get, "polled?offset=now&live=long-poll")
        while not waiting.done():
            streams.post("polled", "x")
        assert waiting.result().body.startswith(b"x")
        offset = streams.ask("HEAD", "polled").offset
        waiting = threads.submit(streams.get, f"polled?offset={offset}&live=long-poll")
        streams.post("polled", stream_closed="true")
        done = waiting.result()
        assert (done.status, done.headers["stream-closed"], done.offset) == (204, "true", offset)


def test_who_polls_a_stream_that_is_deleted_is_told(streams: Streams) -> None:
    streams.put("doomed", "x")
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(streams.get, "doomed?offset=now&live=long-poll")
        streams.ask("DELETE", "doomed")
        assert waiting.result().status == 404


def test_a_fork_is_whole_and_outlives_its_source(streams: Streams) -> None:
    streams.put("source", "[1,2]", "application/json")
    at = streams.post("source", "[3,4,5]", "application/json").offset
    streams.post("source", "[6]", "application/json")
    fork = streams.ask("PUT", "fork", stream_forked_from="/v1/stream/source", stream_fork_offset=at)
    assert (fork.status, fork.offset) == (201, at)
    part = {"stream_fork_offset": ZERO, "stream_fork_sub_offset": "1"}
    assert streams.ask("PUT", "part", stream_forked_from="/v1/stream/source", **part).status == 201
    streams.post("fork", '{"own": true}', "application/json")
    assert streams.ask("DELETE", "source").status == 204
    assert streams.get("source").status == 410
    assert json.loads(streams.get("fork").body) == [1, 2, 3, 4, 5, {"own": True}]
    assert json.loads(streams.get("part").body) == [1]
    assert streams.ask("DELETE", "fork").status == 204
    assert streams.get("source").status == 410
    assert streams.ask("DELETE", "part").status == 204
    assert streams.get("source").status == 404


def test_a_fork_that_is_longer_than_one_read_is_copied_whole(streams: Streams) -> None:
    streams.put("large")
    for number in range(5):
        streams.post("large", str(number) * 120_000)
    assert streams.ask("PUT", "copy", stream_forked_from="/v1/stream/large").status == 201
    found, offset = b"", "-1"
    while True:
        answer = streams.get(f"copy?offset={offset}")
        found, offset = found + answer.body, answer.offset
        if "stream-up-to-date" in answer.headers:
            break
    assert found == b"".join(b"%d" % number * 120_000 for number in range(5))


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "nowhere", {}, 404),
        ("GET", "", {}, 404),
        ("PATCH", "known", {}, 405),
        ("GET", "known?offset=9999999999999999_0000000000000000", {}, 400),
        ("GET", "known?offset=%F0%9F", {}, 400),
        ("GET", "known?offset=-1&live=yes", {}, 400),
        ("PUT", "new", {"stream-ttl": "99999999999999999999"}, 400),
        ("PUT", "new", {"stream-expires-at": "tomorrow"}, 400),
        ("PUT", "new", {"stream-forked-from": "http://elsewhere/x"}, 400),
        ("PUT", "new", {"stream-forked-from": "/v1/stream/nowhere"}, 404),
        ("POST", "known", {"producer-id": "a", "producer-epoch": "0", "producer-seq": "9007199254740992"}, 400),
        ("PUT", "runs/mine", {}, 405),
        ("GET", "runs/nowhere", {}, 404),
    ],
)
def test_what_cannot_be_is_refused_with_its_status(
    streams: Streams, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    streams.put("known", "x")
    answer = streams.ask(method, path, "x" if method == "POST" else "", **headers)
    assert answer.status == status
    assert json.loads(answer.body)["error"]["message"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_no_json_no_message(streams: Streams) -> None:
    streams.put("json", content_type="application/json")
    for body in ("{", "[1,]", "", "[]", "[1] 2", "\xff"):
        status = streams.ask("POST", "json", body.encode("latin-1"), content_type="application/json").status
        assert (body, status) == (body, 400)
    assert streams.get("json").body == b"[]"
    assert streams.post("json", " [[1], {} ] ", "application/json; charset=utf-8").status == 204
    assert json.loads(streams.get("json").body) == [[1], {}]


def test_what_was_begun_by_a_gateway_that_died_is_made_anew(tmp_path: Path) -> None:
    """Its maker had said that it would be there, and had not put in yet what belongs there."""
    config = Config(sessions=SessionsConfig(path=str(tmp_path / "s.db")), streams=StreamsConfig())

    async def leave_behind() -> None:
        journal = journal_of(config, lambda: time.time() - 60)
        about = {"id": "x", "content_type": "text/plain", "ready": False}
        await journal.create("streams//half", json.dumps(about).encode(), 1e12)
        await journal.append("streams//half", [b"half of it"])
        await journal.aclose()

    asyncio.run(leave_behind())
    for streams in _serving(config):
        assert streams.get("half").status == 404
        assert streams.put("half", "all of it").status == 201
        assert streams.get("half").body == b"all of it"


def test_a_trimmed_beginning_is_said_to_be_gone(tmp_path: Path) -> None:
    settings = SessionsConfig(path=str(tmp_path / "s.db"), max_bytes=1_000_000)
    for streams in _serving(Config(sessions=settings)):
        streams.put("growing")
        for _ in range(30):
            streams.post("growing", "x" * 60_000)
        gone = streams.get("growing")
        assert gone.status == 410
        rest = streams.get(f"growing?offset={gone.headers['stream-earliest-offset']}")
        assert (rest.status, rest.body[:1]) == (200, b"x")
        assert streams.ask("PUT", "fork", stream_forked_from="/v1/stream/growing").status == 410
        assert streams.get("fork").status == 404


def test_a_journal_that_cannot_be_reached_is_a_503(tmp_path: Path) -> None:
    with redis_server() as server:
        config = Config(sessions=SessionsConfig(store="redis", redis_url=server.url))
        for streams in _serving(config):
            assert streams.put("a", "x").status == 201
            server.say("CONFIG", "SET", "maxmemory", "1")
            refused = streams.post("a", "y")
            assert (refused.status, b"it is full" in refused.body) == (503, True)
            server.say("CONFIG", "SET", "maxmemory", "0")
            assert streams.post("a", "y").status == 204
            assert streams.get("a").body == b"xy"


@pytest.mark.parametrize("lifetime", [{"stream_ttl": "0"}, {"stream_expires_at": "2000-01-01T00:00:00Z"}])
def test_a_stream_whose_time_is_over_at_once_is_made_and_gone(streams: Streams, lifetime: dict[str, str]) -> None:
    name = "over/" + next(iter(lifetime))
    assert streams.put(name, "one", **lifetime).status == 201
    assert streams.get(name).status == 404
    assert streams.put(name + "/closed", stream_closed="true", **lifetime).status == 201
    streams.put("over/source", "one")
    forked = streams.put(name + "/fork", stream_forked_from="/v1/stream/over/source", **lifetime)
    assert forked.status in (201, 409)
    assert streams.get("over/source").body == b"one"
    assert streams.ask("DELETE", "over/source").status == 204
    assert streams.get("over/source").status == 404, "nothing is left that goes on from it"
