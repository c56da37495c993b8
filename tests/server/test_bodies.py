"""What becomes of a request before any upstream hears of it."""

import json

import pytest
from gateway_site import Site, model_of, run
from raw_client import RawClient
from raw_http import chunk
from raw_upstream import Call
from wires import AnthropicWire, Wire

MiB = 1024 * 1024
SMALL = 64 * 1024


async def never(call: Call) -> None:
    raise AssertionError(f"the upstream was asked for {call.path}")


def problem(site: Site, wire: Wire, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Status, type and message of the refusal of ``body``."""

    async def main() -> tuple[int, str, str]:
        async with site.upstream(never), site.client() as sender:
            status, answer = await sender.ask("POST", wire.path, body, headers)
            assert sender.headers["content-type"] == "application/json"
            assert sender.headers["x-request-id"]
            return status, *wire.problem_in(answer)

    return run(main())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b'{"model": "m", "messages": [}', "JSON"),
        (b"\xff\xfe{}", "JSON"),
        (b'"text"', ""),
        (b"[]", ""),
        (b'{"messages": []}', "model"),
        (b'{"model": 7, "messages": []}', "model"),
        (b'{"model": null, "messages": []}', "model"),
        (b'{"model": "anthropic-up/m", "stream": "yes", "messages": []}', "stream"),
    ],
)
def test_a_body_that_cannot_be_read_is_a_400_that_names_what_is_wrong(
    site: Site, client: Wire, body: bytes, said: str
) -> None:
    status, kind, message = problem(site, client, body)
    assert (status, kind) == (400, "invalid_request_error")
    assert said in message


@pytest.mark.parametrize(
    ("field", "value"), [("messages", "hello"), ("messages", [7]), ("messages", [{"role": "user", "content": 7}])]
)
def test_a_field_of_the_wrong_type_is_a_400_that_names_it(site: Site, client: Wire, field: str, value: object) -> None:
    other = next(name for name in ("anthropic-up/m", "openai_chat-up/m") if not name.startswith(client.name))
    status, kind, message = problem(site, client, client.request(model=other, stream=True, **{field: value}))
    assert (status, kind) == (400, "invalid_request_error")
    assert field in message


def test_an_unknown_model_is_a_404_that_lists_near_names(site: Site, client: Wire) -> None:
    status, kind, message = problem(site, client, client.request(model="anthropc-up/m"))
    assert status == 404
    assert kind == ("not_found_error" if client.name == "anthropic" else "invalid_request_error")
    assert "'anthropc-up/m'" in message
    assert "anthropic-up/m" in message


def test_an_unknown_model_goes_to_the_default_where_the_configuration_says_so(site: Site, client: Wire) -> None:
    async def answer(call: Call) -> None:
        assert json.loads(call.body)["model"] == "the-default"
        await call.stream(*client.answer("Hi."))

    async def main() -> None:
        settings = {"unknown_model": "default", "default_model": f"{client.name}-up/the-default"}
        async with site.upstream(answer), site.client(**settings) as sender:
            status, stream = await sender.ask("POST", client.path, client.request(model="claude-no-one-knows"))
            assert (status, client.hear(stream).text) == (200, "Hi.")

    run(main())


def test_a_body_of_32_mb_is_taken(site: Site, client: Wire) -> None:
    body = client.request(model=model_of(client), padding="")
    body = body.replace(b'"padding":""', b'"padding":"' + b"x" * (32 * MiB - len(body)) + b'"')
    assert len(body) == 32 * MiB

    async def answer(call: Call) -> None:
        assert len(call.body) == len(body) - len(model_of(client)) + len("m")
        await call.stream(*client.answer("A lot."))

    async def main() -> None:
        async with site.upstream(answer), site.client() as sender:
            status, stream = await sender.ask("POST", client.path, body)
            assert (status, client.hear(stream).text) == (200, "A lot.")

    run(main())


def test_a_body_declared_too_long_is_refused_before_it_comes(site: Site, client: Wire) -> None:
    async def main() -> None:
        async with site.upstream(never), site.client() as sender:
            length = {"content-length": str(32 * MiB + 1)}
            await sender.send("POST", client.path, b"", length)
            assert await sender.head() == 413
            _, message = client.problem_in(await sender.body.rest())
            assert str(32 * MiB) in message

    run(main())


def test_a_body_that_grows_too_long_is_refused(site: Site, client: Wire) -> None:
    async def main() -> None:
        async with site.upstream(never), site.client(max_body=SMALL) as sender:
            await sender.send_bytes(_chunked_head(client))
            for _ in range(3):
                await sender.send_bytes(chunk(b" " * (SMALL // 2)))
            assert await sender.head() == 413
            client.problem_in(await sender.body.rest())

    run(main())


def test_a_client_that_sends_its_whole_body_first_still_reads_the_413(site: Site, client: Wire) -> None:
    """Most HTTP libraries write everything before they look for an answer: the rest must be read, not reset."""

    async def main() -> None:
        async with site.upstream(never), site.client(max_body=SMALL) as sender:
            status, answer = await sender.ask("POST", client.path, b" " * (8 * MiB))
            assert status == 413
            client.problem_in(answer)
            assert (await sender.ask("GET", "/health"))[0] == 200

    run(main())


def test_a_chunked_body_is_read_like_any_other(site: Site, client: Wire) -> None:
    async def answer(call: Call) -> None:
        await call.stream(*client.answer("Hi."))

    async def main() -> None:
        async with site.upstream(answer), site.client() as sender:
            body = client.request(model=model_of(client))
            status, stream = await sender.ask("POST", client.path, body, {"transfer-encoding": "chunked"})
            assert (status, client.hear(stream).text) == (200, "Hi.")

    run(main())


def test_a_client_that_leaves_within_its_body_leaves_nothing_behind(site: Site, client: Wire) -> None:
    async def main() -> None:
        gateway = site.gateway()
        async with site.upstream(never), RawClient(gateway.address) as other:
            async with RawClient(gateway.address) as sender:
                await sender.send_bytes(_chunked_head(client) + chunk(b'{"model":'))
                while gateway.open_streams == 0:
                    await other.ask("GET", "/health")
            while gateway.open_streams:
                await other.ask("GET", "/health")

    run(main())


def test_a_compressed_body_is_a_415(site: Site, client: Wire) -> None:
    status, _, message = problem(site, client, b"\x1f\x8b", {"content-encoding": "gzip"})
    assert status == 415
    assert "content-encoding" in message


def test_a_provider_without_its_key_is_a_403_that_names_the_variable(site: Site) -> None:
    status, kind, message = problem(site, AnthropicWire(), AnthropicWire().request(model="groq/any"))
    assert (status, kind) == (403, "permission_error")
    assert "GROQ_API_KEY" in message


def _chunked_head(wire: Wire) -> bytes:
    return f"POST {wire.path} HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n".encode()
