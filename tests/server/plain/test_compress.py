"""Compressed streams can be read as they come, in each coding."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import brotli
import pytest
import zstandard
from gateway_site import run
from plain_site import PlainSite, body, frames, text_of
from responses_site import Held

from millstream.server.runs.compress import choose

Decode = Callable[[bytes], bytes]


def _decoders() -> dict[str, Callable[[], Decode]]:
    def of_brotli() -> Decode:
        decoder: Any = brotli.Decompressor()
        return lambda data: bytes(decoder.process(data))

    return {
        "gzip": lambda: zlib.decompressobj(31).decompress,
        "br": of_brotli,
        "zstd": lambda: zstandard.ZstdDecompressor().decompressobj().decompress,
    }


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_each_piece_can_be_decoded_when_it_has_come(plain: PlainSite, coding: str) -> None:
    async def main() -> None:
        held = Held()
        decode = _decoders()[coding]()
        async with plain.upstream(held), plain.client(heartbeat=0.2) as client:
            await client.send("POST", "/api/v1/stream", body(), {"accept-encoding": coding})
            assert await client.head() == 200
            assert client.headers["content-encoding"] == coding
            assert "accept-encoding" in client.headers["vary"].lower()
            got = b""
            while b'"one"' not in got or b": keepalive" not in got:
                got += decode(await client.body.read())
            held.go_on.set()
            while piece := await client.body.read():
                got += decode(piece)
            assert text_of(frames(got)) == "one two"

    run(main())


@pytest.mark.parametrize(
    ("wish", "coding"),
    [
        ("", None),
        ("identity", None),
        ("*", None),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate, br", "br"),
        ("br;q=0.1, gzip;q=0.9", "gzip"),
        ("GZIP;Q=0.5", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=x", None),
        ("identity, gzip;q=0.5", None),
        ("deflate", None),
    ],
)
def test_the_clients_wish_decides(wish: str, coding: str | None) -> None:
    chosen = choose({"accept-encoding": wish})
    assert (chosen.name if chosen is not None else None) == coding


def test_behind_a_proxy_that_tells_of_itself_nothing_is_compressed() -> None:
    assert choose({"accept-encoding": "gzip, br", "via": "1.1 proxy"}) is None


def test_compression_can_be_turned_off(plain: PlainSite) -> None:
    async def main() -> None:
        held = Held()
        async with plain.upstream(held), plain.client(compression=False) as client:
            held.go_on.set()
            _, data = await client.ask("POST", "/api/v1/stream", body(), {"accept-encoding": "gzip, br"})
            assert "content-encoding" not in client.headers
            assert text_of(frames(data)) == "one two"

    run(main())
