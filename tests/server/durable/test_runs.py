"""Runs, read as Durable Streams."""

from __future__ import annotations

import json
from collections.abc import Generator

import pytest
from gateway_site import Site, run
from plain_site import PlainSite, body, words
from raw_client import RawClient

from millstream.core.run_events import decode_entry


@pytest.fixture(scope="module")
def plain() -> Generator[PlainSite]:
    site = Site()
    found = PlainSite(site)
    try:
        yield found
    finally:
        found.close()
        site.close()


async def _begin(plain: PlainSite, client: RawClient) -> str:
    """A run that has ended; its id."""
    status, _ = await client.ask("POST", "/api/v1/stream", body())
    assert status == 200
    return client.headers["x-millstream-run"]


def test_a_run_is_a_closed_stream_of_its_events(plain: PlainSite) -> None:
    async def main() -> None:
        async with plain.upstream(words("Hel", "lo")), plain.client() as client:
            path = f"/v1/stream/runs/{await _begin(plain, client)}"
            status, _ = await client.ask("HEAD", path)
            assert (status, client.headers["content-type"]) == (200, "application/json")
            assert client.headers["stream-closed"] == "true"
            tail = client.headers["stream-next-offset"]
            status, data = await client.ask("GET", path)
            assert (status, client.headers["stream-next-offset"]) == (200, tail)
            assert client.headers["stream-up-to-date"] == client.headers["stream-closed"] == "true"
            entries = json.loads(data)
            said = [decode_entry(n, json.dumps(entry).encode()).event for n, entry in enumerate(entries, 1)]
            assert [type(event).__name__ for event in said][:: len(said) - 1] == ["RunStart", "RunEnd"]
            status, data = await client.ask("GET", f"{path}?offset={0:016}_{0:016}&live=sse")
            assert status == 200
            assert b'"streamClosed":true' in data
            status, data = await client.ask("GET", f"{path}?offset={tail}&live=long-poll")
            assert (status, client.headers["stream-closed"]) == (204, "true")

    run(main())


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_a_run_can_only_be_read(plain: PlainSite, method: str) -> None:
    async def main() -> None:
        async with plain.upstream(words("Hello")), plain.client() as client:
            path = f"/v1/stream/runs/{await _begin(plain, client)}"
            status, _ = await client.ask(method, path, b"x", {"content-type": "application/json"})
            assert (status, client.headers["allow"]) == (405, "GET, HEAD")

    run(main())
