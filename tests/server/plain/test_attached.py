"""Calls of the model APIs as runs: journaled, attached to, and left, in each API's own words."""

from __future__ import annotations

import json

import pytest
from gateway_site import model_of, run
from plain_site import PlainSite, frames, text_of, words
from raw_upstream import Call
from responses_site import Held
from wires import AnthropicWire, ChatWire, Wire

WIRES = pytest.mark.parametrize("wire", [AnthropicWire(), ChatWire()], ids=lambda wire: wire.name)
MODEL = model_of(ChatWire())


@WIRES
def test_a_call_is_a_run_and_the_same_id_gives_the_same_answer_again(plain: PlainSite, wire: Wire) -> None:
    run_id = f"attached-{wire.name}"

    async def main() -> None:
        async with plain.upstream(words("a ", "b ", "c")) as upstream, plain.client() as client:
            answers = []
            for _ in range(2):
                status, data = await client.ask(
                    "POST", wire.path, wire.request(model=MODEL), {"x-millstream-run": run_id}
                )
                assert status == 200
                assert client.headers["x-millstream-run"] == run_id
                assert wire.hear(data).text == "a b c"
                answers.append(data)
            assert answers[0] == answers[1]
            _, whole = await client.ask(
                "POST", wire.path, wire.request(model=MODEL, stream=False), {"x-millstream-run": run_id}
            )
            assert wire.said_in(whole) == "a b c"
            _, data = await client.ask("GET", f"/api/v1/stream/{run_id}")
            assert text_of(frames(data)) == "a b c"
            assert len(upstream.calls) == 1

    run(main())


@WIRES
def test_a_failure_before_any_content_is_a_true_status(plain: PlainSite, wire: Wire) -> None:
    async def refuses(call: Call) -> None:
        await call.answer(400, ChatWire().refusal("invalid", "no such thing"))

    async def main() -> None:
        async with plain.upstream(refuses), plain.client() as client:
            for stream in (True, False):
                said = wire.request(model=MODEL, stream=stream)
                status, data = await client.ask("POST", wire.path, said, {"x-millstream-run": "new"})
                assert status == 400
                assert "no such thing" in wire.problem_in(data)[1]

    run(main())


@WIRES
@pytest.mark.parametrize("policy", ["cancel", "detach"])
def test_leaving_does_what_the_call_says(plain: PlainSite, wire: Wire, policy: str) -> None:
    async def main() -> None:
        held = Held()
        run_id = f"left-{wire.name}-{policy}"
        headers = {"x-millstream-run": run_id, "x-millstream-disconnect": policy}
        async with plain.upstream(held):
            async with plain.client() as client:
                await client.send("POST", wire.path, wire.request(model=MODEL), headers)
                assert await client.head() == 200
                await client.body.until(b"one")
            if policy == "cancel":
                await held.gone
            held.go_on.set()
            async with plain.client() as client:
                _, data = await client.ask("POST", wire.path, wire.request(model=MODEL), {"x-millstream-run": run_id})
                heard = wire.hear(data)
                assert heard.text == ("one two" if policy == "detach" else "one")
                assert bool(heard.errors) == (policy == "cancel")

    run(main())


def test_an_unknown_policy_is_refused(plain: PlainSite) -> None:
    async def main() -> None:
        wire = ChatWire()
        async with plain.client() as client:
            headers = {"x-millstream-run": "new", "x-millstream-disconnect": "explode"}
            status, data = await client.ask("POST", wire.path, wire.request(model=MODEL), headers)
            assert status == 400
            assert "x-millstream-disconnect" in json.loads(data)["error"]["message"]

    run(main())
