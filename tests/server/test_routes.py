"""Which paths there are, who answers at the others, and in whose words."""

import asyncio
import json
from typing import Any

import pytest
from gateway_site import Site, model_of, run
from raw_upstream import Call
from wires import AnthropicWire, ChatWire, Wire

import millstream

LOCAL_ORIGIN = "http://localhost:3000"
OWN_GATEWAY: dict[str, Any] = {"heartbeat": 11.0}
"""Settings that no other test has: nobody else's streams are counted."""


def ask(
    site: Site, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, **settings: Any
) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of one answer."""

    async def main() -> tuple[int, bytes, dict[str, str]]:
        async with site.client(**settings) as client:
            status, answer = await client.ask(method, path, body, headers)
            return status, answer, client.headers

    return run(main())


@pytest.mark.parametrize(
    ("path", "wire"),
    [
        ("/v1/messages", AnthropicWire()),
        ("/v1/messages?beta=true", AnthropicWire()),
        ("/messages", AnthropicWire()),
        ("/v1/chat/completions", ChatWire()),
        ("/v1/chat/completions?api-version=1", ChatWire()),
        ("/chat/completions", ChatWire()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_path_of_a_model_api_streams_and_answers_whole(site: Site, path: str, wire: Wire) -> None:
    async def streamed(call: Call) -> None:
        await call.stream(*wire.answer("Hello."))

    async def whole(call: Call) -> None:
        await call.answer(200, wire.reply("Hello."))

    async def main() -> None:
        async with site.upstream(streamed, whole), site.client() as client:
            body = wire.request(model=model_of(wire))
            status, stream = await client.ask("POST", path, body)
            assert (status, wire.hear(stream).text) == (200, "Hello.")
            assert client.headers["content-type"].startswith("text/event-stream")
            assert client.headers["cache-control"] == "no-cache, no-transform"
            assert client.headers["x-accel-buffering"] == "no"
            assert client.headers["x-millstream-model"] == model_of(wire)
            assert client.headers["x-request-id"]
            status, reply = await client.ask("POST", path, wire.request(model=model_of(wire), stream=False))
            assert (status, wire.said_in(reply)) == (200, "Hello.")
            assert client.headers["content-type"] == "application/json"

    run(main())


def test_health_tells_version_uptime_and_open_streams(site: Site) -> None:
    status, body, _ = ask(site, "GET", "/health", **OWN_GATEWAY)
    health = json.loads(body)
    assert status == 200
    assert health["status"] == "ok"
    assert health["version"] == millstream.__version__
    assert health["uptime_s"] >= 0
    assert health["open_streams"] == 0


def test_health_counts_a_stream_while_it_runs(site: Site) -> None:
    wire = ChatWire()

    async def hanging(call: Call) -> None:
        await call.head()
        await call.gone()

    async def main() -> None:
        async with (
            site.upstream(hanging) as upstream,
            site.client(**OWN_GATEWAY) as client,
            site.client(**OWN_GATEWAY) as other,
        ):
            await client.send("POST", wire.path, wire.request(model=model_of(wire)))
            await upstream.arrived()
            _, body = await other.ask("GET", "/health")
            assert json.loads(body)["open_streams"] == 1

    run(main())


@pytest.mark.parametrize(("path", "status"), [("/health", 200), ("/", 200), ("/api/hello", 204), ("/v1/models", 200)])
def test_head_is_answered_without_a_body(site: Site, path: str, status: int) -> None:
    async def main() -> None:
        async with site.client() as client:
            assert (await client.ask("HEAD", path))[0] == status
            # A body would be read as the head of this one.
            assert (await client.ask("GET", "/health"))[0] == 200

    run(main())


def test_models_have_the_fields_of_both_apis(site: Site) -> None:
    status, body, _ = ask(site, "GET", "/v1/models?limit=1000", aliases={"fast": "openai_chat-up/m"})
    listed = json.loads(body)
    assert status == 200
    assert (listed["object"], listed["has_more"]) == ("list", False)
    names = [entry["id"] for entry in listed["data"]]
    assert {"fast", "openai_chat-up/m", "anthropic-up/m"} <= set(names)
    assert (listed["first_id"], listed["last_id"]) == (names[0], names[-1])
    for entry in listed["data"]:
        assert (entry["object"], entry["type"]) == ("model", "model")
        assert isinstance(entry["created"], int)
        assert entry["created_at"].endswith("Z")
        assert entry["owned_by"]
        assert entry["display_name"]
        assert entry["lifecycle"] == "active"


def test_a_model_with_slashes_in_its_name_is_found_by_itself(site: Site) -> None:
    for path in ("/v1/models/openai_chat-up/some/deep/model", "/v1/models/openai_chat-up%2Fsome%2Fdeep%2Fmodel"):
        status, body, _ = ask(site, "GET", path)
        assert (status, json.loads(body)["id"]) == (200, "openai_chat-up/some/deep/model")


def test_a_model_that_is_not_there_is_a_404_that_names_near_ones(site: Site) -> None:
    status, body, _ = ask(site, "GET", "/v1/models/openai-chat-up/m")
    kind, message = ChatWire().problem_in(body)
    assert (status, kind) == (404, "invalid_request_error")
    assert "openai_chat-up/m" in message


@pytest.mark.parametrize(
    ("method", "path", "wire", "status"),
    [
        ("GET", "/v1/messages", AnthropicWire(), 405),
        ("DELETE", "/messages", AnthropicWire(), 405),
        ("POST", "/v1/messages/batches", AnthropicWire(), 404),
        ("GET", "/v1/chat/completions", ChatWire(), 405),
        ("POST", "/v1/embeddings", ChatWire(), 404),
        ("POST", "/health", ChatWire(), 405),
        ("GET", "/nothing/here", ChatWire(), 404),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_served_is_an_error_of_the_dialect_whose_path_it_is(
    site: Site, method: str, path: str, wire: Wire, status: int
) -> None:
    found, body, headers = ask(site, method, path, b"{}" if method == "POST" else b"")
    kind, message = wire.problem_in(body)
    assert found == status
    assert path in message
    assert kind
    if status == 405:
        assert headers["allow"]


@pytest.mark.parametrize("origin", [LOCAL_ORIGIN, "http://127.0.0.1:8090", "https://localhost", "http://[::1]:5173"])
def test_pages_of_this_machine_may_call_from_a_browser(site: Site, origin: str) -> None:
    asked = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}
    status, _, headers = ask(site, "OPTIONS", "/v1/messages", headers=asked)
    assert status == 200
    assert headers["access-control-allow-origin"] == origin
    assert "POST" in headers["access-control-allow-methods"]
    assert "x-api-key" in headers["access-control-allow-headers"]
    _, _, headers = ask(site, "GET", "/v1/models", headers={"origin": origin})
    assert headers["access-control-allow-origin"] == origin
    assert "x-millstream-model" in headers["access-control-expose-headers"]


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost.evil.example", "null"])
def test_pages_of_elsewhere_may_not(site: Site, origin: str) -> None:
    asked = {"origin": origin, "access-control-request-method": "POST"}
    status, _, headers = ask(site, "OPTIONS", "/v1/messages", headers=asked)
    assert status == 400
    assert "access-control-allow-origin" not in headers


def test_an_origin_that_the_configuration_names_may(site: Site) -> None:
    origin = "https://app.example"
    asked = {"origin": origin, "access-control-request-method": "POST"}
    status, _, headers = ask(site, "OPTIONS", "/v1/messages", headers=asked, cors_origins=(origin,))
    assert (status, headers["access-control-allow-origin"]) == (200, origin)


@pytest.mark.parametrize("upstream_counts", [True, False])
def test_a_token_count_is_the_upstreams_own_or_an_estimate_that_says_so(site: Site, upstream_counts: bool) -> None:
    wire = AnthropicWire()

    async def count(call: Call) -> None:
        assert call.path == "/v1/messages/count_tokens"
        if upstream_counts:
            await call.answer(200, b'{"input_tokens": 4711}')
        else:
            await call.answer(404, wire.refusal("invalid", "there is no such thing here"))

    async def main() -> None:
        async with site.upstream(count), site.client() as client:
            question = {"model": model_of(wire), "messages": [{"role": "user", "content": "How long is this?"}]}
            path = "/v1/messages/count_tokens?beta=true"
            status, body = await client.ask("POST", path, json.dumps(question).encode())
            tokens = json.loads(body)["input_tokens"]
            assert status == 200
            if upstream_counts:
                assert tokens == 4711
                assert "x-millstream-estimated" not in client.headers
            else:
                assert 5 < tokens < 100
                assert client.headers["x-millstream-estimated"] == "true"

    run(main())


@pytest.mark.parametrize("dialect", ["gemini", "openai_responses"])
def test_an_upstream_of_another_api_is_asked_for_the_count_in_its_own_words(site: Site, dialect: str) -> None:
    """And where it refuses to tell, there is an estimate."""
    numbers = {"gemini": b'{"totalTokens": 4711}', "openai_responses": b'{"input_tokens": 4711}'}

    async def refuse(call: Call) -> None:
        await call.answer(404, b"{}")

    async def count(call: Call) -> None:
        assert call.path.endswith((":countTokens", "/responses/input_tokens"))
        assert b"How long is this?" in call.body
        await call.answer(200, numbers[dialect])

    async def main() -> None:
        async with site.upstream(count, refuse), site.client() as client:
            messages = [{"role": "user", "content": "How long is this?"}]
            question = json.dumps({"model": f"{dialect}-up/m", "messages": messages}).encode()
            _, body = await client.ask("POST", "/v1/messages/count_tokens", question)
            assert json.loads(body) == {"input_tokens": 4711}
            assert "x-millstream-estimated" not in client.headers
            _, body = await client.ask("POST", "/v1/messages/count_tokens", question)
            assert 5 < json.loads(body)["input_tokens"] < 100
            assert client.headers["x-millstream-estimated"] == "true"

    run(main())


def test_a_large_request_is_counted_while_others_are_served(site: Site) -> None:
    async def main() -> None:
        async with site.client() as client, site.client() as other:
            messages = [{"role": "user", "content": "the weather in Ulm " * 100_000}]
            question = json.dumps({"model": "openai_chat-up/m", "messages": messages}).encode()
            await client.send("POST", "/v1/messages/count_tokens", question)
            served = 0
            waiting = asyncio.create_task(client.head())
            while not waiting.done():
                assert (await other.ask("GET", "/health"))[0] == 200
                served += 1
            assert await waiting == 200
            assert 400_000 < json.loads(await client.body.rest())["input_tokens"] < 600_000
            assert served > 8, "while the body arrived, four or so are served anyway"

    run(main())


def test_many_requests_share_one_connection_of_the_client(site: Site) -> None:
    wire = ChatWire()

    async def answer(call: Call) -> None:
        await call.stream(*wire.answer("Hi."))

    async def main() -> None:
        async with site.upstream(answer) as upstream, site.client() as client:
            for _ in range(3):
                status, stream = await client.ask("POST", wire.path, wire.request(model=model_of(wire)))
                assert (status, wire.hear(stream).text) == (200, "Hi.")
            assert len(upstream.calls) == 3

    run(main())
