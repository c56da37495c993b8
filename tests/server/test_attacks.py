"""Clients that mean harm: what they send is refused, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from gateway_site import run
from raw_client import RawClient
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from millstream.config import Config, ReplayConfig, ServerConfig, SessionsConfig
from millstream.server import connection, wire
from millstream.server.openapi.operations import OPERATIONS
from millstream.testing.gateway import GatewayThread

MODEL_APIS = ("/v1/messages", "/v1/chat/completions", "/v1/responses", "/v1beta/models/m:generateContent")
POSTS = [*MODEL_APIS, *(one.path for one in OPERATIONS if one.body is not None)]
SCENARIO = '[[replies]]\ntext = "One two three."\n'
MAX_BODY = 2_000_000


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayThread]:
    folder = tmp_path_factory.mktemp("scenarios")
    (folder / "quick.toml").write_text(SCENARIO)
    config = Config(
        default_model="replay/quick",
        replay=ReplayConfig(folder=str(folder)),
        sessions=SessionsConfig(store="memory"),
        server=ServerConfig(max_body=MAX_BODY),
    )
    with GatewayThread(config) as found:
        yield found


@pytest.fixture(autouse=True)
def unharmed(gateway: GatewayThread) -> Iterator[None]:
    """After each attack others are served as before."""
    yield
    answer = httpx.post(gateway.url + "/api/v1/stream", json={"query": "Hi"}, timeout=30)
    assert "event: complete" in answer.text


def filled(path: str) -> str:
    return path.replace("{", "").replace("}", "")


def nested(depth: int, *, closed: bool) -> Iterator[bytes]:
    """Bodies with something ``depth`` deep where any JSON may stand, or in place of the body."""
    arrays = "[" * depth + ("]" * depth if closed else "")
    objects = '{"a":' * depth + ("1" + "}" * depth if closed else "")
    for deep in (arrays, objects):
        yield deep.encode()
        for field in ("messages", "input", "contents", "tools", "context", "metadata", "unknown"):
            yield f'{{"query":"Hi","message":"Hi","{field}":{deep}}}'.encode()
        content = f'[{{"role":"user","content":[{{"type":"text","text":"Hi","x":{deep}}}]}}]'
        yield f'{{"model":"replay/quick","max_tokens":9,"messages":{content}}}'.encode()
        schema = (
            f'[{{"name":"t","input_schema":{deep},"type":"function","function":{{"name":"t","parameters":{deep}}}}}]'
        )
        message = '[{"role":"user","content":"Hi"}]'
        yield f'{{"model":"replay/quick","max_tokens":9,"messages":{message},"tools":{schema}}}'.encode()


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("depth", [60, 500, 990, 3000, 100_000])
def test_json_however_deep_is_answered(gateway: GatewayThread, path: str, depth: int) -> None:
    with httpx.Client(base_url=gateway.url, timeout=30) as client:
        for body in nested(depth, closed=depth < 100_000):
            answer = client.post(filled(path), content=body, headers={"content-type": "application/json"})
            assert answer.status_code in (200, 400, 404, 413, 422), (depth, body[:200], answer.text[:500])


@pytest.mark.parametrize("path", POSTS)
def test_a_body_too_large_is_refused_before_it_comes(gateway: GatewayThread, path: str) -> None:
    async def main() -> int:
        async with RawClient(gateway.address) as client:
            head = f"POST {filled(path)} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {MAX_BODY + 1}\r\n\r\n"
            await client.send_bytes(head.encode())
            return await client.head()

    assert run(main()) == 413


def test_numbers_and_strings_beyond_reason_are_refused_in_words(gateway: GatewayThread) -> None:
    for body in (
        '{"query":"Hi","max_tokens":1e999}',
        '{"query":"Hi","max_tokens":%s}' % ("9" * 100_000),
        '{"query":"\ud800"}',
    ):
        answer = httpx.post(gateway.url + "/api/v1/stream", content=body.encode("utf-8", "surrogatepass"))
        assert (answer.status_code, answer.json()["type"]) == (400, "error")


@pytest.mark.parametrize("sent", [b"", b"POST /v1/messages HTTP/1.1\r\nhost: lo"])
def test_who_never_ends_a_head_is_let_go_of(
    gateway: GatewayThread, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connection, "HEAD_LIMIT_S", 0.3)

    async def main() -> bytes:
        async with RawClient(gateway.address) as client:
            await client.send_bytes(sent)
            return await client.closed()

    assert run(main()).startswith(b"HTTP/1.1 408 ")


def test_who_drips_a_second_head_is_let_go_of_too(gateway: GatewayThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_LIMIT_S", 0.5)

    async def main() -> None:
        async with RawClient(gateway.address) as client:
            assert (await client.ask("GET", "/health"))[0] == 200
            async for byte in _dripped(b"GET /health HTTP/1.1\r\nx: " + b"y" * 100_000):
                try:
                    await client.send_bytes(byte)
                except ConnectionError:
                    return
            raise AssertionError("it was let go on")

    run(main())


async def _dripped(data: bytes) -> AsyncIterator[bytes]:
    for place in range(len(data)):
        yield data[place : place + 1]
        await asyncio.sleep(0.02)  # the attack itself


def test_a_head_without_end_is_refused(gateway: GatewayThread) -> None:
    async def main() -> bytes:
        async with RawClient(gateway.address) as client:
            await client.send_bytes(b"GET /health HTTP/1.1\r\nhost: localhost\r\n")
            for _ in range(64):
                try:
                    await client.send_bytes(b"x: " + b"y" * 65_536)
                except ConnectionError:
                    break
            return await client.closed()

    assert run(main())[:12] in (b"HTTP/1.1 431", b"")  # or the reset came before it could be read


@pytest.mark.parametrize("path", POSTS)
def test_who_drips_a_body_is_told_and_let_go_of(
    gateway: GatewayThread, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(wire, "_BODY_TIMEOUT_S", 0.2)

    async def main() -> int:
        async with RawClient(gateway.address) as client:
            head = f"POST {filled(path)} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50\r\n\r\n{{"
            await client.send_bytes(head.encode())
            return await client.head()

    assert run(main()) == 408


def test_many_connections_that_say_nothing_keep_nobody_out(gateway: GatewayThread) -> None:
    silent = [socket.create_connection(gateway.address) for _ in range(300)]
    try:
        assert httpx.get(gateway.url + "/health").status_code == 200
    finally:
        for one in silent:
            one.close()


def test_a_socket_flooded_with_nonsense_answers_each_and_still_works(gateway: GatewayThread) -> None:
    nonsense = ["", "[" * 50_000, "{}", '{"type":"start"}', '{"type":"cancel","stream_id":"no"}', '{"type":"ping"}']

    async def main() -> None:
        async with connect(gateway.url.replace("http", "ws") + "/ws/stream", max_queue=None) as flood:
            async with asyncio.TaskGroup() as group:
                group.create_task(_send(flood, nonsense * 300))
                for _ in range(len(nonsense) * 300):
                    assert json.loads(await flood.recv())["type"] in ("error", "pong")
            await flood.send('{"type":"start","stream_id":"s","query":"Hi"}')
            while json.loads(await flood.recv())["type"] != "complete":
                pass

    run(main())


async def _send(socket: Any, messages: list[str]) -> None:
    for message in messages:
        await socket.send(message)


@pytest.mark.parametrize("path", ["/ws/stream", "/v1/responses"])
@pytest.mark.parametrize("reads", [False, True])
def test_who_floods_a_socket_does_not_slow_others_down(gateway: GatewayThread, path: str, *, reads: bool) -> None:
    wish = b'{"type":"cancel","stream_id":"x"}'
    frames = (b"\x81%c\0\0\0\0%b" % (0x80 | len(wish), wish)) * 5000

    async def flood(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(frames)
            await writer.drain()

    async def drink(reader: asyncio.StreamReader) -> None:
        while await reader.read(1 << 20):
            pass

    async def main() -> list[float]:
        reader, writer = await asyncio.open_connection(*gateway.address)
        writer.write(
            b"GET %b HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" % path.encode()
        )
        assert b" 101 " in await reader.readline()
        took: list[float] = []
        tasks = [asyncio.create_task(flood(writer)), *([asyncio.create_task(drink(reader))] if reads else [])]
        async with RawClient(gateway.address) as client:
            for _ in range(25):
                began = time.perf_counter()
                assert (await client.ask("GET", "/health"))[0] == 200
                took.append(time.perf_counter() - began)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.transport.abort()
        return took

    took = sorted(run(main(), 60))
    assert took[len(took) // 2] < 0.25, "seconds for what takes a millisecond"


def test_more_streams_than_a_socket_may_have_are_refused_by_name(gateway: GatewayThread) -> None:
    async def main() -> list[dict[str, Any]]:
        async with connect(gateway.url.replace("http", "ws") + "/ws/stream", max_queue=None) as flood:
            for number in range(500):
                await flood.send(f'{{"type":"start","stream_id":"s{number}","query":"Hi"}}')
            ends: list[dict[str, Any]] = []
            while len(ends) < 500:
                said = json.loads(await flood.recv())
                if said["type"] in ("complete", "error"):
                    ends.append(said)
            return ends

    ends = run(main(), 60)
    refused = [one for one in ends if one["type"] == "error"]
    assert {one["code"] for one in refused} <= {"rate_limit"}
    assert len({one["stream_id"] for one in ends}) == 500


def test_a_message_too_large_for_a_socket_ends_it(gateway: GatewayThread) -> None:
    async def main() -> int:
        async with connect(gateway.url.replace("http", "ws") + "/ws/stream") as flood:
            with pytest.raises(ConnectionClosed) as closed:
                await flood.send("x" * (MAX_BODY + 1))
                await flood.recv()
            return closed.value.rcvd.code if closed.value.rcvd is not None else 0

    assert run(main()) == 1009


TRICKS = (
    "/../../../../etc/passwd",
    "/web/../../../../etc/passwd",
    "/web/..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/web/%2e%2e/%2e%2e/millstream/app.py",
    "/web/..\\..\\millstream\\app.py",
    "/web/%00index.html",
    "/web//etc/passwd",
    "/web/",
    "/web/page.py",
    "//etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/api/v1/runs/..%2f..%2fnames%2fx",
    "/api/v1/runs/%2e%2e",
    "/api/v1/stream/..%2frun_x",
    "/api/v1/runs/%00",
    "/api/v1/runs/" + "r" * 5000,
    "/v1/models/../../../etc/passwd",
    "/v1/models/%ff%fe",
    "/v1/responses/..%2f..%2fx",
    "/mcp/chat/stream/%0d%0aset-cookie:%20a=b",
    "/docs/../openapi.json/..",
    "/" + "a/" * 10_000,
    "http://evil.example/etc/passwd",
    "/?" + "a=b&" * 10_000,
)


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick[:40])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_path_of_tricks_leads_to_no_file_and_no_failure(gateway: GatewayThread, trick: str, method: str) -> None:
    async def main() -> tuple[int, dict[str, str], bytes]:
        async with RawClient(gateway.address) as client:
            status, body = await client.ask(method, trick, headers={"accept": "text/html"})
            return status, client.headers, body

    status, headers, body = run(main())
    assert status in (200, 204, 307, 400, 404, 405, 414), body[:300]
    assert b"root:" not in body
    assert b"import annotations" not in body
    assert "set-cookie" not in headers
    if status == 200:
        assert trick.startswith("/?"), "only a query too long is still a query"
