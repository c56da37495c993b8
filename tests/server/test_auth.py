"""Credentials: what lets in, what does not, and what a caller then is."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from millstream.config import AuthConfig, Config, ConfigError, JwtConfig, KeyConfig, ServerConfig
from millstream.core.errors import MillstreamError, PolicyRefusal, UpstreamFault
from millstream.policy.auth import shown_keys
from millstream.policy.caller import Caller
from millstream.policy.keys import digest, record_of
from millstream.server.credentials import Credentials, credentials_required
from millstream.server.keyfile import changed_keys, keys_path

ISSUER = "https://login.example"
AUDIENCE = "millstream"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public(key: rsa.RSAPrivateKey, kid: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return {**found, "kid": kid, "use": "sig", "alg": "RS256"}


class Provider:
    """An identity provider's key endpoint."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = [public(KEY, "one")]
        self.asked = 0
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked += 1
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps({"keys": provider.keys}).encode())

            def log_message(self, *args: object) -> None:
                return

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys"


@pytest.fixture
def provider() -> Generator[Provider]:
    found = Provider()
    thread = Thread(target=found.server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield found
    finally:
        found.server.shutdown()
        thread.join()
        found.server.server_close()


def credentials(
    tmp_path: Path, *, now: float | None = None, environ: dict[str, str] | None = None, **auth: Any
) -> Credentials:
    auth.setdefault("keys_file", str(tmp_path / "keys.json"))
    config = Config(auth=AuthConfig(**auth))
    return Credentials(config, environ or {}, time.time if now is None else lambda: now)


def settings(url: str, **more: Any) -> JwtConfig:
    return JwtConfig(jwks_url=url, **{"issuer": ISSUER, "audience": (AUDIENCE,), **more})


def claims(**more: object) -> dict[str, object]:
    found: dict[str, object] = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": int(time.time()) + 600}
    return {name: value for name, value in {**found, **more}.items() if value is not None}


def token(key: rsa.RSAPrivateKey = KEY, kid: str | None = "one", **more: object) -> str:
    return jwt.encode(claims(**more), key, "RS256", headers={"kid": kid} if kid else None)


def caller(found: Credentials, shown: str) -> Caller:
    return found.find([shown]) or asyncio.run(found.verify([shown]))


def refused(found: Credentials, shown: str) -> str:
    assert found.find([shown]) is None
    with pytest.raises(PolicyRefusal) as caught:
        asyncio.run(found.verify([shown]))
    assert caught.value.status == 401
    assert shown not in caught.value.message
    return caught.value.message


def test_each_way_to_show_a_key_is_taken() -> None:
    found = Credentials(Config(server=ServerConfig(api_key="k1")), {}, time.time)
    for headers in (
        {"authorization": "Bearer k1"},
        {"authorization": "bearer k1"},
        {"x-api-key": "k1"},
        {"x-goog-api-key": "k1"},
        {"authorization": "Bearer other", "x-api-key": "k1"},
    ):
        known = found.find(shown_keys(headers))
        assert known is not None
        assert known.admin


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Basic k1"}, {"x-api-key": "k2"}, {"authorization": "Bearer"}]
)
def test_no_key_or_another_is_a_401(headers: dict[str, str]) -> None:
    found = Credentials(Config(server=ServerConfig(api_key="k1")), {}, time.time)
    assert found.find(shown_keys(headers)) is None
    with pytest.raises(PolicyRefusal) as caught:
        asyncio.run(found.verify(shown_keys(headers)))
    assert caught.value.status == 401
    assert "k1" not in caught.value.message
    assert "k2" not in caught.value.message


def test_keys_are_found_in_the_settings_by_hash_or_variable(tmp_path: Path) -> None:
    keys = {"a": KeyConfig(sha256=digest("key-a"), models=("groq/*",)), "b": KeyConfig(env="B", user="bob")}
    found = credentials(tmp_path, keys=keys, environ={"B": "key-b"})
    assert found.required
    assert caller(found, "key-a").models == ("groq/*",)
    assert (caller(found, "key-b").name, caller(found, "key-b").user) == ("b", "bob")
    refused(found, "key-c")
    refused(found, digest("key-a"))
    with pytest.raises(ConfigError, match=r"auth\.keys\.b: the environment variable B is not set"):
        credentials(tmp_path, keys=keys)


def test_keys_of_the_file_come_and_go_while_the_gateway_runs(tmp_path: Path) -> None:
    found = credentials(tmp_path, required=True, keys={"fixed": KeyConfig(sha256=digest("f"))})
    clock = time.monotonic()
    found._keys._clock = lambda: clock  # its own look at the time, so that nothing waits
    refused(found, "key-a")
    with changed_keys(tmp_path / "keys.json") as keys:
        keys.append(record_of("key-a", "a", time.time()))
    clock += 2
    assert caller(found, "key-a").name == "a"
    (tmp_path / "keys.json").write_text("{broken")
    clock += 2
    assert caller(found, "key-a").name == "a"
    (tmp_path / "keys.json").unlink()
    clock += 2
    refused(found, "key-a")
    assert caller(found, "f").name == "fixed"


def test_the_file_of_keys_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "keys.json"
    with changed_keys(path) as keys:
        keys.append(record_of("key-a", "a", 0.0))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert b"key-a" not in path.read_bytes()


def test_on_loopback_a_key_tells_who_calls_and_nobody_needs_one(tmp_path: Path) -> None:
    with changed_keys(tmp_path / "keys.json") as keys:
        keys.append(record_of("key-a", "a", 0.0))
    found = credentials(tmp_path)
    assert not found.required
    assert caller(found, "key-a").name == "a"
    assert caller(found, "dummy") is found.anybody


def test_a_public_address_needs_somebody_who_can_be_let_in(tmp_path: Path) -> None:
    path = str(tmp_path / "keys.json")
    public = Config(server=ServerConfig(host="0.0.0.0"), auth=AuthConfig(keys_file=path))
    with pytest.raises(ConfigError, match=r"server\.host 0\.0\.0\.0 can be reached .* needs a key"):
        credentials_required(public, {})
    with pytest.raises(ConfigError, match=r"auth\.required: it cannot be false"):
        credentials_required(Config(server=public.server, auth=AuthConfig(required=False)), {})
    with changed_keys(keys_path(public)) as keys:
        keys.append(record_of("key-a", "a", 0.0))
    assert credentials_required(public, {})


def test_a_user_with_a_good_token_is_known(tmp_path: Path, provider: Provider) -> None:
    found = credentials(tmp_path, jwt=settings(provider.url, models=("small",)))
    ann, bob = caller(found, token()), caller(found, token(sub="bob"))
    assert (ann.user, ann.models, ann.admin) == ("ann", ("small",), False)
    assert ann.owner != bob.owner
    assert caller(found, token(kid=None)) == ann
    assert caller(found, token(aud=["else", AUDIENCE])) == ann
    assert provider.asked == 1
    again = token()
    asyncio.run(found.verify([again]))
    assert found.find([again]) == ann


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (lambda: token(OTHER), "signature"),
        (lambda: token(exp=int(time.time()) - 60), "expired"),
        (lambda: token(exp=None), "exp"),
        (lambda: token(aud="somebody-else"), "somebody else"),
        (lambda: token(aud=None), "aud"),
        (lambda: token(iss="https://evil.example"), "somebody else"),
        (lambda: token(nbf=int(time.time()) + 600), "wrong"),
        (lambda: token(kid="unknown"), "nobody knows"),
        (lambda: token(sub=None), "names no user"),
        (lambda: token(sub=""), "names no user"),
        (lambda: token(sub="ann\n{forged log line}"), "names no user"),
        (lambda: token(sub="ann\x1b[2J"), "names no user"),
        (lambda: jwt.encode(claims(), "", "none"), "kind"),
        (lambda: jwt.encode(claims(), "x" * 64, "HS256", headers={"kid": "one"}), "kind"),
        (lambda: token()[:-8] + "AAAAAAAA", "signature"),
        (lambda: "ey" + "." * 2, "form"),
        (lambda: "ey" + "a" * 20_000 + "..", "too long"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_token_that_is_not_to_be_trusted_is_refused(
    tmp_path: Path, provider: Provider, shown: Any, said: str
) -> None:
    assert said in refused(credentials(tmp_path, jwt=settings(provider.url)), shown())


def test_a_public_key_cannot_be_used_as_a_shared_secret(tmp_path: Path, provider: Provider) -> None:
    """The classic confusion: the token is signed by HMAC with the provider's public key as the secret."""

    def part(value: object) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    signed = part({"alg": "HS256", "kid": "one", "typ": "JWT"}) + b"." + part(claims())
    mac = hmac.new(json.dumps(public(KEY, "one")).encode(), signed, hashlib.sha256).digest()
    forged = (signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()
    refused(credentials(tmp_path, jwt=settings(provider.url)), forged)


def test_a_shared_secret_among_the_providers_keys_is_no_key(tmp_path: Path, provider: Provider) -> None:
    secret = base64.urlsafe_b64encode(b"s" * 32).decode().rstrip("=")
    provider.keys.append({"kty": "oct", "kid": "shared", "k": secret, "alg": "HS256"})
    shared = jwt.encode(claims(), b"s" * 32, "HS256", headers={"kid": "shared"})
    found = credentials(tmp_path, jwt=settings(provider.url))
    refused(found, shared)
    assert caller(found, token()).user == "ann"


def test_a_new_key_of_the_provider_is_found_and_made_up_ones_do_not_flood_it(
    tmp_path: Path, provider: Provider
) -> None:
    now = time.time()
    found = credentials(tmp_path, now=now, jwt=settings(provider.url))
    assert caller(found, token()).user == "ann"
    provider.keys.append(public(OTHER, "two"))
    for number in range(20):
        refused(found, token(kid=f"made-up-{number}"))
    assert provider.asked == 1
    assert found._tokens is not None
    found._tokens._now = lambda: now + 11
    assert caller(found, token(OTHER, "two")).user == "ann"
    assert provider.asked == 2


def test_a_remembered_token_ends_when_it_says(tmp_path: Path, provider: Provider) -> None:
    found = credentials(tmp_path, jwt=settings(provider.url))
    shown = token(exp=int(time.time()) + 100)
    asyncio.run(found.verify([shown]))
    assert found._tokens is not None
    found._tokens._now = lambda: time.time() + 131
    assert found.find([shown]) is None


def test_while_the_provider_is_away_known_keys_hold_and_unknown_ones_are_a_503(
    tmp_path: Path, provider: Provider
) -> None:
    away = credentials(tmp_path, jwt=settings("http://127.0.0.1:1/keys"))
    with pytest.raises(UpstreamFault) as caught:
        asyncio.run(away.verify([token()]))
    assert caught.value.status == 503
    now = time.time()
    found = credentials(tmp_path, now=now, jwt=settings(provider.url, cache_for=60.0))
    asyncio.run(found.verify([token()]))
    provider.keys = []
    assert found._tokens is not None
    found._tokens._config = settings("http://127.0.0.1:1/keys", cache_for=60.0)
    found._tokens._now = lambda: now + 100
    assert caller(found, token(sub="bob")).user == "bob"


@pytest.mark.parametrize("missing", [{"issuer": None}, {"audience": ()}])
def test_tokens_need_an_issuer_and_an_audience(tmp_path: Path, missing: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="issuer and audience"):
        credentials(tmp_path, jwt=settings("https://login.example/keys", **missing))


@given(st.lists(st.text(max_size=60), max_size=3))
def test_nothing_that_is_made_up_gets_in_or_does_harm(shown: list[str]) -> None:
    found = Credentials(Config(server=ServerConfig(api_key="a-long-gateway-key")), {}, time.time)
    assert found.find(shown) is None
    with pytest.raises(MillstreamError):
        asyncio.run(found.verify(shown))
