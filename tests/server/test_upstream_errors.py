"""What an upstream refuses, and in which words its client hears of it."""

import json

import pytest
from gateway_site import Site, model_of, run
from raw_upstream import JSON, Call
from wires import AnthropicWire, ChatWire, Wire

ANTHROPIC, CHAT = AnthropicWire(), ChatWire()
FROM_CHAT = [
    # status, error of a Chat upstream; status and type for a Messages client
    (400, {"type": "invalid_request_error", "code": None}, 400, "invalid_request_error"),
    (401, {"type": "invalid_request_error", "code": "invalid_api_key"}, 401, "authentication_error"),
    (402, {"type": "insufficient_quota", "code": "insufficient_quota"}, 402, "billing_error"),
    (403, {"type": "permission_error", "code": None}, 403, "permission_error"),
    (404, {"type": "invalid_request_error", "code": "model_not_found"}, 404, "not_found_error"),
    (413, {"type": "invalid_request_error", "code": None}, 413, "request_too_large"),
    (422, {"type": "invalid_request_error", "code": None}, 400, "invalid_request_error"),
    (429, {"type": "tokens", "code": "rate_limit_exceeded"}, 429, "rate_limit_error"),
    (500, {"type": "server_error", "code": None}, 500, "api_error"),
    (502, {"type": "server_error", "code": None}, 502, "api_error"),
    (503, {"type": "server_error", "code": None}, 503, "api_error"),
    (503, {"type": "server_error", "code": "server_overloaded"}, 503, "overloaded_error"),
]
FROM_ANTHROPIC = [
    # status, error type of a Messages upstream; status and type for a Chat client
    (400, "invalid_request_error", 400, "invalid_request_error"),
    (401, "authentication_error", 401, "invalid_request_error"),
    (402, "billing_error", 402, "insufficient_quota"),
    (403, "permission_error", 403, "permission_error"),
    (404, "not_found_error", 404, "invalid_request_error"),
    (413, "request_too_large", 413, "invalid_request_error"),
    (429, "rate_limit_error", 429, "rate_limit_error"),
    (500, "api_error", 500, "server_error"),
    (504, "timeout_error", 504, "server_error"),
    (529, "overloaded_error", 503, "server_error"),
]


def refused(
    site: Site, client: Wire, upstream: Wire, status: int, body: bytes, headers: dict[str, str], *, stream: bool
) -> tuple[int, bytes, dict[str, str]]:
    async def answer(call: Call) -> None:
        await call.answer(status, body, headers)

    async def main() -> tuple[int, bytes, dict[str, str]]:
        async with site.upstream(answer), site.client(retries=0) as sender:
            request = client.request(model=model_of(upstream), stream=stream)
            found, answered = await sender.ask("POST", client.path, request)
            return found, answered, sender.headers

    return run(main())


streamed_or_not = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


@streamed_or_not
@pytest.mark.parametrize(("status", "error", "told_status", "told_type"), FROM_CHAT, ids=lambda value: str(value)[:5])
def test_a_chat_upstreams_refusal_in_anthropics_words(
    site: Site, status: int, error: dict[str, str | None], told_status: int, told_type: str, stream: bool
) -> None:
    body = json.dumps({"error": {"message": "Not like that.", "param": None, **error}}).encode()
    found, answered, _ = refused(site, ANTHROPIC, CHAT, status, body, JSON, stream=stream)
    assert (found, ANTHROPIC.problem_in(answered)) == (told_status, (told_type, "Not like that."))


@streamed_or_not
@pytest.mark.parametrize(("status", "kind", "told_status", "told_type"), FROM_ANTHROPIC)
def test_a_messages_upstreams_refusal_in_openais_words(
    site: Site, status: int, kind: str, told_status: int, told_type: str, stream: bool
) -> None:
    body = json.dumps({"type": "error", "error": {"type": kind, "message": "Not like that."}}).encode()
    found, answered, _ = refused(site, CHAT, ANTHROPIC, status, body, JSON, stream=stream)
    assert (found, CHAT.problem_in(answered)) == (told_status, (told_type, "Not like that."))


@streamed_or_not
@pytest.mark.parametrize("status", [400, 401, 404, 413, 429, 500, 529])
def test_a_refusal_of_the_clients_own_dialect_is_the_same_to_the_byte(
    site: Site, client: Wire, status: int, stream: bool
) -> None:
    """Claude Code reads the texts of 400s to learn which of its fields to leave out."""
    body = b' { "type" :"error",\n\t"error": {"type":"x_error" , "message":"1.role: \\u00e9 \xc3\xa9"}, "n":1.0}\r\n'
    headers = {"content-type": "application/json; charset=utf-8", "retry-after": "20"}
    found, answered, told = refused(site, client, client, status, body, headers, stream=stream)
    assert (found, answered) == (status, body)
    assert told["content-type"] == headers["content-type"]
    assert told["retry-after"] == "20"


def test_how_long_to_wait_is_told_in_every_dialect(site: Site, client: Wire, upstream: Wire) -> None:
    body = upstream.refusal("rate", "Slow down.")
    status, answered, told = refused(site, client, upstream, 429, body, {**JSON, "retry-after": "20"}, stream=True)
    assert (status, client.problem_in(answered)[1], told["retry-after"]) == (429, "Slow down.", "20")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>", "502 Bad Gateway"),
        (b"upstream connect error", "upstream connect error"),
        (b"", "502"),
        (b"\xff\x00\xfe", ""),
    ],
)
def test_a_refusal_that_is_no_json_is_told_in_the_clients_dialect(
    site: Site, client: Wire, upstream: Wire, body: bytes, said: str
) -> None:
    if client.name == upstream.name:
        return
    status, answered, _ = refused(site, client, upstream, 502, body, {"content-type": "text/html"}, stream=True)
    _, message = client.problem_in(answered)
    assert status == 502
    assert said in message


def test_a_redirect_is_not_followed(site: Site, client: Wire, upstream: Wire) -> None:
    headers = {"location": "http://127.0.0.1:1/elsewhere"}
    status, answered, _ = refused(site, client, upstream, 307, b"", headers, stream=True)
    assert status == 502
    assert "redirects (status 307)" in client.problem_in(answered)[1]


def test_an_error_that_came_with_status_200_is_none_of_a_success(site: Site, client: Wire, upstream: Wire) -> None:
    """Some gateways answer 200 and put the error into the body."""

    async def answer(call: Call) -> None:
        await call.answer(200, upstream.refusal("overloaded", "Overloaded"))

    async def main() -> None:
        async with site.upstream(answer), site.client(retries=0) as sender:
            for stream in (True, False):
                body = client.request(model=model_of(upstream), stream=stream)
                status, answered = await sender.ask("POST", client.path, body)
                if status == 200:
                    heard = client.hear(answered)
                    assert (heard.text, heard.ends, [error["message"] for error in heard.errors]) == (
                        "",
                        0,
                        ["Overloaded"],
                    )
                else:
                    assert client.problem_in(answered)[1] == "Overloaded"

    run(main())
