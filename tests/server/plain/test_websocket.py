"""Many plain streams on one WebSocket."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from gateway_site import run
from plain_site import WIRE, PlainSite, words
from raw_upstream import Call
from responses_site import Held
from responses_socket import socket_to
from websockets.asyncio.client import ClientConnection
from websockets.extensions.permessage_deflate import PerMessageDeflate

PATH = "/ws/stream"


async def say(socket: ClientConnection, kind: str, **fields: Any) -> None:
    await socket.send(json.dumps({"type": kind, **fields}))


async def hear(socket: ClientConnection, until: str, stream_id: str | None = None) -> list[dict[str, Any]]:
    """To the first message of the kind ``until``, of that stream if one is named."""
    found: list[dict[str, Any]] = []
    while not found or found[-1]["type"] != until or (stream_id and found[-1].get("stream_id") != stream_id):
        found.append(json.loads(await socket.recv()))
    return found


def test_streams_share_a_socket_and_none_waits_for_another(plain: PlainSite) -> None:
    async def main() -> None:
        held = Held()

        async def answer(call: Call) -> None:
            if b"slow" in call.body:
                await held(call)
            elif b"broken" in call.body:
                call.reset()
            else:
                await words("quick ", "one")(call)

        async with plain.upstream(answer), socket_to(plain.gateway(), PATH) as socket:
            await say(socket, "start", stream_id="s", query="slow")
            await hear(socket, "chunk", "s")
            await say(socket, "start", stream_id="b", query="broken")
            await say(socket, "start", stream_id="q", query="quick")
            found = await hear(socket, "complete", "q")
            mine = [one for one in found if one["stream_id"] == "q"]
            assert [one["type"] for one in mine] == ["started", "chunk", "chunk", "complete"]
            numbers = [one["seq"] for one in mine[1:]]
            assert numbers == sorted(set(numbers))
            while not any(one["type"] == "error" and one["stream_id"] == "b" for one in found):
                found += [json.loads(await socket.recv())]
            held.go_on.set()
            assert (await hear(socket, "complete", "s"))[-1]["metrics"]["chunks"] == 2

    run(main())


def test_a_stream_is_cancelled_by_its_name_and_its_upstream_with_it(plain: PlainSite) -> None:
    async def main() -> None:
        held = Held()
        async with plain.upstream(held), socket_to(plain.gateway(), PATH) as socket:
            await say(socket, "start", stream_id="s", query="x")
            await hear(socket, "chunk")
            await say(socket, "cancel", stream_id="s")
            assert (await hear(socket, "error"))[-1]["code"] == "cancelled"
            await held.gone

    run(main())


def test_who_leaves_takes_all_streams_along(plain: PlainSite) -> None:
    async def main() -> None:
        held = Held()
        async with plain.upstream(held):
            async with socket_to(plain.gateway(), PATH) as socket:
                await say(socket, "start", stream_id="s", query="x")
                await hear(socket, "chunk")
            await held.gone

    run(main())


def test_a_stream_is_resumed_by_its_name_on_another_socket(plain: PlainSite) -> None:
    async def main() -> None:
        held = Held()
        gateway = plain.gateway()
        async with plain.upstream(held):
            async with socket_to(gateway, PATH) as socket:
                await say(socket, "start", stream_id="tab-1", query="x", on_disconnect="detach")
                first = (await hear(socket, "chunk"))[-1]
            async with socket_to(gateway, PATH) as socket:
                await say(socket, "resume", stream_id="tab-1", after=first["seq"])
                held.go_on.set()
                rest = await hear(socket, "complete")
                assert [one["content"] for one in rest if one["type"] == "chunk"] == [" two"]
                await say(socket, "resume", stream_id="tab-1", after=rest[-1]["seq"])
                assert (await hear(socket, "ended"))[-1]["stream_id"] == "tab-1"
                await say(socket, "resume", stream_id="tab-1")
                again = await hear(socket, "complete")
                assert [one["content"] for one in again if one["type"] == "chunk"] == ["one", " two"]

    run(main())


def test_a_name_may_be_used_again_and_stands_for_the_latest(plain: PlainSite) -> None:
    async def main() -> None:
        gateway = plain.gateway()
        async with plain.upstream(words("first"), words("second")):
            for expected in ("first", "second"):
                async with socket_to(gateway, PATH) as socket:
                    await say(socket, "start", stream_id="again", query="x")
                    assert (await hear(socket, "chunk"))[-1]["content"] == expected
                    await hear(socket, "complete")
            async with socket_to(gateway, PATH) as socket:
                await say(socket, "resume", stream_id="again")
                assert (await hear(socket, "chunk"))[-1]["content"] == "second"

    run(main())


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", "invalid_request"),
        ('{"type":"dance"}', "invalid_request"),
        ('{"type":"start","query":"x"}', "invalid_request"),
        ('{"type":"start","stream_id":"","query":"x"}', "invalid_request"),
        ('{"type":"start","stream_id":"s"}', "invalid_request"),
        ('{"type":"start","stream_id":"s","query":"x","model":"no/such"}', "model_not_found"),
        ('{"type":"resume","stream_id":"unknown"}', "stream_not_found"),
        ('{"type":"resume","stream_id":"s","run_id":"unknown"}', "run_not_found"),
        ('{"type":"cancel","stream_id":"unknown"}', "stream_not_found"),
        (b"\xff", "invalid_request"),
    ],
)
def test_what_cannot_be_done_is_said_and_the_socket_lives_on(plain: PlainSite, message: str | bytes, code: str) -> None:
    async def main() -> None:
        async with socket_to(plain.gateway(), PATH) as socket:
            await socket.send(message)
            said = json.loads(await socket.recv())
            assert (said["type"], said["code"]) == ("error", code)
            await say(socket, "ping")
            assert json.loads(await socket.recv()) == {"type": "pong"}

    run(main())


def test_a_stream_may_not_be_begun_twice_at_once(plain: PlainSite) -> None:
    async def main() -> None:
        held = Held()
        async with plain.upstream(held), socket_to(plain.gateway(), PATH) as socket:
            await say(socket, "start", stream_id="s", query="x")
            await hear(socket, "chunk")
            await say(socket, "start", stream_id="s", query="x")
            assert (await hear(socket, "error"))[-1]["code"] == "stream_in_use"
            held.go_on.set()
            await hear(socket, "complete")

    run(main())


def test_messages_are_compressed_and_silence_is_filled(plain: PlainSite) -> None:
    async def main() -> None:
        async with socket_to(plain.gateway(heartbeat=0.05), PATH) as socket:
            assert any(isinstance(one, PerMessageDeflate) for one in socket.protocol.extensions)
            assert json.loads(await socket.recv()) == {"type": "heartbeat"}

    run(main())


def test_a_client_that_reads_nothing_holds_up_neither_its_runs_nor_others(plain: PlainSite) -> None:
    big = "x" * 20_000

    async def main() -> None:
        async def much(call: Call) -> None:
            await call.stream(
                WIRE.start(), *(WIRE.text(0, big, first=n == 0) for n in range(200)), WIRE.close(0), WIRE.end()
            )

        gateway = plain.gateway(held=100_000)
        async with plain.upstream(much), socket_to(gateway, PATH, max_queue=1, compression=None) as deaf:
            await say(deaf, "start", stream_id="big", run_id="big", query="x")
            async with socket_to(gateway, PATH, max_size=None) as other:
                async with asyncio.timeout(15):
                    while True:
                        await say(other, "resume", stream_id="big", run_id="big")
                        heard = await _ended(other)  # an error, until the run has begun
                        if heard[-1]["type"] == "complete":
                            break
                assert sum(one["type"] == "chunk" for one in heard) == 200
            got = await hear(deaf, "complete")
            assert sum(one["type"] == "chunk" for one in got) == 200

    run(main())


async def _ended(socket: ClientConnection) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while not found or found[-1]["type"] not in ("complete", "error"):
        found.append(json.loads(await socket.recv()))
    return found
