"""A network that breaks hundreds of times: what its readers put together is the journal, byte for byte."""

from __future__ import annotations

import asyncio
import json
import random

import pytest
from chaos_proxy import chaos
from gateway_site import run
from plain_site import WIRE, PlainSite, body, frames, kept_entries
from raw_client import RawClient
from raw_upstream import Call
from sse_reader import EventSource, Frame
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage

from millstream.dialects.chat_events import ChatEvents

CUTS = 150
PIECES = 400


def _pieces(seed: int) -> list[str]:
    source = random.Random(seed)
    return ["".join(source.choices('ab \n"\\ü🎈', k=source.randint(1, 12))) for _ in range(PIECES)]


async def _from_journal(address: tuple[str, int], run_id: str) -> list[Frame]:
    """What the run's journal says, without any stream."""
    return frames(ChatEvents().render(await kept_entries(address, run_id)))


@pytest.mark.parametrize("seed", [1, 2])
def test_an_event_source_on_a_breaking_wire_misses_nothing_and_repeats_nothing(plain: PlainSite, seed: int) -> None:
    pieces = _pieces(seed)

    async def main() -> None:
        go_on = asyncio.Event()

        async def says(call: Call) -> None:
            await call.head()
            await call.send(WIRE.start())
            for number, piece in enumerate(pieces):
                await call.send(WIRE.text(0, piece, first=number == 0))
                if number == PIECES // 2:
                    await go_on.wait()
            await call.send(WIRE.close(0) + WIRE.end())
            await call.end()

        gateway = plain.gateway(held=4000)
        run_id = f"chaos-{seed}"
        async with plain.upstream(says), chaos(gateway.address, seed, CUTS, most=1500) as proxy:
            async with RawClient(gateway.address) as client:
                await client.send("POST", "/api/v1/stream", body(run_id=run_id, on_disconnect="detach"))
                await client.head()
                await client.body.until(b"event: message")
            source = EventSource(proxy.address, f"/api/v1/stream/{run_id}")
            reading = asyncio.create_task(source.read())
            await source.has_read(PIECES // 2)
            go_on.set()
            got = await reading
            assert proxy.cuts > CUTS // 3
            assert got == await _from_journal(gateway.address, run_id)
            assert "".join(json.loads(frame.data)["content"] for frame in got[:-1]) == "".join(pieces)
            assert got[-1].name == "complete"

    run(main(), 60)


def test_a_websocket_on_a_breaking_wire_misses_nothing_and_repeats_nothing(plain: PlainSite) -> None:
    pieces = _pieces(3)

    async def says(call: Call) -> None:
        said = [WIRE.text(0, piece, first=number == 0) for number, piece in enumerate(pieces)]
        await call.stream(WIRE.start(), *said, WIRE.close(0), WIRE.end())

    async def main() -> None:
        gateway = plain.gateway(on_disconnect="detach")
        got: list[dict[str, object]] = []
        async with plain.upstream(says), chaos(gateway.address, 3, CUTS, least=200, most=2500) as proxy:
            host, port = proxy.address
            wish: dict[str, object] = {
                "type": "start",
                "stream_id": "s",
                "run_id": "chaos-ws",
                "query": "x",
                "on_disconnect": "detach",
            }
            while not got or got[-1]["type"] == "chunk":
                try:
                    async with connect(f"ws://{host}:{port}/ws/stream", proxy=None, compression=None) as socket:
                        await socket.send(json.dumps(wish))
                        async for message in socket:
                            said = json.loads(message)
                            if said["type"] == "started":
                                wish["type"] = "resume"
                            else:
                                assert said["type"] in ("chunk", "complete"), said
                                got.append(said)
                                wish["after"] = said["seq"]
                                if said["type"] == "complete":
                                    break
                except (ConnectionClosed, InvalidMessage, OSError, EOFError):
                    await asyncio.sleep(0)
            assert proxy.cuts > 20
        journal = await _from_journal(gateway.address, "chaos-ws")
        assert [(str(said.pop("seq")), said) for said in got if said.pop("stream_id") == "s"] == [
            (frame.number, json.loads(frame.data)) for frame in journal
        ]

    run(main(), 60)
