"""Reads that go from socket to socket in one call, and what must not get lost there: order, back-pressure, silence."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Generator
from unittest.mock import patch

import pytest
from gateway_site import Site, model_of, run
from raw_client import RawClient
from raw_upstream import Call
from wires import Wire

from millstream.shortcut import Shortcut

WORDS = [f" word{number}" for number in range(50)]
NEVER = 3600.0
SMALL = 32 * 1024
BUFFERS = 96 * 1024 * 1024
"""More than the kernel's buffers and ours hold; see ``test_leaving``."""


@pytest.fixture
def taken() -> Generator[list[bytes]]:
    """The reads that went the short way."""
    reads: list[bytes] = []
    take = Shortcut.take

    def noted(shortcut: Shortcut, read: bytes) -> bool:
        if done := take(shortcut, read):
            reads.append(read)
        return done

    with patch.object(Shortcut, "take", noted):
        yield reads


async def listen(sender: RawClient, heard: asyncio.Semaphore) -> bytes:
    """All of the body; ``heard`` is released with each chunk of it."""
    got = b""
    while piece := await sender.body.read():
        got += piece
        heard.release()
    return got


def said(site: Site, client: Wire, upstream: Wire, *pieces: bytes, ends: bool = True) -> bytes:
    """What a client is told when an upstream's every piece is a read of its own."""

    async def main() -> bytes:
        heard = asyncio.Semaphore(0)

        async def answer(call: Call) -> None:
            await call.head()
            for piece in pieces:
                await call.send(piece)
                await heard.acquire()
            if ends:
                await call.end()
            else:
                call.cut()

        async with site.upstream(answer), site.client(eager_after=NEVER, heartbeat=NEVER) as sender:
            await sender.send("POST", client.path, client.request(model=model_of(upstream)))
            await sender.head()
            return await listen(sender, heard)

    return run(main())


def test_text_of_every_kind_arrives_in_its_order(site: Site, client: Wire, upstream: Wire, taken: list[bytes]) -> None:
    texts = [" one", " two", "\n\n", ' "three"', " vier \\ fünf", " 六 🎈", " seven", "\u2028", "\x7f", " eight"]
    pieces = [upstream.start() + upstream.text(0, "zero", first=True), *(upstream.text(0, text) for text in texts)]
    heard = client.hear(said(site, client, upstream, *pieces, upstream.close(0) + upstream.end()))
    assert [piece for piece in heard.pieces if piece] == ["zero", *texts]
    assert (heard.ends, heard.errors) == (1, [])
    assert len(taken) >= len(texts) - 2


def test_what_comes_between_goes_the_long_way(site: Site, client: Wire, upstream: Wire, taken: list[bytes]) -> None:
    pieces = [
        upstream.start() + upstream.text(0, "one", first=True),
        *(upstream.text(0, word) for word in WORDS),
        upstream.text(0, "two ") + upstream.text(0, "in one read"),
        *(upstream.text(0, word) for word in WORDS),
        upstream.close(0) + upstream.tool(1, "call_1", "look"),
        upstream.arguments(1, '{"at":'),
        upstream.arguments(1, '"it"}'),
        upstream.close(1) + upstream.text(2, "three", first=True),
        *(upstream.text(2, word) for word in WORDS),
        upstream.close(2) + upstream.end("tools"),
    ]
    stream = said(site, client, upstream, *pieces)
    if client.name == "anthropic":
        numbers = [int(number) for number in re.findall(rb'_delta","index":(\d)', stream)]
        assert numbers == sorted(numbers)
        assert set(numbers) == {0, 1, 2}
    heard = client.hear(stream)
    assert heard.text == "".join(["one", *WORDS, "two in one read", *WORDS, "three", *WORDS])
    assert heard.calls == [("call_1", "look", '{"at":"it"}')]
    assert (heard.ends, heard.errors) == (1, [])
    assert len(taken) >= 3 * len(WORDS) - 6


def test_a_cut_among_them_is_an_error(site: Site, client: Wire, upstream: Wire, taken: list[bytes]) -> None:
    pieces = [
        upstream.start() + upstream.text(0, "one", first=True),
        *(upstream.text(0, word) for word in WORDS),
    ]
    heard = client.hear(said(site, client, upstream, *pieces, ends=False))
    assert heard.text == "".join(["one", *WORDS])
    assert heard.ends == 0
    assert len(heard.errors) == 1
    assert taken


def test_an_error_among_them_is_said(site: Site, client: Wire, upstream: Wire, taken: list[bytes]) -> None:
    pieces = [
        upstream.start() + upstream.text(0, "one", first=True),
        *(upstream.text(0, word) for word in WORDS),
        upstream.error("overloaded", "too much"),
    ]
    heard = client.hear(said(site, client, upstream, *pieces))
    assert heard.text == "".join(["one", *WORDS])
    assert [json.dumps(error).count("too much") for error in heard.errors] == [1]
    assert taken


def test_a_reader_that_pauses_pauses_them_too(site: Site, client: Wire, upstream: Wire, taken: list[bytes]) -> None:
    async def main() -> None:
        paused: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        heard = asyncio.Semaphore(0)
        word = "x" * 1000

        async def endless(call: Call) -> None:
            await call.head()
            await call.send(upstream.start() + upstream.text(0, word, first=True))
            frame = upstream.text(0, word)
            words = 1
            for _ in WORDS:
                await heard.acquire()
                await call.send(frame)
                words += 1
            try:
                while words * len(frame) < BUFFERS:
                    async with asyncio.timeout(0.5):
                        await call.send(frame)
                    words += 1
            except TimeoutError:  # it was taken into our own buffer
                words += 1
            paused.set_result(words)
            await call.send(upstream.close(0) + upstream.end())
            await call.end()

        gateway = site.gateway(eager_after=NEVER, heartbeat=NEVER)
        async with site.upstream(endless), RawClient(gateway.address, receive_buffer=SMALL) as sender:
            await sender.send("POST", client.path, client.request(model=model_of(upstream)))
            await sender.head()
            got = b""
            for _ in WORDS:
                got += await sender.body.read()
                heard.release()
            words = await paused
            assert words * len(upstream.text(0, word)) < BUFFERS
            found = client.hear(got + await sender.body.rest())
            assert found.text == word * words
            assert (found.ends, found.errors) == (1, [])

    run(main())
    assert len(taken) >= len(WORDS) - 4
