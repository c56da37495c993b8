"""Plain streams over HTTP: their frames, coming back to them, leaving them, and what is refused."""

from __future__ import annotations

import asyncio
import json
import re
import time
from typing import Any

import pytest
from gateway_site import run
from plain_site import MODEL, WIRE, PlainSite, body, frames, objects, text_of, words
from raw_client import RawClient
from raw_upstream import Call
from responses_site import Held
from sse_reader import Frame

from millstream.sessions.journal_memory import MemoryJournal
from millstream.testing.gateway import GatewayThread

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def _ask(client: RawClient, said: bytes, headers: dict[str, str] | None = None) -> tuple[str, list[Frame]]:
    status, data = await client.ask("POST", "/api/v1/stream", said, headers)
    assert status == 200, data
    return client.headers["x-millstream-run"], frames(data)


def test_each_piece_is_a_frame_and_the_last_one_tells_what_it_took(plain: PlainSite) -> None:
    async def main() -> None:
        async with plain.upstream(words("Hel", "lo ", "wörld")), plain.client() as client:
            _, found = await _ask(client, body())
            assert client.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert client.headers["cache-control"] == "no-cache, no-transform"
            assert client.headers["x-accel-buffering"] == "no"
        assert [frame.name for frame in found] == ["message", "message", "message", "complete"]
        said = objects(found)
        assert [one["content"] for one in said[:3]] == ["Hel", "lo ", "wörld"]
        numbers = [int(frame.number) for frame in found]
        assert numbers == sorted(set(numbers))
        last = said[-1]
        assert last["usage"]["output_tokens"] == 5
        assert last["finish_reason"] == "stop"
        assert last["metrics"]["chunks"] == 3
        assert 0 <= last["metrics"]["ttft_ms"] <= last["metrics"]["duration_ms"]
        assert all(TIMESTAMP.fullmatch(one["timestamp"]) for one in said)

    run(main())


def test_the_head_leaves_before_the_upstream_answers_and_each_piece_as_it_comes(plain: PlainSite) -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def slow(call: Call) -> None:
            await go_on.wait()
            await call.head()
            for number in range(3):
                go_on.clear()
                await call.send((WIRE.start() if not number else b"") + WIRE.text(0, "word ", first=not number))
                await go_on.wait()
            await call.send(WIRE.close(0) + WIRE.end())
            await call.end()

        async with plain.upstream(slow) as upstream, plain.client() as client:
            await client.send("POST", "/api/v1/stream", body())
            assert await client.head() == 200
            await upstream.arrived()
            for _ in range(3):
                go_on.set()
                await client.body.until(b'"word "')
            go_on.set()
            await client.body.until(b"event: complete")

    run(main())


def test_the_whole_body_is_passed_on(plain: PlainSite) -> None:
    async def main() -> None:
        async with plain.upstream(words("a")) as upstream, plain.client() as client:
            picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
            messages = [
                {"role": "user", "content": "one"},
                {"role": "assistant", "content": "two"},
                {"role": "user", "content": [{"type": "text", "text": "three"}, picture]},
            ]
            said = {"messages": messages, "model": MODEL, "system": "Be brief.", "max_tokens": 7, "session_id": "s"}
            await _ask(client, json.dumps(said).encode())
            asked = json.loads((await upstream.arrived()).body)
            assert asked["messages"] == [{"role": "system", "content": "Be brief."}, *messages]
            assert asked.get("max_tokens", asked.get("max_completion_tokens")) == 7

    run(main())


def test_coming_back_gives_the_rest_and_nothing_when_nothing_is_left(plain: PlainSite) -> None:
    async def main() -> None:
        async with plain.upstream(words("a", "b", "c")), plain.client() as client:
            run_id, found = await _ask(client, body())
            path = f"/api/v1/stream/{run_id}"
            assert frames((await client.ask("GET", path))[1]) == found
            for place, frame in enumerate(found[:-1]):
                for headers, query in (({"last-event-id": frame.number}, ""), ({}, f"?last_event_id={frame.number}")):
                    status, data = await client.ask("GET", path + query, headers=headers)
                    assert status == 200
                    assert frames(data) == found[place + 1 :]
            assert await client.ask("GET", path, headers={"last-event-id": found[-1].number}) == (204, b"")

    run(main())


def test_a_known_run_is_attached_to_and_never_made_again(plain: PlainSite) -> None:
    async def main() -> None:
        held = Held()
        async with plain.upstream(held) as upstream, plain.client() as one, plain.client() as two:
            await one.send("POST", "/api/v1/stream", body(run_id="mine"))
            assert await one.head() == 200
            await held.begun.wait()
            await two.send("POST", "/api/v1/stream", body(), {"x-millstream-run": "mine"})
            assert await two.head() == 200
            await two.body.until(b'"one"')
            held.go_on.set()
            rest = [await one.body.rest(), await two.body.rest()]
            assert all(b"event: complete" in data for data in rest)
            third = await _ask(one, body(run_id="mine"))
            assert text_of(third[1]) == "one two"
            assert len(upstream.calls) == 1

    run(main())


def test_a_client_that_leaves_takes_its_run_with_it(plain: PlainSite) -> None:
    async def main() -> None:
        held = Held()
        async with plain.upstream(held):
            async with plain.client() as client:
                await client.send("POST", "/api/v1/stream", body(run_id="left"))
                await client.head()
                await client.body.until(b'"one"')
            await held.gone
            async with plain.client() as client:
                _, data = await client.ask("GET", "/api/v1/stream/left")
                said = objects(frames(data))
                assert [one["type"] for one in said] == ["chunk", "error"]
                assert (said[-1]["code"], said[-1]["retryable"]) == ("cancelled", False)

    run(main())


def test_a_detached_run_is_there_for_whoever_comes_back(plain: PlainSite) -> None:
    async def main() -> None:
        held = Held()
        async with plain.upstream(held):
            async with plain.client() as client:
                await client.send("POST", "/api/v1/stream", body(run_id="kept", on_disconnect="detach"))
                await client.head()
                await client.body.until(b'"one"')
            held.go_on.set()
            async with plain.client() as client:
                _, data = await client.ask("GET", "/api/v1/stream/kept")
                assert text_of(frames(data)) == "one two"

    run(main())


def test_an_upstreams_failure_is_one_error_and_the_end(plain: PlainSite) -> None:
    async def refuses(call: Call) -> None:
        headers = {"content-type": "application/json", "retry-after": "30"}
        await call.answer(429, WIRE.refusal("rate", "slow down"), headers)

    async def cut(call: Call) -> None:
        await call.head()
        await call.send(WIRE.start() + WIRE.text(0, "half", first=True))
        call.cut()

    async def main() -> None:
        async with plain.upstream(refuses), plain.client() as client:
            _, found = await _ask(client, body())
            (said,) = objects(found)
            assert (said["type"], said["code"], said["retryable"], said["retry_after"]) == (
                "error",
                said["code"],
                True,
                30,
            )
            assert "slow down" in said["message"]
            assert found[0].name == "error"
        async with plain.upstream(cut), plain.client() as client:
            run_id, found = await _ask(client, body())
            assert [frame.name for frame in found] == ["message", "error"]
            status, _ = await client.ask("GET", f"/api/v1/stream/{run_id}", headers={"last-event-id": found[-1].number})
            assert status == 204

    run(main())


def test_silence_is_filled(plain: PlainSite) -> None:
    async def main() -> None:
        held = Held()
        async with plain.upstream(held), plain.client(heartbeat=0.05) as client:
            await client.send("POST", "/api/v1/stream", body())
            await client.head()
            await held.begun.wait()
            await client.body.until(b": keepalive\n\n: keepalive\n\n")
            held.go_on.set()
            await client.body.until(b"event: complete")

    run(main())


def test_a_run_may_not_take_for_ever(plain: PlainSite) -> None:
    async def main() -> None:
        held = Held()
        async with plain.upstream(held), plain.client(limit=0.2) as client:
            _, found = await _ask(client, body())
            assert objects(found)[-1]["code"] == "run_limit"
            await held.gone

    run(main())


@pytest.mark.parametrize(
    ("said", "status", "words_in_it"),
    [
        (b"{", 400, "JSON"),
        (b"[]", 400, "object"),
        (b"{}", 400, "query"),
        (b'{"query":" "}', 400, "query"),
        (b'{"query":"a","messages":[]}', 400, "query"),
        (b'{"messages":[]}', 400, "messages"),
        (b'{"messages":[{"role":"nobody","content":"a"}]}', 400, "role"),
        (b'{"query":"a","max_tokens":0}', 400, "max_tokens"),
        (b'{"query":5}', 400, "query"),
        (b'{"query":"a","model":"no/such"}', 404, "no/such"),
        (b'{"query":"a","run_id":"../x"}', 400, "run_id"),
        (b'{"query":"a","on_disconnect":"explode"}', 400, "explode"),
        (b'{"query":"a","system":"' + b"x" * 3000 + b'"}', 413, "larger"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_true_status(
    plain: PlainSite, said: bytes, status: int, words_in_it: str
) -> None:
    async def main() -> None:
        gateway = plain.gateway({"max_body": 2000})
        async with RawClient(gateway.address) as client:
            got, data = await client.ask("POST", "/api/v1/stream", said)
            error: dict[str, Any] = json.loads(data)
            assert got == status, error
            assert error["type"] == "error"
            assert words_in_it in error["message"]
            assert error["retryable"] is False

    run(main())


@pytest.mark.parametrize(
    ("path", "number", "status"),
    [("none", "0", 404), ("done", "abc", 400), ("done", "-1", 400), ("done", "9999999", 400), ("done", "9" * 30, 400)],
)
def test_a_resume_that_cannot_be_is_refused(plain: PlainSite, path: str, number: str, status: int) -> None:
    async def main() -> None:
        async with plain.upstream(words("a")), plain.client() as client:
            await _ask(client, body(run_id="done"))
            got, data = await client.ask("GET", f"/api/v1/stream/{path}", headers={"last-event-id": number})
            assert got == status
            assert json.loads(data)["type"] == "error"

    run(main())


def test_a_stranger_is_refused_in_the_words_of_this_surface(plain: PlainSite) -> None:
    async def main() -> None:
        async with plain.client() as client:
            status, data = await client.ask("POST", "/api/v1/stream", body(), {"host": "evil.example"})
            assert status == 403
            assert json.loads(data)["type"] == "error"

    run(main())


def test_runs_can_be_listed_looked_into_stopped_and_forgotten(plain: PlainSite) -> None:
    async def main() -> None:
        held = Held()
        async with plain.upstream(held), plain.client() as client, plain.client() as other:
            await client.send("POST", "/api/v1/stream", body(run_id="managed"))
            await client.head()
            await client.body.until(b'"one"')

            async def asked(method: str, path: str) -> Any:
                status, data = await other.ask(method, f"/api/v1/runs{path}")
                return json.loads(data) if status == 200 else status

            (mine,) = [one for one in (await asked("GET", "?limit=50"))["runs"] if one["id"] == "managed"]
            assert (mine["state"], mine["surface"], mine["model"]) == ("running", "plain", MODEL)
            assert await asked("POST", "/managed/cancel") == {"cancelled": True}
            assert b"cancelled" in await client.body.rest()
            await held.gone
            assert (await asked("GET", "/managed"))["state"] == "cancelled"
            _, data = await other.ask("GET", "/api/v1/runs/managed/events?after=2")
            kinds = [json.loads(line)["type"] for line in data.splitlines()]
            assert kinds[-2:] == ["Fault", "RunEnd"]
            assert "TextDelta" in kinds
            assert await asked("POST", "/managed/cancel") == {"cancelled": False}
            assert await asked("DELETE", "/managed") == {"deleted": True}
            assert await asked("GET", "/managed") == 404
            assert await asked("GET", "?limit=x") == 400

    run(main())


def test_a_run_that_nobody_reads_ends_with_the_gateway_and_says_so(plain: PlainSite) -> None:
    class Kept(MemoryJournal):
        async def aclose(self) -> None:
            """It is looked into afterwards."""

    async def main() -> None:
        held = Held()
        journal = Kept(time.time, 2**20)
        gateway = GatewayThread(plain.config({"drain": 0.2}, on_disconnect="detach"), journal=journal)
        async with plain.upstream(held):
            with gateway:
                async with RawClient(gateway.address) as client:
                    await client.send("POST", "/api/v1/stream", body(run_id="last"))
                    await client.head()
                    await client.body.until(b'"one"')
            info = await journal.info("runs/last")
            batch = await journal.read("runs/last", info.last - 2)
            assert info.sealed
            assert [json.loads(entry)["type"] for entry in batch.entries] == ["Fault", "RunEnd"]
            assert b"shutting down" in batch.entries[0]

    run(main())
