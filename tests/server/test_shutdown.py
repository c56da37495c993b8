"""What becomes of streams when the gateway is told to stop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from gateway_site import Site, model_of, run
from raw_client import RawClient
from raw_http import Cut
from raw_upstream import Answer, Call, RawUpstream
from wires import Wire

from millstream.testing.gateway import GatewayThread

LONG, SHORT, GRACE = 30.0, 0.1, 0.3


@contextlib.asynccontextmanager
async def stopping(site: Site, answer: Answer, drain: float) -> AsyncIterator[tuple[GatewayThread, RawUpstream]]:
    """A gateway of its own, which ends within the block."""
    async with site.upstream(answer) as upstream:
        gateway = GatewayThread(site.config(drain=drain), grace=GRACE)
        with gateway:
            yield gateway, upstream
            await asyncio.to_thread(gateway.join)


async def refuses_connections(gateway: GatewayThread) -> None:
    """Returns once the gateway takes no more."""
    while True:
        try:
            async with RawClient(gateway.address) as other:
                await other.ask("GET", "/health")
        except (ConnectionError, Cut):
            return


def test_a_stream_under_way_goes_on_to_its_end(site: Site, client: Wire, upstream: Wire) -> None:
    async def main() -> None:
        stopped = asyncio.Event()

        async def answer(call: Call) -> None:
            await call.head()
            await call.send(upstream.start() + upstream.text(0, "Still", first=True))
            await stopped.wait()
            await call.send(upstream.text(0, " here.") + upstream.close(0) + upstream.end())
            await call.end()

        async with stopping(site, answer, LONG) as (gateway, _), RawClient(gateway.address) as sender:
            await sender.send("POST", client.path, client.request(model=model_of(upstream)))
            await sender.head()
            got = await sender.body.until(b"Still")
            gateway.stop()
            await refuses_connections(gateway)
            stopped.set()
            heard = client.hear(got + await sender.body.rest())
            assert (heard.text, heard.ends, heard.errors) == ("Still here.", 1, [])
            assert await sender.closed() == b""

    run(main())


def test_a_stream_that_outlives_the_drain_ends_with_an_error(site: Site, client: Wire, upstream: Wire) -> None:
    async def main() -> None:
        gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()

        async def answer(call: Call) -> None:
            await call.head()
            await call.send(upstream.start() + upstream.text(0, "Still", first=True))
            gone.set_result(await call.gone())

        async with stopping(site, answer, SHORT) as (gateway, _), RawClient(gateway.address) as sender:
            await sender.send("POST", client.path, client.request(model=model_of(upstream)))
            await sender.head()
            got = await sender.body.until(b"Still")
            gateway.stop()
            heard = client.hear(got + await sender.body.rest())
            assert (heard.text, heard.ends, len(heard.errors)) == ("Still", 0, 1)
            assert "shutting down" in heard.errors[0]["message"]
            await gone

    run(main())


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_request_still_without_an_answer_is_refused_with_a_503(
    site: Site, client: Wire, upstream: Wire, stream: bool
) -> None:
    async def main() -> None:
        gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()

        async def silent(call: Call) -> None:
            gone.set_result(await call.gone())

        async with stopping(site, silent, SHORT) as (gateway, asked), RawClient(gateway.address) as sender:
            await sender.send("POST", client.path, client.request(model=model_of(upstream), stream=stream))
            await asked.arrived()
            gateway.stop()
            assert await sender.head() in (503, 529)
            assert "shutting down" in client.problem_in(await sender.body.rest())[1]
            await gone

    run(main())


def test_a_client_that_does_not_read_holds_nothing_up_for_long(site: Site, client: Wire, upstream: Wire) -> None:
    async def main() -> None:
        stuck = asyncio.Event()

        async def endless(call: Call) -> None:
            await call.head()
            await call.send(upstream.start() + upstream.text(0, "first", first=True))
            batch = upstream.text(0, "x" * 1000) * 60
            with contextlib.suppress(ConnectionError):
                while True:
                    try:
                        async with asyncio.timeout(0.3):
                            await call.send(batch)
                    except TimeoutError:
                        stuck.set()

        async with stopping(site, endless, SHORT) as (gateway, _), RawClient(gateway.address, 32 * 1024) as sender:
            await sender.send("POST", client.path, client.request(model=model_of(upstream)))
            await sender.head()
            await stuck.wait()
            gateway.stop()
            await asyncio.to_thread(gateway.join, 5.0)

    run(main())


def test_a_gateway_without_requests_stops_at_once(site: Site) -> None:
    async def main() -> None:
        async def never(call: Call) -> None:
            raise AssertionError("nobody asks")

        async with stopping(site, never, LONG) as (gateway, _), RawClient(gateway.address) as idle:
            assert (await idle.ask("GET", "/health"))[0] == 200
            gateway.stop()
            assert await idle.closed() == b""

    run(main())
