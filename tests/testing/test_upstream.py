"""The scripted upstream on a real socket: what its clients see, and what it sees of them."""

import asyncio
import json
import socket
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from millstream.testing.upstream import ReplayServer, ScenarioError, Source, replay_server, scenario_of

CHAT = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
CLAUDE = {**CHAT, "max_tokens": 10}
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


class Client:
    """One connection of which every byte is seen."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def at(cls, server: ReplayServer) -> "Client":
        host, _, port = server.url.removeprefix("http://").rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    def ask(self, path: str, body: object = None, method: str = "POST") -> None:
        content = json.dumps(body).encode() if body is not None else b""
        head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(content)}\r\n\r\n"
        self.writer.write(head.encode() + content)

    async def head(self) -> tuple[int, dict[str, str]]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.partition(": ") for line in lines[1:] if line)
        return int(lines[0].split()[1]), {name: value for name, _, value in pairs}

    async def chunk(self) -> bytes:
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        return (await self.reader.readexactly(size + 2))[:-2]

    async def body(self) -> bytes:
        pieces = []
        while piece := await self.chunk():
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        self.writer.close()


Check = Callable[[ReplayServer, Client], Awaitable[None]]


def run(source: Source | dict[str, Any], check: Check, **places: Any) -> ReplayServer:
    given = scenario_of({"replies": [source]}, "test") if isinstance(source, dict) else source

    async def main() -> ReplayServer:
        async with asyncio.timeout(20), replay_server(given, **places) as server:
            client = await Client.at(server)
            try:
                await check(server, client)
            finally:
                client.close()
        return server

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("path", "body", "sign"),
    [
        ("/v1/chat/completions", CHAT, b"chat.completion.chunk"),
        ("/chat/completions", CHAT, b"chat.completion.chunk"),
        ("/openai/v1/chat/completions?x=1", CHAT, b"chat.completion.chunk"),
        ("/v1/messages?beta=true", CLAUDE, b"event: message_stop"),
        ("/messages", CLAUDE, b"event: message_stop"),
        ("/v1/responses", {"model": "m", "stream": True, "input": "hi"}, b"response.completed"),
        ("/v1beta/models/m:streamGenerateContent?alt=sse", GEMINI, b'"candidates"'),
        ("/v1/models/m:generateContent", GEMINI, b'"candidates"'),
    ],
)
def test_every_api_is_served_at_its_paths(path: str, body: object, sign: bytes) -> None:
    async def check(server: ReplayServer, client: Client) -> None:
        client.ask(path, body)
        status, headers = await client.head()
        assert status == 200
        assert headers["access-control-allow-origin"] == "*"
        assert sign in await client.body()
        assert [json.loads(received) for received in server.requests] == [body]

    run({"text": "Hello"}, check)


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/v1/models", 200, '"id": "replay"'),
        ("GET", "/v1/models/replay", 200, '"id": "replay"'),
        ("GET", "/v1/models/other", 404, "nothing is at"),
        ("GET", "/health", 200, "ok"),
        ("OPTIONS", "/v1/messages", 200, "ok"),
        ("POST", "/v1/nothing", 404, "nothing is served at /v1/nothing"),
        ("POST", "/v1/messages/count_tokens", 200, "input_tokens"),
        ("POST", "/v1beta/models/m:countTokens", 200, "totalTokens"),
    ],
)
def test_what_is_not_a_reply_is_answered_too(method: str, path: str, status: int, said: str) -> None:
    async def check(server: ReplayServer, client: Client) -> None:
        client.ask(path, CLAUDE if method == "POST" else None, method)
        assert (await client.head())[0] == status
        assert said in (await client.body()).decode()
        assert not server.requests

    run({"text": "Hello"}, check)


def test_a_connection_takes_one_request_after_another_also_sent_ahead() -> None:
    async def check(server: ReplayServer, client: Client) -> None:
        for _ in range(2):
            client.ask("/v1/chat/completions", CHAT)
        for _ in range(2):
            assert (await client.head())[0] == 200
            assert (await client.body()).endswith(b"data: [DONE]\n\n")

    run({"text": "Hello"}, check)


def test_each_event_is_written_by_itself_and_noted() -> None:
    async def check(server: ReplayServer, client: Client) -> None:
        client.ask("/v1/chat/completions", CHAT)
        await client.head()
        count = 0
        while piece := await client.chunk():
            assert piece.count(b"\n\n") == 1
            count += 1
        times = server.received[0].sent
        assert len(times) == count == len(server.sent_at)
        assert times == sorted(times)

    run({"text": "a b c"}, check)


def test_an_event_leaves_before_the_next_one_is_due() -> None:
    async def check(server: ReplayServer, client: Client) -> None:
        client.ask("/v1/chat/completions", CHAT)
        await client.head()
        assert b"assistant" in await client.chunk()
        assert b"one" in await client.chunk()
        assert server.open_streams == 1

    run({"text": "one two", "fault": {"kind": "stall", "after": 2}}, check)


def test_a_client_that_leaves_in_a_silence_is_noticed_with_the_time() -> None:
    async def check(server: ReplayServer, client: Client) -> None:
        client.ask("/v1/chat/completions", CHAT)
        await client.head()
        await client.chunk()
        loop = asyncio.get_running_loop()
        gone = loop.time()
        client.close()
        await server.until(lambda s: s.cancelled == 1)
        assert server.open_streams == 0
        assert gone <= server.left_at[0] <= loop.time()
        assert server.received[0].left == server.left_at[0]

    run({"text": "one two", "fault": {"kind": "stall", "after": 1}}, check)


def test_a_client_that_leaves_before_the_head_is_noticed() -> None:
    async def check(server: ReplayServer, client: Client) -> None:
        client.ask("/v1/chat/completions", CHAT)
        await server.until(lambda s: s.open_streams == 1)
        client.close()
        await server.until(lambda s: s.cancelled == 1)

    run({"text": "one", "fault": {"kind": "slow_head"}}, check)


def test_a_client_that_leaves_after_its_answer_is_not_counted() -> None:
    async def check(server: ReplayServer, client: Client) -> None:
        client.ask("/v1/chat/completions", CHAT)
        await client.head()
        await client.body()
        client.close()
        await client.writer.wait_closed()

    server = run({"text": "one"}, check)
    assert (server.cancelled, server.open_streams) == (0, 0)


def test_a_cut_is_a_proper_end_in_the_middle() -> None:
    async def check(_: ReplayServer, client: Client) -> None:
        client.ask("/v1/chat/completions", CHAT)
        await client.head()
        assert (await client.body()).count(b"\n\n") == 2
        client.ask("/v1/models", None, "GET")
        assert (await client.head())[0] == 200

    run({"text": "a b c", "fault": {"kind": "cut", "after": 2}}, check)


def test_a_close_ends_the_connection_without_the_last_chunk() -> None:
    async def check(_: ReplayServer, client: Client) -> None:
        client.ask("/v1/chat/completions", CHAT)
        await client.head()
        await client.chunk()
        assert await client.reader.read() == b""

    run({"text": "a b c", "fault": {"kind": "close", "after": 1}}, check)


def test_a_reset_tears_the_connection_after_what_was_sent() -> None:
    async def check(_: ReplayServer, client: Client) -> None:
        client.ask("/v1/chat/completions", CHAT)
        await client.head()
        await client.chunk()
        await client.chunk()
        with pytest.raises(ConnectionResetError):
            await client.reader.read()

    run({"text": "a b c", "fault": {"kind": "reset", "after": 2}}, check)


def test_a_refused_request_gets_no_byte() -> None:
    async def check(_: ReplayServer, client: Client) -> None:
        client.ask("/v1/chat/completions", CHAT)
        assert await client.reader.read() == b""

    run({"fault": {"kind": "refuse"}}, check)


def test_an_error_is_a_response_with_its_headers() -> None:
    async def check(_: ReplayServer, client: Client) -> None:
        client.ask("/v1/messages", CLAUDE)
        status, headers = await client.head()
        assert (status, headers["retry-after"]) == (529, "1")
        assert json.loads(await client.body())["error"]["type"] == "overloaded_error"
        client.ask("/v1/messages", CLAUDE)
        assert (await client.head())[0] == 200

    fault = {"kind": "status", "status": 529, "retry_after": 1, "times": 1}
    run({"text": "done", "fault": fault}, check)


def test_a_request_without_a_reply_is_refused_in_its_dialect() -> None:
    async def check(_: ReplayServer, client: Client) -> None:
        client.ask("/v1/messages", CLAUDE)
        assert (await client.head())[0] == 404
        assert "no reply for request 1" in json.loads(await client.body())["error"]["message"]

    run({"text": "a", "when": {"tool": "Bash"}}, check)


def test_a_large_answer_waits_for_a_slow_reader() -> None:
    async def check(server: ReplayServer, client: Client) -> None:
        client.ask("/v1/chat/completions", CHAT)
        await client.head()
        await client.chunk()
        written = len(server.received[0].sent)
        assert written < 40_000
        client.close()
        await server.until(lambda s: s.cancelled == 1)

    run({"text": "word " * 10, "repeat": 5_000}, check)


def test_nonsense_on_the_wire_ends_only_its_connection() -> None:
    async def check(server: ReplayServer, client: Client) -> None:
        client.writer.write(b"\x16\x03\x01 hello\r\n\r\n")
        assert await client.reader.read() == b""
        other = await Client.at(server)
        other.ask("/v1/models", None, "GET")
        assert (await other.head())[0] == 200
        other.close()

    run({"text": "a"}, check)


def test_a_client_that_resets_in_the_middle_of_a_stream_is_noticed() -> None:
    async def check(server: ReplayServer, client: Client) -> None:
        client.ask("/v1/chat/completions", CHAT)
        await client.head()
        raw = client.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.writer.transport.abort()
        await server.until(lambda s: s.cancelled == 1)

    run({"text": "a b c", "pace": {"event_ms": 50}, "repeat": 1000}, check)


def test_a_folder_lets_the_model_choose(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text('[[replies]]\ntext = "first"\ntimes = 1\n[[replies]]\ntext = "second"\n')
    (tmp_path / "bad.toml").write_text("[[replies]]\n")

    async def check(server: ReplayServer, client: Client) -> None:
        for model, status, said in (
            ("one", 200, b"first"),
            ("one", 200, b"second"),
            ("two", 404, b"no scenario or recording 'two'"),
            ("bad", 500, b"nothing to say"),
        ):
            client.ask("/v1/chat/completions", {**CHAT, "model": model})
            assert (await client.head())[0] == status
            assert said in await client.body()
        client.ask("/v1/models", None, "GET")
        await client.head()
        assert [model["id"] for model in json.loads(await client.body())["data"]] == ["bad", "hello", "one", "tools"]
        assert len(server.received) == 2

    run(tmp_path, check)


def test_a_file_is_played_whatever_the_model(tmp_path: Path) -> None:
    path = tmp_path / "one.toml"
    path.write_text('[[replies]]\nfile = "beside.sse"\n')
    (tmp_path / "beside.sse").write_text("data: [DONE]\n\n")

    async def check(_: ReplayServer, client: Client) -> None:
        client.ask("/v1/chat/completions", CHAT)
        await client.head()
        assert await client.body() == b"data: [DONE]\n\n"

    run(path, check)
    run(scenario_of({"replies": [{"file": "beside.sse"}]}, "x"), check, folder=tmp_path)


def test_a_file_that_cannot_be_used_fails_before_anything_is_served(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[[replies]]\n")

    async def main() -> None:
        async with replay_server(tmp_path / "bad.toml"):
            raise AssertionError("it must not be served")

    with pytest.raises(ScenarioError, match="nothing to say"):
        asyncio.run(main())


def test_waiting_for_what_does_not_happen_ends() -> None:
    async def check(server: ReplayServer, _: Client) -> None:
        with pytest.raises(TimeoutError):
            await server.until(lambda s: s.cancelled == 1, within=0.01)

    run({"text": "a"}, check)


def test_serving_in_a_process_ends_with_ctrl_c() -> None:
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"  # what a background job ignores
        "from millstream.testing.upstream import serve, scenario_of;"
        "serve(scenario_of({'replies': [{'text': 'a'}]}, 'x'), ready=lambda url: print(url, flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        process.send_signal(2)
        try:
            _, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, errors) == (0, "")
