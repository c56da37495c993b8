"""Replies that are kept for upstreams that keep none: found again, gone on from."""

import json
import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gateway_site import Site, run
from openai import BadRequestError, NotFoundError
from raw_client import RawClient
from raw_upstream import JSON, Call
from request_lines import lines_of
from responses_site import MODEL, UPSTREAM, config, said, says, sdk

from millstream.config import ServerConfig, SessionsConfig
from millstream.testing.gateway import GatewayThread


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
        with keyed("sk-first") as gateway:
            async with site.upstream(says), sdk(gateway, "sk-first") as client:
                return (await client.responses.create(model=MODEL, input="a")).id

    async def find(key: str, reply_id: str) -> str:
        with keyed(key) as gateway:
            async with sdk(gateway, key) as client:
                return (await client.responses.retrieve(reply_id)).output_text

    reply_id = run(ask())
    with pytest.raises(NotFoundError):
        run(find("sk-second", reply_id))
    assert run(find("sk-first", reply_id)) == "1: a"
    stored = (tmp_path / "s.db").read_bytes()
    assert reply_id.encode() in stored
    assert b"sk-first" not in stored


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


def test_there_is_no_compaction(gateway: GatewayThread) -> None:
    async def main() -> None:
        async with RawClient(gateway.address) as client:
            status, body = await client.ask("POST", "/v1/responses/compact", b"{}")
            assert status == 404
            assert b"nothing is served at POST /v1/responses/compact" in body

    run(main())


def test_each_call_has_its_line_in_the_log(
    site: Site, gateway: GatewayThread, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "millstream")

    async def main() -> None:
        async with site.upstream(says), sdk(gateway) as client:
            reply = await client.responses.create(model=MODEL, input="a", background=True)
            while (await client.responses.retrieve(reply.id)).status != "completed":
                pass
            lines = await lines_of(gateway, caplog, 3)
            runs = [line for line in lines if line.model == MODEL]
            assert [(line.status, line.end, line.upstream) for line in runs] == [(200, "finished", MODEL)]
            assert runs[0].output_tokens == 5
            gets = [line for line in lines if line.model == f"GET /v1/responses/{reply.id}"]
            assert {(line.status, line.end) for line in gets} == {(200, "finished")}

    run(main())
