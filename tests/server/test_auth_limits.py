"""Keys at work: the models they may use, the limits they have, what is said when one is reached, and whose things are
whose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from gateway_site import Site, model_of, run
from raw_client import RawClient
from raw_upstream import Call
from wires import AnthropicWire, ChatWire, Wire

from millstream.config import AuthConfig, KeyConfig, LimitsConfig, PriceConfig
from millstream.policy.keys import digest
from millstream.testing.gateway import GatewayThread

PRICES = {"*-up/m": PriceConfig(input=1000.0, output=1000.0)}
"""A request of these tests is taken for 145 tokens, 100 of them output, and takes 9 in and 5 out: 1.4 cents."""


@asynccontextmanager
async def gateway(site: Site, keys: dict[str, dict[str, Any]], **limits: Any) -> AsyncGenerator[GatewayThread]:
    """Where each key is its name."""
    auth = AuthConfig(keys={name: KeyConfig(sha256=digest(name), **more) for name, more in keys.items()})
    limits.setdefault("reserve_output", 5)
    config = msgspec.structs.replace(site.config(), auth=auth, limits=LimitsConfig(prices=PRICES, **limits))
    thread = GatewayThread(config)
    await asyncio.to_thread(thread.__enter__)
    try:
        yield thread
    finally:
        await asyncio.to_thread(thread.__exit__, None, None, None)


async def ask(
    thread: GatewayThread, wire: Wire, key: str, model: str | None = None
) -> tuple[int, bytes, dict[str, str]]:
    async with RawClient(thread.address) as client:
        body = wire.request(model=model or model_of(wire))
        status, answer = await client.ask("POST", wire.path, body, {"x-api-key": key})
        return status, answer, dict(client.headers)


async def get(thread: GatewayThread, path: str, key: str) -> tuple[int, Any]:
    async with RawClient(thread.address) as client:
        status, body = await client.ask("GET", path, headers={"authorization": f"Bearer {key}"})
        return status, msgspec.json.decode(body)


def answers(wire: Wire) -> Any:
    async def answer(call: Call) -> None:
        await call.stream(*wire.answer("Come in."))

    return answer


def test_a_key_is_for_its_models_alone(site: Site, client: Wire) -> None:
    async def main() -> None:
        async with site.upstream(answers(client)), gateway(site, {"a": {"models": (f"{client.name}-up/m",)}}) as thread:
            assert (await ask(thread, client, "a"))[0] == 200
            status, body, _ = await ask(thread, client, "a", f"{client.name}-up/dear")
            assert status == 403
            assert "may not use the model" in client.problem_in(body)[1]
            assert (await ask(thread, client, "b"))[0] == 401
            _, listed = await get(thread, "/v1/models", "a")
            assert [model["id"] for model in listed["data"]] == [f"{client.name}-up/m"]

    run(main())


def test_too_many_requests_are_a_429_in_the_clients_words(site: Site, client: Wire) -> None:
    async def main() -> None:
        keys: dict[str, dict[str, Any]] = {"a": {"requests_per_minute": 2}, "b": {}}
        async with site.upstream(*[answers(client)] * 3), gateway(site, keys) as thread:
            assert [(await ask(thread, client, "a"))[0] for _ in range(2)] == [200, 200]
            status, body, headers = await ask(thread, client, "a")
            assert status == 429
            assert client.problem_in(body)[0] == "rate_limit_error" or client.name != "anthropic"
            assert 1 <= int(headers["retry-after"]) <= 60
            assert (await ask(thread, client, "b"))[0] == 200

    run(main())


def test_tokens_are_reserved_and_what_was_not_taken_is_given_back(site: Site) -> None:
    wire = ChatWire()

    async def main() -> None:
        async with site.upstream(*[answers(wire)] * 2), gateway(site, {"a": {"tokens_per_minute": 165}}) as thread:
            assert (await ask(thread, wire, "a"))[0] == 200
            await get(thread, "/api/v1/usage", "a")  # what has ended is counted
            statuses = [(await ask(thread, wire, "a"))[0]]
            status, _, headers = await ask(thread, wire, "a")
            statuses.append(status)
            assert statuses == [200, 429]
            assert 1 <= int(headers["retry-after"]) <= 60

    run(main())


def test_a_budget_ends_and_is_not_to_be_tried_again(site: Site) -> None:
    wire = AnthropicWire()

    async def main() -> None:
        keys: dict[str, dict[str, Any]] = {"a": {"budget": 0.02, "period": "day"}}
        async with site.upstream(*[answers(wire)] * 2), gateway(site, keys) as thread:
            assert (await ask(thread, wire, "a"))[0] == 200
            _, told = await get(thread, "/api/v1/usage", "a")
            assert told["total"]["cost_usd"] == pytest.approx(0.014)
            status, body, headers = await ask(thread, wire, "a")
            assert status == 402
            assert "budget of $0.02 a day is used up" in wire.problem_in(body)[1]
            assert "retry-after" not in headers

    run(main())


def test_a_key_with_a_budget_cannot_use_what_nobody_knows_the_price_of(site: Site) -> None:
    wire = ChatWire()

    async def main() -> None:
        async with gateway(site, {"a": {"budget": 1.0}}) as thread:
            status, body, _ = await ask(thread, wire, "a", "openai_chat-up/unpriced")
            assert status == 403
            assert "limits.prices" in wire.problem_in(body)[1]

    run(main())


def test_a_call_that_fails_costs_nothing(site: Site) -> None:
    wire = ChatWire()

    async def fails(call: Call) -> None:
        await call.answer(400, wire.refusal("invalid", "no"))

    async def main() -> None:
        async with (
            site.upstream(*[fails] * 3, answers(wire)),
            gateway(site, {"a": {"tokens_per_minute": 150}}) as thread,
        ):
            for _ in range(3):
                assert (await ask(thread, wire, "a"))[0] == 400
                await get(thread, "/api/v1/usage", "a")
            assert (await ask(thread, wire, "a"))[0] == 200
            _, told = await get(thread, "/api/v1/usage", "a")
            assert (told["total"]["requests"], told["total"]["failed"]) == (4, 3)

    run(main())


def test_everyone_sees_their_own_usage_and_admins_everybodys(site: Site) -> None:
    wire = ChatWire()

    async def main() -> None:
        keys: dict[str, dict[str, Any]] = {"a": {"user": "ann"}, "b": {}, "root": {"admin": True}}
        async with site.upstream(*[answers(wire)] * 3), gateway(site, keys) as thread:
            for key in ("a", "b", "b"):
                assert (await ask(thread, wire, key))[0] == 200
            _, ann = await get(thread, "/api/v1/usage?by=key,user", "a")
            assert [(row["key"], row["user"], row["requests"]) for row in ann["usage"]] == [("a", "ann", 1)]
            _, all_of_them = await get(thread, "/api/v1/usage?by=key", "root")
            assert {row["key"]: row["requests"] for row in all_of_them["usage"]} == {"a": 1, "b": 2}
            assert all_of_them["total"]["output_tokens"] == 15
            assert (await get(thread, "/api/v1/usage?by=nothing", "a"))[0] == 400
            assert (await get(thread, "/api/v1/usage?from=9999-99-99", "a"))[0] == 400
            assert (await get(thread, "/api/v1/usage?to=9999-12-31", "a"))[0] == 400
            assert (await get(thread, "/metrics", "a"))[0] == 403
            async with RawClient(thread.address) as client:
                assert (await client.ask("GET", "/metrics"))[0] == 401
                assert (await client.ask("GET", "/metrics", headers={"x-api-key": "root"}))[0] == 200

    run(main())


def test_a_run_is_for_the_key_that_began_it(site: Site) -> None:
    wire = ChatWire()

    async def main() -> None:
        keys: dict[str, dict[str, Any]] = {"a": {}, "b": {}}
        async with site.upstream(answers(wire)), gateway(site, keys) as thread, RawClient(thread.address) as client:
            body = msgspec.json.encode({"query": "hello", "model": model_of(wire), "run_id": "mine"})
            status, _ = await client.ask("POST", "/api/v1/stream", body, {"x-api-key": "a"})
            assert status == 200
            assert (await get(thread, "/api/v1/runs/mine", "a"))[0] == 200
            assert (await get(thread, "/api/v1/runs/mine", "b"))[0] == 404
            assert (await get(thread, "/api/v1/runs", "b"))[1]["runs"] == []
            for method, path in (("DELETE", "/api/v1/runs/mine"), ("GET", "/api/v1/stream/mine")):
                assert (await client.ask(method, path, headers={"x-api-key": "b"}))[0] == 404

    run(main())


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": "a\tb"},
        {"authorization": "Bearer " + "a" * 8000},
        {"authorization": "Bearer a, Bearer root"},
        {"x-api-key": "%61"},
        {"x-api-key": "root", "authorization": "Bearer"},
        {"x-forwarded-user": "root"},
        {"x-millstream-caller": "root"},
        {"cookie": "key=root"},
    ],
)
def test_nothing_but_credentials_makes_a_caller(site: Site, headers: dict[str, str]) -> None:
    async def main() -> None:
        keys: dict[str, dict[str, Any]] = {"a": {}, "root-key": {"admin": True}}
        async with gateway(site, keys) as thread, RawClient(thread.address) as client:
            assert (await client.ask("GET", "/api/v1/usage", headers=headers))[0] == 401

    run(main())


def test_another_host_or_origin_gets_nowhere_without_a_key(site: Site) -> None:
    """DNS rebinding, and pages of elsewhere, at the endpoints that tell of everybody."""

    async def main() -> None:
        async with site.client() as client:
            for path in ("/metrics", "/api/v1/usage", "/api/v1/runs"):
                assert (await client.ask("GET", path, headers={"host": "evil.example"}))[0] == 403
                assert (await client.ask("GET", path, headers={"origin": "https://evil.example"}))[0] == 403
                assert (await client.ask("GET", path))[0] == 200
                assert "access-control-allow-origin" not in client.headers

    run(main())


TALK = "/api/conversation-stream/a"


def asking(path: str, wire: Wire, run_id: str) -> tuple[bytes, dict[str, str]]:
    """The same question and run in the words of each endpoint of apps: the body, and headers."""
    said = {"id": "u1", "role": "user", "content": "hello"}
    body: dict[str, Any] = {"messages": [said], "model": model_of(wire)}
    headers = {"x-api-key": "a"}
    if path == TALK:
        body = {"message": said["content"], "model": body["model"]}
    elif path == "/api/chat":
        body["messages"] = [{"id": "u1", "role": "user", "parts": [{"type": "text", "text": "hello"}]}]
        headers["x-millstream-run"] = run_id
    elif path == "/agui":
        body |= {"threadId": "t1", "runId": run_id, "tools": [], "context": [], "state": {}}
        body["forwardedProps"] = {"model": body.pop("model")}
    elif path == "/api/v1/stream":
        body["run_id"] = run_id
    return msgspec.json.encode(body), headers


@pytest.mark.parametrize("path", ["/api/v1/stream", "/mcp/chat/stream", "/api/chat", "/agui", TALK])
def test_apps_are_told_of_a_limit_before_their_stream_begins(site: Site, path: str) -> None:
    wire = ChatWire()

    async def main() -> None:
        keys: dict[str, dict[str, Any]] = {"a": {"requests_per_minute": 1}}
        async with (
            site.upstream(answers(wire)),
            gateway(site, keys) as thread,
            RawClient(thread.address) as client,
        ):
            told = [(await client.ask("POST", path, *asking(path, wire, run)))[0] for run in ("one", "two")]
            assert told == [200, 429]
            assert 1 <= int(client.headers["retry-after"]) <= 60
            if path == TALK:
                _, kept = await client.ask("GET", "/api/conversation/a/sessions", headers={"x-api-key": "a"})
                assert len(msgspec.json.decode(kept)["sessions"]) == 1, "what was refused left a conversation"

    run(main())


@pytest.mark.parametrize("path", ["/api/v1/stream", "/api/chat", "/agui"])
def test_a_run_that_was_begun_is_read_again_whatever_the_limit(site: Site, path: str) -> None:
    wire = ChatWire()

    async def main() -> None:
        keys: dict[str, dict[str, Any]] = {"a": {"requests_per_minute": 1}}
        async with (
            site.upstream(answers(wire)),
            gateway(site, keys) as thread,
            RawClient(thread.address) as client,
        ):
            first, again = [await client.ask("POST", path, *asking(path, wire, "one")) for _ in range(2)]
            assert first[0] == again[0] == 200
            assert b"Come in." in again[1]
            status, _ = await client.ask("POST", path, *asking(path, wire, "two"))
            assert status == 429

    run(main())
