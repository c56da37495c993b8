"""millstream in somebody's own application, on their own server."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import pytest
from any_server import AnyServer
from fastapi import FastAPI
from fastapi import HTTPException as FastHTTPException
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Mount
from websockets.sync.client import connect

import millstream
from millstream.config import ConfigError

SCENARIO = """
[[replies]]
when = { last_role = "tool" }
text = "It says {{result}}."

[[replies]]
when = { tool = "get_weather" }
tool_calls = [{ name = "get_weather", arguments = { city = "Ulm" } }]

[[replies]]
text = "One two three four five six seven eight nine ten."
"""
CONFIG: dict[str, Any] = {"default_model": "replay/quick", "sessions": {"store": "memory"}}


@pytest.fixture(autouse=True, scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("scenarios")
    (folder / "quick.toml").write_text(SCENARIO)
    CONFIG["replay"] = {"folder": str(folder)}


@millstream.tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"sun in {city}"


@contextmanager
def mounted(ai: millstream.App, at: str = "/ai", **settings: Any) -> Iterator[str]:
    """The address that ``ai`` is mounted at."""
    app = FastAPI(lifespan=ai.lifespan)
    app.mount(at, ai)
    with AnyServer(app, **settings) as server:
        yield server.url + at


def ask(base: str, path: str, body: Mapping[str, Any], **headers: str) -> httpx.Response:
    return httpx.post(base + path, json=body, headers=headers, timeout=30)


def message(**more: Any) -> dict[str, Any]:
    said = [{"role": "user", "content": "Hello"}]
    return {"model": "replay/quick", "max_tokens": 100, "messages": said, **more}


def test_it_is_mounted_and_streams_in_every_surface() -> None:
    with mounted(millstream.App(config=CONFIG)) as base:
        whole = ask(base, "/v1/messages", message()).json()
        streamed = ask(base, "/v1/messages", message(stream=True))
        plain = ask(base, "/api/v1/stream", {"query": "Hello"})
        gemini = ask(base, "/v1beta/models/replay%2Fquick:generateContent", {"contents": [{"parts": [{"text": "Hi"}]}]})
        with connect(base.replace("http", "ws") + "/ws/stream") as socket:
            socket.send(json.dumps({"type": "start", "stream_id": "s", "query": "Hello"}))
            pieces = []
            while (said := json.loads(socket.recv(timeout=30)))["type"] != "complete":
                pieces.append(said.get("content", ""))
    text = whole["content"][0]["text"]
    assert streamed.text.rstrip().endswith('{"type":"message_stop"}')
    assert "event: complete" in plain.text
    assert gemini.json()["candidates"][0]["content"]["parts"][0]["text"] == text
    assert "".join(pieces) == text


def test_a_run_is_taken_up_again_below_the_mount() -> None:
    with mounted(millstream.App(config=CONFIG), "/deep/below") as base:
        began = ask(base, "/api/v1/stream", {"query": "Hello"})
        run_id = began.headers["x-millstream-run"]
        again = httpx.get(f"{base}/api/v1/stream/{run_id}", headers={"last-event-id": "3"})
    assert again.text.split("\n\n", 1)[1] in began.text


def test_its_own_tools_run_here_for_clients_of_every_api() -> None:
    config = {**CONFIG, "tools": {"progress": "off"}}
    with mounted(millstream.App(tools=[get_weather], config=config)) as base:
        listed = httpx.get(base + "/mcp/tools").json()["tools"]
        chat = ask(base, "/mcp/chat/stream", {"query": "Weather?", "model": "replay/quick"}).text
        reply = ask(base, "/v1/messages", message(model="replay/quick")).json()
    assert [one["name"] for one in listed] == ["get_weather"]
    assert '"type":"tool_result","tool":"get_weather"' in chat
    assert reply["stop_reason"] == "end_turn"
    assert "sun in Ulm" in reply["content"][-1]["text"]


def test_served_by_itself_it_is_a_whole_gateway() -> None:
    with AnyServer(millstream.asgi(config=CONFIG)) as server:
        assert ask(server.url, "/v1/messages", message()).status_code == 200


def test_behind_a_path_that_the_server_knows_of() -> None:
    with mounted(millstream.App(config=CONFIG), root_path="/outer") as base:
        assert ask(base, "/v1/messages", message()).status_code == 200


@pytest.mark.parametrize("path", ["/v1/models", "/v1/messages/", "/messages", "/api/v1/runs/"])
def test_paths_that_begin_or_end_oddly_find_their_way_below_a_mount_of_the_same_name(path: str) -> None:
    with mounted(millstream.App(config=CONFIG), "/v1") as base:
        answer = ask(base, path, message()) if "messages" in path else httpx.get(base + path)
    assert answer.status_code == 200, answer.text


def test_what_is_not_there_is_said_in_the_callers_words_without_the_mount() -> None:
    with mounted(millstream.App(config=CONFIG)) as base:
        anthropic = httpx.post(base + "/v1/messages/nothing").json()
        plain = httpx.get(base + "/api/v1/nothing").json()
    assert anthropic["type"] == "error"
    assert "nothing is served at POST /v1/messages/nothing" in anthropic["error"]["message"]
    assert plain["code"] == "not_found"


def test_without_its_lifespan_it_says_what_to_write(caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()
    app.mount("/ai", millstream.asgi(config=CONFIG))
    with caplog.at_level(logging.ERROR), AnyServer(app) as server:
        answer = ask(server.url, "/ai/v1/messages", message())
    assert answer.status_code == 500
    assert "FastAPI(lifespan=ai.lifespan)" in answer.json()["message"]
    assert "FastAPI(lifespan=ai.lifespan)" in caplog.text


def test_its_lifespan_goes_into_the_apps_own_and_can_begin_again() -> None:
    ai = millstream.App(config=CONFIG)
    order: list[str] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        order.append("begins")
        async with ai.lifespan():
            yield {"database": "open"}
        order.append("ends")

    for _ in range(2):
        with AnyServer(Starlette(routes=[Mount("/ai", ai)], lifespan=lifespan)) as server:
            assert ask(server.url, "/ai/v1/messages", message()).status_code == 200
    assert order == ["begins", "ends"] * 2


def test_it_has_one_life_at_a_time() -> None:
    async def twice() -> None:
        ai = millstream.App(config=CONFIG)
        async with ai.lifespan():
            with pytest.raises(RuntimeError, match="one life"):
                async with ai.lifespan():
                    pass

    asyncio.run(twice())


async def by_token(connection: HTTPConnection) -> str | None:
    token = connection.headers.get("authorization", "")
    if token == "Bearer banned":
        raise FastHTTPException(403, "You are banned.")
    if token == "Bearer broken":
        raise LookupError("the database is gone: password hunter2")
    return token.removeprefix("Bearer ") or None


@pytest.mark.parametrize(
    ("token", "status", "said"),
    [("", 401, "logged in"), ("Bearer banned", 403, "You are banned."), ("Bearer broken", 500, "its log has why")],
)
def test_the_apps_own_users_are_asked_for_in_the_callers_words(token: str, status: int, said: str) -> None:
    with mounted(millstream.App(config=CONFIG, auth=by_token)) as base:
        model_api = ask(base, "/v1/messages", message(), authorization=token)
        plain = ask(base, "/api/v1/stream", {"query": "Hello"}, authorization=token)
        denied = None
        try:
            connect(base.replace("http", "ws") + "/ws/stream", additional_headers={"authorization": token})
        except Exception as error:
            denied = error
    assert (model_api.status_code, plain.status_code) == (status, status)
    assert said in model_api.json()["error"]["message"]
    assert said in plain.json()["message"]
    assert "hunter2" not in model_api.text + plain.text
    assert f"HTTP {status}" in str(denied)


def test_whoever_the_app_knows_may_call_from_any_host_and_page() -> None:
    with mounted(millstream.App(config=CONFIG, auth=lambda c: c.headers.get("x-user"))) as base:
        far = {"x-user": "ada", "host": "app.example", "origin": "https://app.example"}
        assert ask(base, "/v1/messages", message(), **far).status_code == 200


def test_what_is_kept_for_one_user_is_not_there_for_another() -> None:
    with mounted(millstream.App(config=CONFIG, auth=lambda c: c.headers.get("x-user"))) as base:
        run_id = httpx.post(base + "/api/v1/stream", json={"query": "Hi"}, headers={"x-user": "ada"}).headers[
            "x-millstream-run"
        ]
        paths = [f"/api/v1/stream/{run_id}", f"/api/v1/runs/{run_id}", f"/api/v1/runs/{run_id}/events"]
        seen = {u: [httpx.get(base + p, headers={"x-user": u}).status_code for p in paths] for u in ("ada", "bob")}
        listed = {u: httpx.get(base + "/api/v1/runs", headers={"x-user": u}).json()["runs"] for u in ("ada", "bob")}
    assert seen == {"ada": [200] * 3, "bob": [404] * 3}
    assert [len(listed["ada"]), len(listed["bob"])] == [1, 0]


def test_without_auth_only_this_machine_is_answered() -> None:
    with mounted(millstream.App(config=CONFIG)) as base:
        answer = ask(base, "/v1/messages", message(), host="app.example")
    assert answer.status_code == 403
    assert "server.allowed_hosts" in answer.json()["error"]["message"]


def test_middleware_of_the_app_sees_its_requests() -> None:
    ai = millstream.App(config=CONFIG)
    app = FastAPI(lifespan=ai.lifespan)
    app.mount("/ai", ai)

    @app.middleware("http")
    async def stamped(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["x-app"] = "theirs"
        return response

    with AnyServer(app) as server:
        answer = ask(server.url, "/ai/v1/messages", message(stream=True))
    assert answer.headers["x-app"] == "theirs"
    assert answer.text.rstrip().endswith('{"type":"message_stop"}')


def test_mistakes_are_found_when_the_app_is_made() -> None:
    def plain(city: str) -> str:
        return city

    with pytest.raises(TypeError, match="write @millstream"):
        millstream.App(tools=[plain])  # type: ignore[list-item]  # that is the mistake
    with pytest.raises(ConfigError, match="did you mean default_model"):
        millstream.App(config={"default_modell": "x"})
    with pytest.raises(ConfigError, match="no configuration file"):
        millstream.App(config="/nowhere/millstream.toml")


def test_importing_millstream_loads_nothing_that_serves() -> None:
    script = (
        "import sys, millstream; assert 'App' in dir(millstream); "
        "heavy = {'starlette', 'msgspec', 'uvicorn', 'asyncio', 'millstream.app'} & set(sys.modules); "
        "assert not heavy, heavy; millstream.tool; assert 'starlette' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
