"""A gateway with runs, an upstream that a test plays itself, and clients of plain streams."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from gateway_site import Site
from raw_client import RawClient
from raw_upstream import Answer, Call, RawUpstream
from sse_reader import Frame, FrameReader
from wires import ChatWire

from millstream.config import Config, RunsConfig
from millstream.core.run_events import RunEntry, decode_entry
from millstream.testing.gateway import GatewayThread

WIRE = ChatWire()
MODEL = "openai_chat-up/m"


class PlainSite:
    """One gateway for each group of ``[runs]`` settings that is asked for."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._gateways: dict[str, GatewayThread] = {}

    def close(self) -> None:
        for gateway in self._gateways.values():
            gateway.stop()
        for gateway in self._gateways.values():
            gateway.join()

    def upstream(self, *answers: Answer) -> RawUpstream:
        return self._site.upstream(*answers)

    def gateway(self, server: dict[str, Any] | None = None, **runs: Any) -> GatewayThread:
        key = repr((server, sorted(runs.items())))
        if key not in self._gateways:
            self._gateways[key] = GatewayThread(self.config(server, **runs)).__enter__()
        return self._gateways[key]

    def config(self, server: dict[str, Any] | None = None, **runs: Any) -> Config:
        config = self._site.config(default_model=MODEL, **(server or {}))
        return msgspec.structs.replace(config, runs=RunsConfig(**runs))

    def client(self, **runs: Any) -> RawClient:
        return RawClient(self.gateway(**runs).address)


def body(query: str = "Say hello.", **fields: Any) -> bytes:
    return json.dumps({"query": query, **fields}).encode()


def frames(data: bytes) -> list[Frame]:
    return FrameReader().feed(data)


def objects(found: list[Frame]) -> list[dict[str, Any]]:
    return [json.loads(frame.data) for frame in found]


def text_of(found: list[Frame]) -> str:
    return "".join(said["content"] for said in objects(found) if said["type"] == "chunk")


def words(*pieces: str) -> Answer:
    """Says ``pieces`` one by one, each in a read of its own as far as that can be had."""

    async def answer(call: Call) -> None:
        await call.stream(
            WIRE.start(),
            *(WIRE.text(0, piece, first=not n) for n, piece in enumerate(pieces)),
            WIRE.close(0),
            WIRE.end(),
        )

    return answer


async def kept_entries(address: tuple[str, int], run_id: str) -> list[RunEntry]:
    """What the journal has of a run that has ended, without any stream."""
    entries: list[RunEntry] = []
    async with RawClient(address) as client:
        while not entries or len(entries) < int(client.headers["x-millstream-last"]):
            _, data = await client.ask("GET", f"/api/v1/runs/{run_id}/events?after={len(entries)}")
            entries += [decode_entry(at, line) for at, line in enumerate(data.splitlines(), len(entries) + 1)]
    return entries
