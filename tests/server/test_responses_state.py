"""Replies that are kept for upstreams that keep none: found again, gone on from, run in the background."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gateway_site import Site, run
from openai import APIError, AsyncOpenAI, BadRequestError, NotFoundError
from raw_client import RawClient
from raw_upstream import JSON, Call
from wires import ChatWire

from millstream.config import Config, ResponsesConfig, ServerConfig, SessionsConfig
from millstream.testing.gateway import GatewayThread

UPSTREAM = ChatWire()
MODEL = "openai_chat-up/m"


def config(site: Site, sessions: SessionsConfig | None = None, **responses: Any) -> Config:
    return msgspec.structs.replace(
        site.config(),
        responses=ResponsesConfig(**responses),
        sessions=sessions or SessionsConfig(store="memory"),
    )


@pytest.fixture(scope="module", params=["memory", "sqlite"])
def gateway(request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = str(tmp_path_factory.mktemp("sessions") / "s.db")
    sessions = SessionsConfig(store="sqlite", path=path) if request.param == "sqlite" else None
    with GatewayThread(config(site, sessions)) as found:
        yield found


@contextlib.asynccontextmanager
async def sdk(gateway: GatewayThread, key: str = "any") -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=gateway.url + "/v1", api_key=key, max_retries=0) as client:
        yield client


async def says(call: Call) -> None:
    """Says how many messages it was given, and the last of them."""
    messages = json.loads(call.body)["messages"]
    last = messages[-1]["content"]
    await call.stream(*UPSTREAM.answer(f"{len(messages)}: {last if isinstance(last, str) else last[0]['text']}"))


def said(item: Any) -> str:
    """The text of a message."""
    text: str = item.content[0].text
    return text


class Held:
    """An answer that goes on when the test lets it."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def __call__(self, call: Call) -> None:
        await call.head()
        await call.send(UPSTREAM.start() + UPSTREAM.text(0, "one", first=True))
        self.begun.set()
        going = asyncio.ensure_future(self.go_on.wait())
        leaving = asyncio.ensure_future(call.gone())
        await asyncio.wait({going, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if leaving.done():
            going.cancel()
            self.gone.set_result(leaving.result())
            return
        leaving.cancel()
        await asyncio.wait({leaving})
        await call.send(UPSTREAM.text(0, " two") + UPSTREAM.close(0) + UPSTREAM.end())
        await call.end()


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_reply_is_found_again_and_gone_on_from(site: Site, gateway: GatewayThread, stream: bool) -> None:
    async def main() -> None:
        async with site.upstream(says), sdk(gateway) as client:

            async def ask(**fields: Any) -> Any:
                if not stream:
                    return await client.responses.create(model=MODEL, **fields)
                async for event in await client.responses.create(model=MODEL, stream=True, **fields):
                    if event.type == "response.completed":
                        return event.response
                raise AssertionError("it has no end")

            first = await ask(input="a", instructions="be brief", metadata={"k": "v"})
            assert first.id.startswith("resp_")
            assert first.output_text == "2: a"
            again = await client.responses.retrieve(first.id)
            assert again.model_dump() == first.model_dump()
            # The instructions are not part of what is gone on from.
            second = await ask(input="b", previous_response_id=first.id)
            assert second.output_text == "3: b"
            assert second.previous_response_id == first.id
            third = await ask(input=[{"role": "user", "content": "c"}], previous_response_id=second.id)
            assert third.output_text == "5: c"
            fork = await ask(input="d", previous_response_id=first.id)
            assert fork.output_text == "3: d"
            items = await client.responses.input_items.list(third.id, order="asc")
            assert [said(item) for item in items.data] == ["a", "2: a", "b", "3: b", "c"]
            page = await client.responses.input_items.list(third.id, limit=2, after=items.data[3].id)
            assert [said(item) for item in page.data] == ["b", "2: a"]
            assert page.has_more

    run(main())


def test_a_tool_call_is_answered_by_its_result_alone(site: Site, gateway: GatewayThread) -> None:
    async def calls(call: Call) -> None:
        pieces = [UPSTREAM.start(), UPSTREAM.tool(0, "call_1", "look"), UPSTREAM.arguments(0, "{}")]
        await call.stream(*pieces, UPSTREAM.close(0), UPSTREAM.end("tools"))

    async def reads(call: Call) -> None:
        told = json.loads(call.body)["messages"]
        assert [message["role"] for message in told] == ["user", "assistant", "tool"]
        assert told[1]["tool_calls"][0]["id"] == told[2]["tool_call_id"] == "call_1"
        await call.stream(*UPSTREAM.answer("done"))

    async def main() -> None:
        async with site.upstream(calls, reads), sdk(gateway) as client:
            first = await client.responses.create(model=MODEL, input="look")
            result = {"type": "function_call_output", "call_id": "call_1", "output": "42"}
            second = await client.responses.create(model=MODEL, input=[result], previous_response_id=first.id)  # type: ignore[list-item]  # a plain dict will do
            assert second.output_text == "done"

    run(main())


def test_what_is_not_to_be_stored_is_not(site: Site, gateway: GatewayThread) -> None:
    async def main() -> None:
        async with site.upstream(says), sdk(gateway) as client:
            reply = await client.responses.create(model=MODEL, input="a", store=False)
            assert reply.model_dump()["store"] is False
            with pytest.raises(NotFoundError, match="not found"):
                await client.responses.retrieve(reply.id)
            with pytest.raises(BadRequestError) as refused:
                await client.responses.create(model=MODEL, input="b", previous_response_id=reply.id)
            assert refused.value.code == "previous_response_not_found"
            assert refused.value.param == "previous_response_id"

    run(main())


def test_a_deleted_reply_is_gone_and_so_is_what_was_built_on_it(site: Site, gateway: GatewayThread) -> None:
    async def main() -> None:
        async with site.upstream(says), sdk(gateway) as client:
            first = await client.responses.create(model=MODEL, input="a")
            second = await client.responses.create(model=MODEL, input="b", previous_response_id=first.id)
            await client.responses.delete(first.id)
            with pytest.raises(NotFoundError):
                await client.responses.retrieve(first.id)
            with pytest.raises(NotFoundError):
                await client.responses.delete(first.id)
            assert (await client.responses.retrieve(second.id)).output_text == "3: b"
            with pytest.raises(BadRequestError, match=first.id) as refused:
                await client.responses.create(model=MODEL, input="c", previous_response_id=second.id)
            assert refused.value.code == "previous_response_not_found"

    run(main())


def test_a_reply_is_only_for_those_who_show_the_key_it_was_made_with(site: Site, tmp_path: Path) -> None:
    sessions = SessionsConfig(path=str(tmp_path / "s.db"))

    def keyed(key: str) -> GatewayThread:
        server = ServerConfig(api_key=key)
        return GatewayThread(msgspec.structs.replace(config(site, sessions), server=server))

    async def ask() -> str:
        with keyed("one") as gateway:
            async with site.upstream(says), sdk(gateway, "one") as client:
                return (await client.responses.create(model=MODEL, input="a")).id

    async def find(key: str, reply_id: str) -> str:
        with keyed(key) as gateway:
            async with sdk(gateway, key) as client:
                return (await client.responses.retrieve(reply_id)).output_text

    reply_id = run(ask())
    with pytest.raises(NotFoundError):
        run(find("two", reply_id))
    assert run(find("one", reply_id)) == "1: a"
    assert b"one" not in (tmp_path / "s.db").read_bytes().split(b"openai_chat-up")[0]


def test_an_upstream_of_the_same_api_keeps_its_own_state(site: Site, gateway: GatewayThread) -> None:
    async def native(call: Call) -> None:
        told = json.loads(call.body)
        assert told["previous_response_id"] == "resp_theirs"
        assert told["background"] is True
        body = {"id": "resp_more", "object": "response", "status": "queued", "output": []}
        await call.answer(200, json.dumps(body).encode(), JSON)

    async def main() -> None:
        async with site.upstream(native), sdk(gateway) as client:
            model = "openai_responses-up/m"
            reply = await client.responses.create(
                model=model, input="a", previous_response_id="resp_theirs", background=True
            )
            assert (reply.id, reply.status) == ("resp_more", "queued")
            with pytest.raises(NotFoundError, match="held there"):
                await client.responses.retrieve("resp_more")

    run(main())


def test_a_conversation_that_began_elsewhere_goes_on_at_an_upstream_of_the_same_api(
    site: Site, gateway: GatewayThread
) -> None:
    async def native(call: Call) -> None:
        told = json.loads(call.body)
        assert "previous_response_id" not in told
        assert [item.get("role") for item in told["input"]] == ["user", "assistant", "user"]
        await call.answer(200, json.dumps({"id": "r", "object": "response", "output": []}).encode(), JSON)

    async def main() -> None:
        async with site.upstream(says, native), sdk(gateway) as client:
            first = await client.responses.create(model=MODEL, input="a")
            model = "openai_responses-up/m"
            assert (await client.responses.create(model=model, input="b", previous_response_id=first.id)).id == "r"

    run(main())


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
    "field",
    [
        b'"previous_response_id":"\\ud800"',
        b'"previous_response_id":5',
        b'"store":"x"',
        b'"background":"\xff"',
        b'"input":[1]',
    ],
    ids=repr,
)
def test_what_cannot_be_read_is_the_clients_fault(gateway: GatewayThread, field: bytes) -> None:
    async def main() -> None:
        async with RawClient(gateway.address) as client:
            status, _ = await client.ask("POST", "/v1/responses", b'{"model":"%b",%b}' % (MODEL.encode(), field))
            assert status == 400

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


def test_there_is_no_compaction(gateway: GatewayThread) -> None:
    async def main() -> None:
        async with RawClient(gateway.address) as client:
            status, body = await client.ask("POST", "/v1/responses/compact", b"{}")
            assert status == 404
            assert b"nothing is served at POST /v1/responses/compact" in body

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


def test_each_call_has_its_line_in_the_log(
    site: Site, gateway: GatewayThread, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "millstream")

    def lines() -> list[Any]:
        return [record.line for record in caplog.records if hasattr(record, "line")]

    async def main() -> None:
        async with site.upstream(says), sdk(gateway) as client:
            reply = await client.responses.create(model=MODEL, input="a", background=True)
            while (await client.responses.retrieve(reply.id)).status != "completed":
                pass
            async with RawClient(gateway.address) as other:
                while gateway.open_streams:
                    await other.ask("GET", "/health")
            runs = [line for line in lines() if line.model == MODEL]
            assert [(line.status, line.end, line.upstream) for line in runs] == [(200, "finished", MODEL)]
            assert runs[0].output_tokens == 5
            gets = [line for line in lines() if line.model == f"GET /v1/responses/{reply.id}"]
            assert {(line.status, line.end) for line in gets} == {(200, "finished")}

    run(main())
