"""The Responses API on a WebSocket: many turns on one connection, whatever API the upstream speaks."""

import asyncio
import json
from typing import Any

import pytest
from gateway_site import Site, run
from openai import AsyncOpenAI
from raw_upstream import JSON, Call
from responses_socket import MODEL, NATIVE, UPSTREAM, answer_to, ask, hear, says, socket_to, text_of


@pytest.mark.parametrize("path", ["/v1/responses", "/responses?beta=true"])
def test_a_turn_needs_only_what_is_new_though_nothing_is_stored(site: Site, path: str) -> None:
    async def main() -> None:
        async with site.upstream(says), socket_to(site.gateway(), path) as connection:
            await ask(connection, input="a", instructions="be brief")
            events = await hear(connection)
            assert [event["sequence_number"] for event in events] == list(range(len(events)))
            assert [event["type"] for event in events[:3]] == [
                "response.created",
                "response.in_progress",
                "response.output_item.added",
            ]
            first = events[-1]["response"]
            assert (text_of(first), first["store"]) == ("2: a", False)
            second = await answer_to(connection, input="b", previous_response_id=first["id"])
            assert (text_of(second), second["previous_response_id"]) == ("3: b", first["id"])
            fork = await answer_to(connection, input="c", previous_response_id=first["id"])
            assert text_of(fork) == "3: c"
            third = await answer_to(connection, input="d", previous_response_id=second["id"])
            assert text_of(third) == "5: d"

    run(main())


def test_a_prewarmed_conversation_is_gone_on_from_and_asks_no_model(site: Site) -> None:
    """As Codex begins: everything it knows first, then the turn with the rest."""

    async def main() -> None:
        async with site.upstream(says) as upstream, socket_to(site.gateway()) as connection:
            early = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "a"}]
            await ask(connection, input=early, generate=False)
            events = await hear(connection)
            assert [event["type"] for event in events] == [
                "response.created",
                "response.in_progress",
                "response.completed",
            ]
            warm = events[-1]["response"]
            assert warm["output"] == []
            assert upstream.calls == []
            turn = await answer_to(
                connection, input=[{"role": "user", "content": "b"}], previous_response_id=warm["id"]
            )
            told = json.loads(upstream.calls[0].body)["messages"]
            assert told[0]["content"] == "Be brief."
            assert text_of(turn).endswith("b")
            unknown = {"model": "nobody/knows", "generate": False, "input": "a"}
            await ask(connection, **unknown)
            assert (await hear(connection))[-1]["status"] == 404

    run(main())


def test_an_upstream_of_the_same_api_is_told_the_whole_and_its_events_come_untouched(site: Site) -> None:
    def event(kind: str, **fields: Any) -> bytes:
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **fields}).encode())

    async def native(call: Call) -> None:
        told = json.loads(call.body)
        assert told["stream"] is True
        assert "previous_response_id" not in told
        number = len(told["input"])
        said = [{"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed", "content": []}]
        response = {"id": f"resp_{number}", "object": "response", "model": "m", "output": [], "status": "in_progress"}
        await call.stream(
            event("response.created", sequence_number=0, response=response),
            event("response.never.heard.of", sequence_number=1, odd={"a": [1]}),
            event("response.output_item.added", sequence_number=2, output_index=0, item=said[0]),
            event("response.output_item.done", sequence_number=3, output_index=0, item=said[0]),
            event(
                "response.completed", sequence_number=4, response={**response, "output": said, "status": "completed"}
            ),
        )

    async def main() -> None:
        async with site.upstream(native) as upstream, socket_to(site.gateway()) as connection:
            await ask(connection, model=NATIVE, input=[{"role": "user", "content": "a"}], stream_id="s")
            events = await hear(connection)
            assert events[1] == {
                "stream_id": "s",
                "type": "response.never.heard.of",
                "sequence_number": 1,
                "odd": {"a": [1]},
            }
            assert events[-1]["response"]["id"] == "resp_1"
            new = [{"role": "user", "content": "b"}]
            second = await answer_to(connection, model=NATIVE, input=new, previous_response_id="resp_1")
            assert second["id"] == "resp_3"
            told = json.loads(upstream.calls[1].body)["input"]
            assert [item.get("id", item.get("content")) for item in told] == ["a", "msg_1", "b"]
            # What was only prepared here is ours to tell as well.
            await ask(connection, model=NATIVE, input=new, generate=False)
            warm = (await hear(connection))[-1]["response"]["id"]
            third = await answer_to(connection, model=NATIVE, input=new, previous_response_id=warm)
            assert third["id"] == "resp_2"

    run(main())


def test_what_is_stored_is_found_by_other_connections_and_what_is_not_is_not(site: Site) -> None:
    async def main() -> None:
        gateway = site.gateway()
        async with site.upstream(says), socket_to(gateway) as one, socket_to(gateway) as other:
            kept = await answer_to(one, input="a", store=True)
            assert text_of(await answer_to(other, input="b", previous_response_id=kept["id"])) == "3: b"
            async with AsyncOpenAI(base_url=gateway.url + "/v1", api_key="any") as client:
                assert (await client.responses.retrieve(kept["id"])).output_text == "1: a"
            unkept = await answer_to(one, input="a")
            await ask(other, input="b", previous_response_id=unkept["id"])
            (refused,) = await hear(other)
            assert refused["status"] == 400
            assert refused["error"] == {
                "type": "invalid_request_error",
                "code": "previous_response_not_found",
                "message": f"Previous response with id '{unkept['id']}' not found.",
                "param": "previous_response_id",
            }
            # The connection lives on.
            assert text_of(await answer_to(other, input="c")) == "1: c"
            mixed = await answer_to(one, input="c", previous_response_id=unkept["id"], store=True)
            assert text_of(await answer_to(other, input="d", previous_response_id=mixed["id"])) == "5: d"

    run(main())


def test_a_continuation_that_fails_is_begun_anew(site: Site) -> None:
    """The result of a call that was never made is refused; what it was to continue is forgotten, as the API has it."""

    async def main() -> None:
        async with site.upstream(says) as upstream, socket_to(site.gateway()) as connection:
            first = await answer_to(connection, input="a")
            orphan = {"type": "function_call_output", "call_id": "call_of_nobody", "output": "42"}
            await ask(connection, input=[orphan], previous_response_id=first["id"])
            (refused,) = await hear(connection)
            assert refused["status"] == 400
            assert "call_of_nobody" in refused["error"]["message"]
            await ask(connection, input="b", previous_response_id=first["id"])
            (forgotten,) = await hear(connection)
            assert forgotten["error"]["code"] == "previous_response_not_found"
            assert len(upstream.calls) == 1

    run(main())


def test_requests_of_a_stream_are_answered_in_order_and_streams_side_by_side(site: Site) -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def answer(call: Call) -> None:
            if "first" in json.loads(call.body)["messages"][-1]["content"]:
                await go_on.wait()
            await says(call)

        async with site.upstream(answer) as upstream, socket_to(site.gateway()) as connection:
            await ask(connection, input="first of a", stream_id="a")
            await ask(connection, input="second of a", stream_id="a")
            await ask(connection, input="b's", stream_id="b")
            events = await hear(connection)
            assert {event["stream_id"] for event in events} == {"b"}
            assert len(upstream.calls) == 2
            go_on.set()
            for expected in ("1: first of a", "1: second of a"):
                events = await hear(connection)
                assert {event["stream_id"] for event in events} == {"a"}
                assert text_of(events[-1]["response"]) == expected
            for number in range(30):
                await ask(connection, input="x", stream_id=f"s{number}")
            await ask(connection, input="x", stream_id="one too many")
            await ask(connection, input="x", stream_id="one_too_many")
            codes: list[tuple[str, str | None]] = []
            while len(codes) < 2:
                event = json.loads(await connection.recv())
                if event["type"] == "error":
                    codes.append((event["error"]["code"], event.get("stream_id")))
            assert codes == [("invalid_stream_id", None), ("websocket_stream_limit_reached", "one_too_many")]

    run(main())


@pytest.mark.parametrize(
    "message", ["{", "[]", '{"type":"response.cancel"}', b"\xff", '{"type":"response.create"}'], ids=repr
)
def test_what_asks_for_nothing_is_refused_and_harms_nothing(site: Site, message: str | bytes) -> None:
    async def main() -> None:
        async with site.upstream(says), socket_to(site.gateway()) as connection:
            await connection.send(message)
            (refused,) = await hear(connection)
            assert (refused["type"], refused["status"]) == ("error", 400)
            assert text_of(await answer_to(connection, input="a")) == "1: a"

    run(main())


def test_a_refusal_of_the_upstream_comes_with_its_status_and_the_time_to_wait(site: Site) -> None:
    async def refuses(call: Call) -> None:
        await call.answer(429, UPSTREAM.refusal("rate", "slow down"), {**JSON, "retry-after": "17"})

    async def main() -> None:
        async with site.upstream(refuses, says), socket_to(site.gateway()) as connection:
            await ask(connection, input="a", stream_id="s")
            (refused,) = await hear(connection)
            assert (refused["status"], refused["stream_id"]) == (429, "s")
            assert refused["error"]["headers"]["retry-after"] == "17"
            assert text_of(await answer_to(connection, input="a")) == "1: a"

    run(main())


def test_a_reply_that_breaks_off_fails_and_the_connection_lives_on(site: Site) -> None:
    async def breaks(call: Call) -> None:
        await call.head()
        await call.send(UPSTREAM.start() + UPSTREAM.text(0, "Hm", first=True))
        call.cut()

    async def main() -> None:
        async with site.upstream(breaks, says), socket_to(site.gateway()) as connection:
            await ask(connection, input="a")
            events = await hear(connection, ends=("response.failed",))
            assert events[-1]["type"] == "error"
            (failed,) = await hear(connection)
            assert failed["response"]["status"] == "failed"
            assert text_of(await answer_to(connection, input="a")) == "1: a"

    run(main())


def test_openais_own_client_is_content(site: Site) -> None:
    async def main() -> None:
        gateway = site.gateway()
        client = AsyncOpenAI(base_url=gateway.url + "/v1", api_key="any")
        async with site.upstream(says), client, client.responses.connect() as connection:
            previous: dict[str, Any] = {}
            for expected in ("1: a", "3: a", "5: a"):
                await connection.response.create(model=MODEL, input="a", store=False, **previous)
                event: Any = None
                while event is None or event.type != "response.completed":
                    event = await connection.recv()
                    assert event.type != "error"
                assert event.response.output_text == expected
                previous = {"previous_response_id": event.response.id}

    run(main())
