"""Gateways that share a journal: one goes on where another was, and ends what a killed one has left."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_site import run
from plain_site import WIRE, PlainSite, body, frames
from raw_client import RawClient
from raw_http import Cut
from raw_upstream import Call, RawUpstream
from redis_server import redis_server
from responses_site import Held
from sse_reader import EventSource

from millstream.server.runs import watch
from millstream.sessions.journal import Journal
from millstream.sessions.journal_redis import RedisJournal
from millstream.sessions.journal_sqlite import SqliteJournal
from millstream.testing.gateway import GatewayThread

PROGRAM = Path(__file__).parents[2] / "support/gateway_to_kill.py"
LEASE_S = 1.0


@pytest.fixture(params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a journal is that several gateways share: a file's path, or a URL."""
    if request.param == "sqlite":
        yield str(tmp_path / "runs.db")
    else:
        with redis_server() as server:
            yield server.url


def _journal(place: str) -> Journal:
    if place.startswith("unix:"):
        return RedisJournal(place, time.time, 2**26)
    return SqliteJournal(Path(place), time.time, 2**26)


def test_a_stream_of_a_killed_gateway_is_resumed_at_another_and_ends_there(
    plain: PlainSite, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LEASE_S", LEASE_S)
    monkeypatch.setattr(watch, "EVERY_S", LEASE_S / 4)

    async def endless(call: Call) -> None:
        await call.head()
        await call.send(WIRE.start())
        number = 0
        while True:
            await call.send(WIRE.text(0, f"{number} ", first=number == 0))
            number += 1
            await asyncio.sleep(0.001)

    async def main() -> None:
        async with RawUpstream(endless) as upstream:
            arguments = [str(PROGRAM), place, upstream.url + "/v1", str(LEASE_S)]
            process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
            try:
                assert process.stdout is not None
                port = int(await process.stdout.readline())
                async with RawClient(("127.0.0.1", port)) as client:
                    await client.send("POST", "/api/v1/stream", body(run_id="killed"))
                    assert await client.head() == 200
                    got = await client.body.until(b'"200 "')
                    process.kill()
                    with pytest.raises(Cut) as cut:
                        await client.body.rest()
                    got += cut.value.got
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()
        told = frames(got)
        journal = _journal(place)
        with GatewayThread(plain.config(), journal=journal) as gateway:
            again = await EventSource(gateway.address, "/api/v1/stream/killed").read()
            *pieces, end = again
            shared = min(len(pieces), len(told))
            assert shared > 100
            assert pieces[:shared] == told[:shared], "what was written down is what was told"
            assert [json.loads(frame.data)["content"] for frame in pieces] == [f"{n} " for n in range(len(pieces))]
            said = json.loads(end.data)
            assert (said["code"], said["retryable"]) == ("run_lost", True)
            kept = int(pieces[-1].number)
            assert f"event {kept}" in said["message"]
            async with RawClient(gateway.address) as client:
                beyond = {"last-event-id": str(kept + 3)}  # the end takes two numbers
                status, _ = await client.ask("GET", "/api/v1/stream/killed", headers=beyond)
                assert status == 410

    run(main(), 40)


def test_a_run_is_read_and_cancelled_at_another_gateway_than_its_own(plain: PlainSite, place: str) -> None:
    async def main() -> None:
        held = Held()
        one, two = (GatewayThread(plain.config(), journal=_journal(place)) for _ in range(2))
        async with plain.upstream(held) as upstream:
            with one, two:
                async with RawClient(one.address) as here, RawClient(two.address) as there:
                    await here.send("POST", "/api/v1/stream", body(run_id="shared"))
                    assert await here.head() == 200
                    await there.send("POST", "/api/v1/stream", body(run_id="shared"))
                    assert await there.head() == 200
                    got = [await client.body.until(b'"one"') for client in (here, there)]
                    async with RawClient(two.address) as third:
                        assert (await third.ask("POST", "/api/v1/runs/shared/cancel"))[0] == 200
                    await held.gone
                    got = [data + await client.body.rest() for data, client in zip(got, (here, there), strict=True)]
                    assert frames(got[0]) == frames(got[1])
                    assert json.loads(frames(got[0])[-1].data)["code"] == "cancelled"
                    assert len(upstream.calls) == 1

    run(main())
