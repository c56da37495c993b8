"""When a stream's head leaves, and what fills its silences."""

import asyncio
import json

import pytest
from gateway_site import Site, model_of, run
from raw_client import RawClient
from raw_upstream import Call
from wires import AnthropicWire, Wire

pytestmark = pytest.mark.parametrize("site", [True, False], ids=["direct", "any-server"], indirect=True, scope="module")

NEVER = 3600.0
SOON = 0.03


async def keepalives(sender: RawClient, wire: Wire, number: int, got: bytes = b"") -> bytes:
    """``got`` and what comes until ``number`` more keepalives have come."""
    wanted = wire.hear(got).keepalives + number
    while wire.hear(got).keepalives < wanted:
        piece = await sender.body.read()
        assert piece
        got += piece
    return got


def test_the_head_leaves_when_the_upstream_has_answered_though_it_has_said_nothing(
    site: Site, client: Wire, upstream: Wire
) -> None:
    seen = asyncio.Event()

    async def answer(call: Call) -> None:
        await call.head()
        await seen.wait()
        for piece in upstream.answer("At last."):
            await call.send(piece)
        await call.end()

    async def main() -> None:
        async with site.upstream(answer), site.client(eager_after=NEVER, heartbeat=NEVER) as sender:
            await sender.send("POST", client.path, client.request(model=model_of(upstream)))
            assert await sender.head() == 200
            seen.set()
            assert client.hear(await sender.body.rest()).text == "At last."

    run(main())


def test_each_piece_leaves_as_soon_as_it_has_come(site: Site, client: Wire, upstream: Wire) -> None:
    heard = asyncio.Semaphore(0)

    async def answer(call: Call) -> None:
        await call.head()
        await call.send(upstream.start() + upstream.text(0, "word0", first=True))
        for number in range(1, 4):
            await heard.acquire()
            await call.send(upstream.text(0, f"word{number}"))
        await heard.acquire()
        await call.send(upstream.close(0) + upstream.end())
        await call.end()

    async def main() -> None:
        async with site.upstream(answer), site.client(eager_after=NEVER, heartbeat=NEVER) as sender:
            await sender.send("POST", client.path, client.request(model=model_of(upstream)))
            await sender.head()
            for number in range(4):
                await sender.body.until(b"word%d" % number)
                heard.release()
            client.hear(await sender.body.rest())

    run(main())


def test_a_late_upstreams_client_gets_its_head_early(site: Site, client: Wire, upstream: Wire) -> None:
    seen = asyncio.Event()

    async def answer(call: Call) -> None:
        await seen.wait()
        await call.stream(*upstream.answer("Late."))

    async def main() -> None:
        async with site.upstream(answer), site.client(eager_after=SOON, heartbeat=NEVER) as sender:
            await sender.send("POST", client.path, client.request(model=model_of(upstream)))
            assert await sender.head() == 200
            first = await keepalives(sender, client, 1)
            seen.set()
            heard = client.hear(first + await sender.body.rest())
            assert (heard.text, heard.starts, heard.ends, heard.errors) == ("Late.", 1, 1, [])

    run(main())


def test_silence_is_filled_before_within_and_between_frames(site: Site, client: Wire, upstream: Wire) -> None:
    """Half a frame of the upstream's is never followed by a keepalive, not even where its bytes pass untouched."""
    silent_twice = asyncio.Semaphore(0)
    frame = upstream.text(0, "one two", first=True)
    half = frame.index(b"one") + 5

    async def answer(call: Call) -> None:
        await call.head()
        await silent_twice.acquire()
        await call.send(upstream.start() + frame[:half])
        await silent_twice.acquire()
        await call.send(frame[half:])
        await silent_twice.acquire()
        await call.send(upstream.close(0) + upstream.end())
        await call.end()

    async def main() -> None:
        async with site.upstream(answer), site.client(heartbeat=SOON) as sender:
            await sender.send("POST", client.path, client.request(model=model_of(upstream)))
            await sender.head()
            got = b""
            for _ in range(3):
                got = await keepalives(sender, client, 2, got)
                silent_twice.release()
            heard = client.hear(got + await sender.body.rest())
            assert (heard.text, heard.starts, heard.ends, heard.errors) == ("one two", 1, 1, [])
            assert heard.keepalives >= 6

    run(main())


def test_an_upstream_that_keeps_its_line_open_after_the_end_adds_nothing_to_the_answer(
    site: Site, client: Wire, upstream: Wire
) -> None:
    async def answer(call: Call) -> None:
        await call.head()
        for piece in upstream.answer("Done."):
            await call.send(piece)
        await call.gone()

    async def main() -> None:
        async with site.upstream(answer), site.client(heartbeat=SOON) as sender:
            for _ in range(2):  # the second answer would begin with what came after the first
                await sender.send("POST", client.path, client.request(model=model_of(upstream)))
                assert await sender.head() == 200
                heard = client.hear(await sender.body.rest())
                assert (heard.text, heard.ends) == ("Done.", 1)

    run(main())


def test_what_fills_the_silence_is_what_each_dialects_clients_take(site: Site, client: Wire) -> None:
    async def answer(call: Call) -> None:
        await call.head()
        await call.gone()

    async def main() -> None:
        async with site.upstream(answer), site.client(heartbeat=SOON) as sender:
            await sender.send("POST", client.path, client.request(model=model_of(client)))
            await sender.head()
            frame = await sender.body.read()
            if isinstance(client, AnthropicWire):
                name, data = frame.split(b"\n")[:2]
                assert (name, json.loads(data[6:])) == (b"event: ping", {"type": "ping"})
            else:
                assert frame.startswith(b":")

    run(main())


@pytest.mark.parametrize("settings", [{"heartbeat": SOON}, {"eager_after": SOON, "heartbeat": NEVER}])
def test_silence_is_filled_though_only_the_upstream_understands_the_request(
    site: Site, client: Wire, settings: dict[str, float]
) -> None:
    seen = asyncio.Event()

    async def answer(call: Call) -> None:
        if "eager_after" not in settings:
            await call.head()
        await seen.wait()
        if "eager_after" in settings:
            await call.head()
        for piece in client.answer("Understood."):
            await call.send(piece)
        await call.end()

    async def main() -> None:
        async with site.upstream(answer), site.client(**settings) as sender:
            body = client.request(model=model_of(client), messages="of a shape that nobody here knows")
            await sender.send("POST", client.path, body)
            assert await sender.head() == 200
            first = await keepalives(sender, client, 1)
            seen.set()
            heard = client.hear(first + await sender.body.rest())
            assert (heard.text, heard.errors) == ("Understood.", [])

    run(main())


def test_a_whole_reply_needs_no_keepalive_and_has_its_length(site: Site, client: Wire, upstream: Wire) -> None:
    async def answer(call: Call) -> None:
        if client.name == upstream.name:
            await call.answer(200, upstream.reply("Whole."))
        else:
            await call.stream(*upstream.answer("Whole."))

    async def main() -> None:
        async with site.upstream(answer), site.client(heartbeat=SOON, eager_after=SOON) as sender:
            body = client.request(model=model_of(upstream), stream=False)
            status, reply = await sender.ask("POST", client.path, body)
            assert (status, client.said_in(reply)) == (200, "Whole.")
            assert sender.headers["content-length"] == str(len(reply))
            assert sender.headers["content-type"] == "application/json"

    run(main())


def test_an_upstream_that_answers_a_stream_request_whole_is_streamed(site: Site, client: Wire, upstream: Wire) -> None:
    async def answer(call: Call) -> None:
        assert json.loads(call.body)["stream"] is True
        await call.answer(200, upstream.reply("All at once."))

    async def main() -> None:
        async with site.upstream(answer), site.client() as sender:
            status, stream = await sender.ask("POST", client.path, client.request(model=model_of(upstream)))
            heard = client.hear(stream)
            assert (status, heard.text, heard.starts, heard.ends) == (200, "All at once.", 1, 1)
            assert sender.headers["content-type"].startswith("text/event-stream")

    run(main())
