"""Replies that go on without their client, and that it comes back to."""

import asyncio
import contextlib
import json
from pathlib import Path

import msgspec
import pytest
from gateway_site import Site, run
from openai import APIError, BadRequestError, NotFoundError
from raw_client import RawClient
from raw_upstream import Call
from responses_site import MODEL, UPSTREAM, Held, config, says, sdk

from millstream.config import ServerConfig, SessionsConfig
from millstream.testing.gateway import GatewayThread


def test_a_background_run_is_polled_until_it_is_complete(site: Site, gateway: GatewayThread) -> None:
    async def main() -> None:
        held = Held()
        async with site.upstream(held), sdk(gateway) as client:
            queued = await client.responses.create(model=MODEL, input="a", background=True)
            assert (queued.status, queued.background, queued.output) == ("queued", True, [])
            await held.begun.wait()
            while (running := await client.responses.retrieve(queued.id)).output_text != "one":
                assert running.status == "in_progress"
            with pytest.raises(BadRequestError, match="not ended"):
                await client.responses.create(model=MODEL, input="b", previous_response_id=queued.id)
            held.go_on.set()
            while (done := await client.responses.retrieve(queued.id)).status == "in_progress":
                pass
            assert (done.status, done.output_text, done.id) == ("completed", "one two", queued.id)
            cancelled = await client.responses.cancel(queued.id)
            assert cancelled.status == "completed"

    run(main())


def test_a_client_that_leaves_comes_back_to_the_very_next_event(site: Site, gateway: GatewayThread) -> None:
    async def main() -> None:
        held = Held()
        async with site.upstream(held), sdk(gateway) as client:
            stream = await client.responses.create(model=MODEL, input="a", background=True, stream=True)
            seen = []
            async for event in stream:
                seen.append(event)
                if event.type == "response.output_text.delta":
                    break
            await stream.close()
            assert seen[0].response.status == "queued"  # type: ignore[union-attr]  # a response.created
            reply_id = seen[0].response.id  # type: ignore[union-attr]  # as above
            resumed = await client.responses.retrieve(reply_id, stream=True, starting_after=seen[-1].sequence_number)
            held.go_on.set()
            seen += [event async for event in resumed]
            assert [event.sequence_number for event in seen] == list(range(len(seen)))
            assert seen[-1].type == "response.completed"
            assert seen[-1].response.output_text == "one two"
            # All of it is still there, for who lost the connection at the very end.
            all_again = await client.responses.retrieve(reply_id, stream=True)
            assert [event async for event in all_again] == seen

    run(main())


def test_a_cancelled_run_closes_its_upstream_and_says_so(site: Site, gateway: GatewayThread) -> None:
    async def main() -> None:
        held = Held()
        async with site.upstream(held), sdk(gateway) as client:
            stream = await client.responses.create(model=MODEL, input="a", background=True, stream=True)
            events = aiter(stream)
            reply_id = (await anext(events)).response.id  # type: ignore[union-attr]  # a response.created
            await held.begun.wait()
            while (await client.responses.retrieve(reply_id)).output_text != "one":
                pass
            cancelled = await client.responses.cancel(reply_id)
            assert (cancelled.status, cancelled.output_text) == ("cancelled", "one")
            await held.gone
            last = [event async for event in events][-1]
            assert (last.type, last.response.status) == ("response.failed", "cancelled")  # type: ignore[union-attr]  # by its type
            assert (await client.responses.retrieve(reply_id)).status == "cancelled"
            assert (await client.responses.cancel(reply_id)).status == "cancelled"

    run(main())


def test_only_what_runs_in_the_background_can_be_cancelled_or_followed(site: Site, gateway: GatewayThread) -> None:
    async def main() -> None:
        async with site.upstream(says), sdk(gateway) as client:
            reply = await client.responses.create(model=MODEL, input="a")
            with pytest.raises(BadRequestError, match="background"):
                await client.responses.cancel(reply.id)
            with pytest.raises(BadRequestError, match="events of this response"):
                await client.responses.retrieve(reply.id, stream=True)
            with pytest.raises(BadRequestError, match="stored"):
                await client.responses.create(model=MODEL, input="a", background=True, store=False)
            with pytest.raises(NotFoundError):
                await client.responses.cancel("resp_nobodys")

    run(main())


@pytest.mark.parametrize(
    "query", ["starting_after=%C2%B2", "starting_after=--1", "starting_after=x", "starting_after=" + "9" * 30]
)
def test_a_number_that_is_none_is_the_clients_fault(site: Site, gateway: GatewayThread, query: str) -> None:
    async def main() -> None:
        async with site.upstream(says), sdk(gateway) as client, RawClient(gateway.address) as raw:
            reply = await client.responses.create(model=MODEL, input="a", background=True)
            status, body = await raw.ask("GET", f"/v1/responses/{reply.id}?stream=true&{query}")
            assert status == 400
            assert b"starting_after" in body

    run(main())


def test_a_background_run_whose_upstream_fails_is_found_failed(site: Site, gateway: GatewayThread) -> None:
    async def refuses(call: Call) -> None:
        await call.answer(401, UPSTREAM.refusal("invalid", "no such key"))

    async def main() -> None:
        async with site.upstream(refuses), sdk(gateway) as client:
            stream = await client.responses.create(model=MODEL, input="a", background=True, stream=True)
            events = aiter(stream)
            reply_id = (await anext(events)).response.id  # type: ignore[union-attr]  # a response.created
            with pytest.raises(APIError, match="no such key"):
                while True:
                    await anext(events)
            while (found := await client.responses.retrieve(reply_id)).status != "failed":
                pass
            assert found.error is not None
            assert "no such key" in found.error.message

    run(main())


def test_events_that_were_let_go_of_are_not_passed_over(site: Site) -> None:
    async def long(call: Call) -> None:
        await call.stream(
            UPSTREAM.start(),
            UPSTREAM.text(0, "x" * 100, first=True),
            *[UPSTREAM.text(0, "x" * 100)] * 100,
            UPSTREAM.close(0) + UPSTREAM.end(),
        )

    async def main() -> None:
        with GatewayThread(config(site, run_buffer=20_000)) as gateway:
            async with site.upstream(long), sdk(gateway) as client:
                reply = await client.responses.create(model=MODEL, input="a", background=True)
                while (found := await client.responses.retrieve(reply.id)).status != "completed":
                    pass
                assert found.output_text == "x" * 10_100
                with pytest.raises(BadRequestError, match="no longer held") as refused:
                    await client.responses.retrieve(reply.id, stream=True, starting_after=3)
                first = int(refused.value.message.split("before number ")[1].split()[0])
                events = await client.responses.retrieve(reply.id, stream=True, starting_after=first - 1)
                numbers = [event.sequence_number async for event in events]
                assert numbers == list(range(first, numbers[-1] + 1))

    run(main())


def test_there_are_only_so_many_runs_at_once_and_only_for_so_long(site: Site) -> None:
    async def main() -> None:
        held = Held()
        with GatewayThread(config(site, background_runs=1, run_limit=0.5)) as gateway:
            async with site.upstream(held), RawClient(gateway.address) as client:
                body = json.dumps({"model": MODEL, "input": "a", "background": True}).encode()
                status, first = await client.ask("POST", "/v1/responses", body)
                assert status == 200
                status, refused = await client.ask("POST", "/v1/responses", body)
                assert status == 429
                assert b"background_runs" in refused
                assert "retry-after" in client.headers
                await held.gone
                path = f"/v1/responses/{json.loads(first)['id']}"
                while (found := json.loads((await client.ask("GET", path))[1]))["status"] != "failed":
                    pass
                assert "run_limit" in found["error"]["message"]

    run(main())


@pytest.mark.parametrize("drain", [30.0, 0.1], ids=["within-the-drain", "beyond-it"])
def test_a_run_gets_the_drain_when_the_gateway_stops(site: Site, tmp_path: Path, drain: float) -> None:
    async def main() -> None:
        held = Held()
        settings = config(site, SessionsConfig(path=str(tmp_path / "s.db")))
        settings = msgspec.structs.replace(settings, server=ServerConfig(drain=drain))
        async with site.upstream(held):
            with GatewayThread(settings) as gateway:
                async with sdk(gateway) as client:
                    reply = await client.responses.create(model=MODEL, input="a", background=True)
                await held.begun.wait()
                gateway.stop()
                if drain > 1:
                    held.go_on.set()
                else:
                    await held.gone
                await asyncio.to_thread(gateway.join)
        with GatewayThread(settings) as gateway:
            async with sdk(gateway) as client:
                found = await client.responses.retrieve(reply.id)
        if drain > 1:
            assert (found.status, found.output_text) == ("completed", "one two")
        else:
            assert found.error is not None
            assert (found.status, found.output_text) == ("failed", "one")
            assert "shutting down" in found.error.message

    run(main())


def test_a_run_that_a_crash_ended_is_found_failed(site: Site, tmp_path: Path) -> None:
    async def main() -> None:
        held = Held()
        settings = config(site, SessionsConfig(path=str(tmp_path / "s.db")))
        async with site.upstream(held):
            with GatewayThread(settings) as gateway, GatewayThread(settings) as other:
                async with sdk(gateway) as client, sdk(other) as beside:
                    reply = await client.responses.create(model=MODEL, input="a", background=True)
                    # To another process, one that still runs and one that has crashed are the same.
                    found = None
                    while found is None:
                        with contextlib.suppress(NotFoundError):
                            found = await beside.responses.retrieve(reply.id)
                    assert found.status == "failed"
                    assert found.error is not None
                    assert "stopped before" in found.error.message
                    await client.responses.cancel(reply.id)
                    await held.gone

    run(main())
