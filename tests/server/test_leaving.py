"""A client that leaves takes its upstream with it, at whatever moment; one that reads slowly slows it down."""

import asyncio
import logging

import pytest
from gateway_site import Site, model_of, run
from raw_client import RawClient
from raw_upstream import JSON, Call
from wires import Wire

pytestmark = pytest.mark.parametrize("site", [True, False], ids=["direct", "any-server"], indirect=True, scope="module")

AT_ONCE_S = 1.0
"""How soon an upstream learns that its reader has gone: within 0.1 s, but a busy machine may be late to tell us. The
figures are in the log (``--log-cli-level=INFO``)."""

ENDLESS = 256 * 1024 * 1024
BUFFERS = 96 * 1024 * 1024
"""More than the kernel's buffers of both connections (Linux lets one grow to 33 MB) and ours together hold."""

NEVER = 3600.0
SMALL = 32 * 1024
figures = logging.getLogger("figures")


async def leave(sender: RawClient, gone: asyncio.Future[float]) -> None:
    """Leaves; how long the upstream did not know it is asserted and noted."""
    left_at = asyncio.get_running_loop().time()
    await sender.leave()
    latency = await gone - left_at
    figures.info("the upstream knew %.1f ms after its reader had left", latency * 1000)
    assert latency < AT_ONCE_S


def test_a_client_that_leaves_before_the_head(site: Site, client: Wire, upstream: Wire) -> None:
    async def main() -> None:
        gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()

        async def silent(call: Call) -> None:
            gone.set_result(await call.gone())

        async with site.upstream(silent) as asked, site.client(eager_after=NEVER) as sender:
            await sender.send("POST", client.path, client.request(model=model_of(upstream)))
            await asked.arrived()
            await leave(sender, gone)

    run(main())


def test_a_client_that_leaves_within_a_silence(site: Site, client: Wire, upstream: Wire) -> None:
    async def main() -> None:
        gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()

        async def one_word(call: Call) -> None:
            await call.head()
            await call.send(upstream.start() + upstream.text(0, "Hm", first=True))
            gone.set_result(await call.gone())

        async with site.upstream(one_word), site.client(heartbeat=NEVER) as sender:
            await sender.send("POST", client.path, client.request(model=model_of(upstream)))
            await sender.head()
            await sender.body.until(b"Hm")
            await leave(sender, gone)

    run(main())


def test_a_client_that_leaves_in_the_middle_of_a_flow(site: Site, client: Wire, upstream: Wire) -> None:
    async def main() -> None:
        gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()

        async def flowing(call: Call) -> None:
            await call.head()
            await call.send(upstream.start() + upstream.text(0, "flow", first=True))
            watching = asyncio.ensure_future(call.gone())
            try:
                while not watching.done():
                    await call.send(upstream.text(0, " and flow"))
                    await asyncio.sleep(0)
            except ConnectionError:
                pass
            gone.set_result(await watching)

        async with site.upstream(flowing), site.client() as sender:
            await sender.send("POST", client.path, client.request(model=model_of(upstream)))
            await sender.head()
            await sender.body.until(b"and flow")
            await leave(sender, gone)

    run(main())


@pytest.mark.parametrize("head_first", [True, False], ids=["after-the-upstreams-head", "before-it"])
def test_a_client_that_leaves_while_it_waits_for_a_whole_reply(
    site: Site, client: Wire, upstream: Wire, head_first: bool
) -> None:
    async def main() -> None:
        gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        underway = asyncio.Event()

        async def slow(call: Call) -> None:
            if head_first:
                await call.head(headers=JSON if client.name == upstream.name else {"content-type": "text/event-stream"})
            underway.set()
            gone.set_result(await call.gone())

        async with site.upstream(slow), site.client() as sender:
            await sender.send("POST", client.path, client.request(model=model_of(upstream), stream=False))
            await underway.wait()
            await leave(sender, gone)

    run(main())


def test_a_client_that_leaves_between_two_tries_is_not_tried_for_again(
    site: Site, client: Wire, upstream: Wire
) -> None:
    async def main() -> None:
        async def fails(call: Call) -> None:
            await call.answer(429, upstream.refusal("rate", "later"), {**JSON, "retry-after": "0.2"})

        gateway = site.gateway(heartbeat=12.0)
        async with site.upstream(fails) as asked, RawClient(gateway.address) as other:
            async with RawClient(gateway.address) as sender:
                await sender.send("POST", client.path, client.request(model=model_of(upstream)))
                await asked.arrived()
            while gateway.open_streams:
                await other.ask("GET", "/health")
            # Whatever had been planned would have come by the time a full exchange is over.
            await other.ask("POST", client.path, client.request(model=model_of(upstream)))
            assert len(asked.calls) == 1 + 3

    run(main())


def test_a_reader_that_pauses_pauses_its_upstream_and_loses_nothing(site: Site, client: Wire, upstream: Wire) -> None:
    """Only buffers of a fixed size lie between an upstream that writes without end and a client that does not read."""

    async def main() -> None:
        paused: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        word = "x" * 1000

        async def endless(call: Call) -> None:
            await call.head()
            await call.send(upstream.start() + upstream.text(0, word, first=True))
            frame = upstream.text(0, word)
            batch = frame * 60
            taken = words = 0
            while not paused.done() and taken < ENDLESS:
                try:
                    async with asyncio.timeout(0.5):
                        await call.send(batch)
                except TimeoutError:
                    paused.set_result(taken)
                taken += len(batch)
                words += 60
            if not paused.done():
                paused.set_result(taken)
            await call.send(upstream.text(0, f"<{words}>") + upstream.close(0) + upstream.end())
            await call.end()

        async with site.upstream(endless), RawClient(site.gateway().address, receive_buffer=SMALL) as sender:
            await sender.send("POST", client.path, client.request(model=model_of(upstream)))
            await sender.head()
            taken = await paused
            figures.info("%.1f MB were taken while nobody read", taken / 1e6)
            assert taken < BUFFERS
            heard = client.hear(await sender.body.rest())
            text, _, count = heard.text.rstrip(">").rpartition("<")
            assert text == word * (int(count) + 1)
            assert (heard.ends, heard.errors) == (1, [])

    run(main())


def test_a_reader_that_pauses_is_not_taken_for_a_silent_upstream(site: Site, client: Wire, upstream: Wire) -> None:
    """The upstream's time runs only while we wait for it."""

    async def main() -> None:
        stuck = asyncio.Event()

        async def much(call: Call) -> None:
            await call.head()
            await call.send(upstream.start() + upstream.text(0, "first", first=True))
            batch = upstream.text(0, "x" * 1000) * 60
            while not stuck.is_set():
                try:
                    async with asyncio.timeout(0.6):
                        await call.send(batch)
                except TimeoutError:
                    stuck.set()
            await call.send(upstream.close(0) + upstream.end())
            await call.end()

        gateway = site.gateway(idle_timeout=0.2)
        async with site.upstream(much), RawClient(gateway.address, receive_buffer=SMALL) as sender:
            await sender.send("POST", client.path, client.request(model=model_of(upstream)))
            await sender.head()
            await stuck.wait()
            heard = client.hear(await sender.body.rest())
            assert (heard.ends, heard.errors) == (1, [])

    run(main())


def test_a_reader_that_takes_nothing_for_too_long_is_taken_for_gone(site: Site, client: Wire, upstream: Wire) -> None:
    async def main() -> None:
        gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()

        async def endless(call: Call) -> None:
            await call.head()
            await call.send(upstream.start() + upstream.text(0, "first", first=True))
            watching = asyncio.ensure_future(call.gone())
            writing = asyncio.ensure_future(_write_on(call, upstream.text(0, "x" * 1000) * 60))
            gone.set_result(await watching)
            await writing

        gateway = site.gateway(send_timeout=0.2)
        async with site.upstream(endless), RawClient(gateway.address, receive_buffer=SMALL) as sender:
            await sender.send("POST", client.path, client.request(model=model_of(upstream)))
            await sender.head()
            await gone

    run(main())


async def _write_on(call: Call, data: bytes) -> None:
    try:
        while True:
            await call.send(data)
    except ConnectionError:
        return
