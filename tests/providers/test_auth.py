"""Access tokens of Google Cloud, made of a service account's key and asked for at a real token endpoint."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from gateway_site import run
from raw_client import RawClient
from raw_upstream import JSON, Answer, Call, RawUpstream
from speakers import Said
from speakers.gemini import Gemini

from millstream.config import Config, ProviderConfig, UpstreamConfig
from millstream.core.errors import Kind, UpstreamFault
from millstream.providers.auth import GoogleTokens
from millstream.testing.gateway import GatewayThread

EMAIL = "mill@example.iam.gserviceaccount.com"
HELLO = {"contents": [{"role": "user", "parts": [{"text": "Say hello."}]}]}
ASK = "/v1beta/models/vertex/gemini-x:generateContent"


@pytest.fixture(scope="module")
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def service_account(private_key: rsa.RSAPrivateKey, token_url: str) -> str:
    pem = private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return json.dumps(
        {"type": "service_account", "client_email": EMAIL, "private_key": pem.decode(), "token_uri": token_url}
    )


def granting(*tokens: str, seconds: int = 3600) -> tuple[Answer, ...]:
    """An answer of the token endpoint for each of ``tokens``."""

    def granting_one(token: str) -> Answer:
        async def answer(call: Call) -> None:
            body = {"access_token": token, "expires_in": seconds, "token_type": "Bearer"}
            await call.answer(200, json.dumps(body).encode())

        return answer

    return tuple(granting_one(token) for token in tokens)


def claims(call: Call, private_key: rsa.RSAPrivateKey) -> dict[str, Any]:
    """What the assertion says, its signature checked."""
    asked = parse_qs(call.body.decode())
    assert asked["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    signed, _, signature = asked["assertion"][0].rpartition(".")
    padded = signature + "=" * (-len(signature) % 4)
    public = private_key.public_key()
    public.verify(base64.urlsafe_b64decode(padded), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    payload = signed.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


@asynccontextmanager
async def vertex(
    key: Callable[[str], str], upstream: Answer, *tokens: Answer
) -> AsyncIterator[tuple[GatewayThread, RawUpstream, RawUpstream]]:
    """A gateway whose vertex is ``upstream``; ``key`` makes the credentials for the token endpoint's URL."""
    async with RawUpstream(*tokens) as endpoint, RawUpstream(upstream) as model:
        base_url = f"{model.url}/v1/projects/{{project}}/locations/{{location}}"
        own = ProviderConfig(base_url=base_url, api_key=key(endpoint.url), values={"project": "p1"})
        config = Config(providers={"vertex": own}, upstream=UpstreamConfig(retries=0))
        gateway = await asyncio.to_thread(GatewayThread(config).__enter__)
        try:
            yield gateway, endpoint, model
        finally:
            gateway.stop()
            await asyncio.to_thread(gateway.join)


async def ask(gateway: GatewayThread) -> tuple[int, bytes]:
    async with RawClient(gateway.address) as client:
        return await client.ask("POST", ASK, json.dumps(HELLO).encode())


def test_requests_share_a_token_that_the_accounts_key_signed_for(private_key: rsa.RSAPrivateKey) -> None:
    async def main() -> None:
        hello = Gemini().saying(Said(("Hello.",)))
        async with vertex(lambda url: service_account(private_key, url), hello, *granting("t1")) as site:
            gateway, endpoint, model = site
            answers = await asyncio.gather(*(ask(gateway) for _ in range(5)))
            assert [status for status, _ in answers] == [200] * 5
            assert [call.headers["authorization"] for call in model.calls] == ["Bearer t1"] * 5
            (asked,) = endpoint.calls
            found = claims(asked, private_key)
            assert (found["iss"], found["aud"]) == (EMAIL, "https://oauth2.googleapis.com/token")
            assert found["scope"] == "https://www.googleapis.com/auth/cloud-platform"

    run(main())


def test_nothing_else_waits_while_a_token_is_made(private_key: rsa.RSAPrivateKey) -> None:
    async def main() -> None:
        others_were_served = asyncio.Event()

        async def slow(call: Call) -> None:
            await others_were_served.wait()
            await granting("t1")[0](call)

        hello = Gemini().saying(Said(("Hello.",)))
        async with vertex(lambda url: service_account(private_key, url), hello, slow) as (gateway, endpoint, _):
            waiting = asyncio.create_task(ask(gateway))
            await endpoint.arrived()
            async with RawClient(gateway.address) as client:
                status, _ = await client.ask("GET", "/health")
                assert status == 200
            assert not waiting.done()
            others_were_served.set()
            assert (await waiting)[0] == 200

    run(main())


def test_a_token_is_renewed_shortly_before_its_end_and_not_earlier(private_key: rsa.RSAPrivateKey) -> None:
    async def main() -> None:
        async with RawUpstream(*granting("t1", "t2")) as endpoint:
            ahead = 0.0
            tokens = GoogleTokens("v", service_account(private_key, endpoint.url), lambda: time.time() + ahead)
            assert await tokens.token() == "t1"
            ahead = 3600 - 330
            assert await tokens.token() == "t1"
            ahead = 3600 - 270
            assert await tokens.token() == "t2"
            assert len(endpoint.calls) == 2

    run(main())


def test_a_token_that_is_refused_is_not_shown_again(private_key: rsa.RSAPrivateKey) -> None:
    async def main() -> None:
        async def refuse_the_first(call: Call) -> None:
            if call.headers["authorization"] == "Bearer t1":
                await call.answer(401, json.dumps(Gemini().refusal(401, "invalid", "revoked")).encode())
            else:
                await Gemini().saying(Said(("Hello.",)))(call)

        key = lambda url: service_account(private_key, url)  # noqa: E731  # beside the calls below it reads best
        async with vertex(key, refuse_the_first, *granting("t1", "t2")) as (gateway, _, model):
            assert [(await ask(gateway))[0] for _ in range(3)] == [401, 200, 200]
            shown = [call.headers["authorization"] for call in model.calls]
            assert shown == ["Bearer t1", "Bearer t2", "Bearer t2"]

    run(main())


def test_a_persons_own_login_gives_tokens_too(monkeypatch: pytest.MonkeyPatch) -> None:
    login = {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "r"}

    async def main() -> None:
        async with RawUpstream(*granting("t1")) as endpoint:
            # Such a file names no endpoint: the library knows Google's.
            monkeypatch.setattr("google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT", endpoint.url)
            assert await GoogleTokens("v", json.dumps(login)).token() == "t1"
            assert parse_qs(endpoint.calls[0].body.decode())["refresh_token"] == ["r"]

    run(main())


async def _refuse(call: Call) -> None:
    body = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
    await call.answer(400, json.dumps(body).encode(), JSON)


async def _cut(call: Call) -> None:
    call.cut()


def test_credentials_that_are_refused_say_so_in_the_clients_words(private_key: rsa.RSAPrivateKey) -> None:
    async def main() -> None:
        async def never(call: Call) -> None:
            raise AssertionError("the model was asked without a token")

        async with vertex(lambda url: service_account(private_key, url), never, _refuse) as (gateway, _, _):
            status, body = await ask(gateway)
            error = json.loads(body)["error"]
            assert (status, error["status"]) == (401, "UNAUTHENTICATED")
            assert "Invalid JWT Signature" in error["message"]
            assert "PRIVATE" not in body.decode()

    run(main())


def test_a_token_endpoint_that_cannot_be_reached_is_another_error(private_key: rsa.RSAPrivateKey) -> None:
    async def main() -> None:
        async with RawUpstream(_cut) as endpoint:
            with pytest.raises(UpstreamFault, match="could not reach the token endpoint of v") as caught:
                await GoogleTokens("v", service_account(private_key, endpoint.url)).token()
            assert caught.value.kind is Kind.UNREACHABLE
            assert caught.value.retryable

    run(main())


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("{", "cannot be used"),
        ('{"type": "external_account"}', "'external_account', neither"),
        ('{"type": "service_account"}', "cannot be used"),
        ('{"type": "service_account", "client_email": "a", "token_uri": "u", "private_key": "no"}', "cannot be used"),
        ("/nowhere/key.json", "cannot read the credentials of v: No such file"),
    ],
)
def test_credentials_that_are_none_are_refused_before_anything_is_sent(key: str, why: str) -> None:
    async def main() -> None:
        with pytest.raises(UpstreamFault, match=why) as caught:
            await GoogleTokens("v", key).token()
        assert caught.value.kind is Kind.AUTHENTICATION
        assert not caught.value.retryable

    run(main())


def test_without_googles_library_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.auth.exceptions", None)

    async def main() -> None:
        with pytest.raises(UpstreamFault, match=r"millstream\[vertex\]"):
            await GoogleTokens("v", "{}").token()

    run(main())


def test_a_key_is_read_from_the_file_that_a_variable_names(private_key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    async def main() -> None:
        async with RawUpstream(*granting("t1")) as endpoint:
            file = tmp_path / "key.json"
            file.write_text(service_account(private_key, endpoint.url))
            assert await GoogleTokens("v", str(file)).token() == "t1"

    run(main())
