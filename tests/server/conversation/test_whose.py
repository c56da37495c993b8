"""Whose conversations are: bound to the credentials that are shown."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from gateway_site import run
from played import scenario
from raw_client import RawClient
from talk_site import talk

from millstream.config import AuthConfig, JwtConfig, KeyConfig
from millstream.policy.keys import digest
from millstream.testing.gateway import GatewayThread

SCRIPT = scenario({"text": "A secret."})
QUIET: dict[str, Any] = {"intent": False, "suggestions": False}
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
STREAM, SESSIONS = "/api/conversation-stream/{}", "/api/conversation/{}/sessions"


class _Keys(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"keys": [{**key, "kid": "one", "use": "sig", "alg": "RS256"}]}).encode())

    def log_message(self, *args: object) -> None:
        return


@pytest.fixture
def tokens() -> Generator[JwtConfig]:
    server = HTTPServer(("127.0.0.1", 0), _Keys)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield JwtConfig(jwks_url=f"http://127.0.0.1:{server.server_port}/keys", issuer="i", audience=("a",))
    server.shutdown()
    thread.join()
    server.server_close()


def _token(user: str, **more: object) -> str:
    claims = {"iss": "i", "aud": "a", "sub": user, "exp": int(time.time()) + 600, **more}
    return jwt.encode(claims, KEY, "RS256", headers={"kid": "one"})


class _Callers:
    def __init__(self, gateway: GatewayThread) -> None:
        self._gateway = gateway

    async def ask(self, shown: str | None, method: str, path: str, **body: Any) -> tuple[int, bytes]:
        async with RawClient(self._gateway.address) as client:
            headers = {"authorization": f"Bearer {shown}"} if shown is not None else {}
            return await client.ask(method, path, json.dumps(body).encode() if body else b"", headers)


def test_a_token_speaks_for_its_own_user_only(tokens: JwtConfig) -> None:
    async def main() -> None:
        async with talk(SCRIPT, auth=AuthConfig(jwt=tokens), **QUIET) as there:
            callers = _Callers(there.gateway)
            assert (await callers.ask(_token("ann"), "POST", STREAM.format("ann"), message="Hi"))[0] == 200
            for method, path in (
                ("POST", STREAM.format("ann")),
                ("POST", "/api/conversation/ann"),
                ("GET", SESSIONS.format("ann")),
                ("GET", f"{STREAM.format('ann')}/run_x"),
                ("DELETE", f"{SESSIONS.format('ann')}/ses_x"),
            ):
                status, said = await callers.ask(_token("bob"), method, path, message="Hi")
                assert (status, json.loads(said)["code"]) == (403, "permission"), path
            expired = _token("ann", exp=int(time.time()) - 600)
            for shown in (None, "forged", expired, _token("ann") + "x"):
                status, said = await callers.ask(shown, "GET", SESSIONS.format("ann"))
                assert (status, json.loads(said)["type"]) == (401, "error")
            assert len(there.requests) == 1

    run(main())


def test_a_key_speaks_for_all_its_users_and_sees_none_of_another_keys() -> None:
    async def main() -> None:
        keys = {name: KeyConfig(sha256=digest(name)) for name in ("one", "two")}
        async with talk(SCRIPT, auth=AuthConfig(keys=keys), **QUIET) as there:
            callers = _Callers(there.gateway)
            for user in ("ann", "bob"):
                assert (await callers.ask("one", "POST", STREAM.format(user), message="Hi"))[0] == 200
            listed = json.loads((await callers.ask("one", "GET", SESSIONS.format("ann")))[1])["sessions"]
            assert len(listed) == 1
            assert json.loads((await callers.ask("two", "GET", SESSIONS.format("ann")))[1]) == {"sessions": []}
            path = f"{SESSIONS.format('ann')}/{listed[0]['id']}"
            assert (await callers.ask("two", "GET", path))[0] == 404
            assert (await callers.ask("one", "GET", path))[0] == 200

    run(main())
