"""Who may call: whoever has the key where one is set; where none is, programs and pages of this machine."""

import pytest
from gateway_site import Site, model_of, run
from raw_upstream import Call
from wires import Wire

KEY = "a-long-gateway-key"


def ask(site: Site, wire: Wire, headers: dict[str, str], **settings: object) -> tuple[int, bytes]:
    async def answer(call: Call) -> None:
        for value in call.headers.values():
            assert KEY not in value, "the gateway's own key went upstream"
        await call.stream(*wire.answer("Come in."))

    async def main() -> tuple[int, bytes]:
        async with site.upstream(answer), site.client(**settings) as client:
            return await client.ask("POST", wire.path, wire.request(model=model_of(wire)), headers)

    return run(main())


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer  {KEY}"},
        {"x-api-key": KEY},
        {"x-goog-api-key": KEY},
        {"x-api-key": KEY, "authorization": "Bearer something-else"},
        {"x-api-key": "something-else", "authorization": f"Bearer {KEY}"},
    ],
)
def test_the_key_is_found_wherever_clients_put_it(site: Site, client: Wire, headers: dict[str, str]) -> None:
    status, stream = ask(site, client, headers, api_key=KEY)
    assert (status, client.hear(stream).text) == (200, "Come in.")


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, "needs a key"),
        ({"authorization": "Basic abc"}, "needs a key"),
        ({"x-api-key": ""}, "needs a key"),
        ({"x-api-key": KEY + "x"}, "does not know"),
        ({"authorization": "Bearer k\u00e9y"}, "does not know"),
    ],
)
def test_without_the_key_it_is_a_401_in_the_clients_words(
    site: Site, client: Wire, headers: dict[str, str], said: str
) -> None:
    status, body = ask(site, client, headers, api_key=KEY)
    kind, message = client.problem_in(body)
    assert status == 401
    assert kind == ("authentication_error" if client.name == "anthropic" else "invalid_request_error")
    assert said in message
    assert KEY not in message


def test_health_and_preflights_need_no_key(site: Site) -> None:
    async def main() -> None:
        async with site.client(api_key=KEY) as client:
            assert (await client.ask("GET", "/health"))[0] == 200
            asked = {"origin": "http://localhost:1", "access-control-request-method": "POST"}
            assert (await client.ask("OPTIONS", "/v1/messages", headers=asked))[0] == 200
            assert (await client.ask("GET", "/v1/models"))[0] == 401

    run(main())


@pytest.mark.parametrize("host", ["127.0.0.1:8090", "localhost", "localhost:8090", "[::1]:8090", "app.localhost:8090"])
def test_any_name_of_this_machine_may_address_it(site: Site, client: Wire, host: str) -> None:
    status, stream = ask(site, client, {"host": host})
    assert (status, client.hear(stream).text) == (200, "Come in.")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8090", "127.0.0.1.evil.example", ""])
def test_a_foreign_host_name_is_refused_while_no_key_protects(site: Site, client: Wire, host: str) -> None:
    """A page may point its own name at this machine (DNS rebinding)."""
    status, body = ask(site, client, {"host": host})
    _, message = client.problem_in(body)
    assert status == 403
    assert "server.allowed_hosts" in message


def test_a_host_name_of_the_configuration_is_answered(site: Site, client: Wire) -> None:
    status, _ = ask(site, client, {"host": "box.lan:8090"}, allowed_hosts=("box.lan",))
    assert status == 200


def test_with_a_key_any_host_name_will_do(site: Site, client: Wire) -> None:
    status, _ = ask(site, client, {"host": "gateway.example", "x-api-key": KEY}, api_key=KEY)
    assert status == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost.evil.example", "null"])
def test_a_page_of_elsewhere_is_refused_while_no_key_protects(site: Site, client: Wire, origin: str) -> None:
    """Its browser would keep the answer from it, but the request would have been paid for."""
    status, body = ask(site, client, {"origin": origin, "content-type": "text/plain"})
    assert status == 403
    assert "server.cors_origins" in client.problem_in(body)[1]


@pytest.mark.parametrize(
    ("origin", "settings"),
    [
        ("http://localhost:3000", {}),
        ("https://app.example", {"cors_origins": ("https://app.example",)}),
        ("https://app.example", {"cors_origins": ("*",)}),
        ("https://app.example", {"api_key": KEY}),
    ],
)
def test_pages_that_may_call_are_answered(site: Site, client: Wire, origin: str, settings: dict[str, object]) -> None:
    status, stream = ask(site, client, {"origin": origin, "x-api-key": KEY}, **settings)
    assert (status, client.hear(stream).text) == (200, "Come in.")


def test_a_page_may_read_why_it_was_refused(site: Site) -> None:
    async def main() -> None:
        async with site.client(api_key=KEY) as client:
            status, _ = await client.ask("GET", "/v1/models", headers={"origin": "http://localhost:3000"})
            assert (status, client.headers["access-control-allow-origin"]) == (401, "http://localhost:3000")

    run(main())
