"""What the load generator counts is what was sent: else no figure of ``bench/`` means anything."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "bench"
SSE_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture(scope="session")
def generator() -> Path:
    if sys.platform != "linux":
        pytest.skip("the load generator needs Linux (epoll)")
    for tool in ("make", "cc"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed: the load generator cannot be built")
    subprocess.run(["make", "--quiet", "-C", str(BENCH)], check=True)
    return BENCH / "build" / "load"


@contextmanager
def upstream(generator: Path) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with subprocess.Popen([generator, "upstream", "--port", str(port), "--limit", "60"]) as process:
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except ConnectionRefusedError:
                    assert process.poll() is None
            yield port
        finally:
            process.terminate()


def prompt(text: str, *, stream: bool = True) -> bytes:
    message = {"role": "user", "content": f"[load {text}]"}
    return json.dumps({"model": "m", "stream": stream, "messages": [message]}).encode()


def run_client(generator: Path, port: int, folder: Path, body: bytes, *options: str) -> dict[str, Any]:
    file = folder / "body.json"
    file.write_bytes(body)
    command = [str(generator), "client", "--port", str(port), "--body", str(file), "--settle", "0", "--rest", "5"]
    done = subprocess.run([*command, *options], capture_output=True, check=True, timeout=30)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def answer_once(pieces: list[bytes]) -> int:
    """A server that reads one request and answers with ``pieces``, each in a segment of its own; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.recv(65536)
            for piece in pieces:
                connection.sendall(piece)

    threading.Thread(target=serve, daemon=True).start()
    port: int = listener.getsockname()[1]
    return port


def stamp(nanoseconds: int) -> bytes:
    return b"@%016x;" % nanoseconds


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def three_events() -> bytes:
    now = time.monotonic_ns()
    body = b"".join(chunk(b'data: {"text": "' + stamp(now) + b'"}\n\n') for _ in range(3))
    return SSE_HEAD + body + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def test_a_reply_that_comes_byte_by_byte_is_counted_like_one_that_comes_whole(generator: Path, tmp_path: Path) -> None:
    reply = three_events()
    for pieces in ([reply], [bytes([byte]) for byte in reply]):
        options = ("--window", "0.2", "--marker", "[DONE]", "--expect", "3")
        result = run_client(generator, answer_once(pieces), tmp_path, prompt(""), *options)
        assert (result["ok"], result["events"], sum(result["failed"].values())) == (1, 3, 0)


def test_a_stamp_that_chunks_cut_in_two_is_found(generator: Path, tmp_path: Path) -> None:
    text = stamp(time.monotonic_ns())
    reply = SSE_HEAD + chunk(b"x" + text[:7]) + chunk(text[7:] + b"@12;@") + b"0\r\n\r\n"
    result = run_client(generator, answer_once([reply]), tmp_path, prompt(""), "--window", "0.2", "--expect", "1")
    assert (result["ok"], result["events"]) == (1, 1)


def test_a_delay_is_the_time_since_the_stamp(generator: Path, tmp_path: Path) -> None:
    age = 50_000_000
    reply = SSE_HEAD + chunk(stamp(time.monotonic_ns() - age)) + b"0\r\n\r\n"
    result = run_client(generator, answer_once([reply]), tmp_path, prompt(""), "--window", "0.2")
    assert age / 1000 <= result["delay_us"]["max"] < 5_000_000


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (three_events().replace(b"[DONE]", b"[NONE]"), "no_marker"),
        (three_events().replace(b"@", b"#", 1), "wrong_count"),
        (three_events()[:-20], "cut"),
        (three_events().replace(b"200 OK", b"500 No"), "bad_status"),
        (b"nonsense\r\n\r\n", "broken"),
    ],
)
def test_a_reply_that_is_not_as_it_should_be_is_a_failure(
    generator: Path, tmp_path: Path, reply: bytes, failure: str
) -> None:
    options = ("--window", "0.2", "--marker", "[DONE]", "--expect", "3")
    result = run_client(generator, answer_once([reply]), tmp_path, prompt(""), *options)
    assert result["failed"].pop(failure) == 1
    assert (result["ok"], sum(result["failed"].values())) == (0, 0)
    assert result["first_failure"]


@pytest.mark.parametrize(
    ("path", "marker"),
    [("/v1/chat/completions", "[DONE]"), ("/v1/messages", "message_stop")],
    ids=["chat", "anthropic"],
)
def test_every_event_of_paced_flooding_and_whole_replies_arrives(
    generator: Path, tmp_path: Path, path: str, marker: str
) -> None:
    with upstream(generator) as port:
        for text, events in (("rate=200 events=40", 40), ("rate=0 events=5000", 5000)):
            options = (
                "--path",
                path,
                "--streams",
                "20",
                "--window",
                "0.3",
                "--marker",
                marker,
                "--expect",
                str(events),
            )
            result = run_client(generator, port, tmp_path, prompt(f"{text} id=%%%%%%%%"), *options)
            assert (result["ok"], result["failed"], result["unfinished"]) == (20, dict.fromkeys(result["failed"], 0), 0)
        whole = prompt("events=7", stream=False)
        again = ("--path", path, "--streams", "5", "--window", "0.1", "--expect", "7", "--again")
        result = run_client(generator, port, tmp_path, whole, *again)
        assert result["ok"] == result["opened"] > 5


def test_a_paced_stream_keeps_its_rate(generator: Path, tmp_path: Path) -> None:
    with upstream(generator) as port:
        options = ("--streams", "10", "--window", "1", "--rest", "0")
        result = run_client(generator, port, tmp_path, prompt("rate=50 events=1000"), *options)
        assert 450 <= result["events"] <= 550


@pytest.mark.parametrize("text", ["hold=1", "rate=20 events=1000"], ids=["silent", "flowing"])
def test_the_upstream_notes_when_each_client_left(generator: Path, tmp_path: Path, text: str) -> None:
    with upstream(generator) as port:
        options = ("--streams", "10", "--window", "0.1", "--leave-gap-ms", "1")
        result = run_client(generator, port, tmp_path, prompt(f"{text} id=%%%%%%%%"), *options)
        assert len(result["left_at"]) == 10
        noticed: dict[str, int] = {}
        deadline = time.monotonic() + 5
        while len(noticed) < 10 and time.monotonic() < deadline:
            noticed = ask(port, "/stats")["left_at"]
        assert noticed.keys() == result["left_at"].keys()
        assert all(noticed[number] > at for number, at in result["left_at"].items())


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_what_the_upstream_says_is_sse_of_json(generator: Path, path: str) -> None:
    with upstream(generator) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("POST", path, prompt("events=3"))
        frames = connection.getresponse().read().decode().split("\n\n")
        assert frames.pop() == ""
        data = [frame.rpartition("data: ")[2] for frame in frames]
        assert [line for line in data if line != "[DONE]" and not isinstance(json.loads(line), dict)] == []
        assert sum("@" in line for line in data) == 3
        connection.request("POST", path, prompt("events=3", stream=False))
        assert json.dumps(json.loads(connection.getresponse().read())).count("@") == 3
        connection.close()


def test_a_client_that_does_not_read_stops_the_flood(generator: Path) -> None:
    with upstream(generator) as port, socket.create_connection(("127.0.0.1", port)) as connection:
        body = prompt("rate=0 events=4000000")
        head = b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body)
        connection.sendall(head + body)
        connection.recv(1)
        sent = -1
        while sent != (sent := ask(port, "/stats")["events"]):
            pass
        assert sent < 400_000


def ask(port: int, path: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path)
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return answer
