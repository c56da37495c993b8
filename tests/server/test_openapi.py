"""What ``/openapi.json`` and ``/docs`` say of the endpoints for apps is what these do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import product
from typing import Any

import httpx
import jsonschema
import msgspec
import pytest
import schemathesis
from any_server import AnyServer
from every_event import Ending, everything
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.applications import Starlette
from starlette.routing import Mount

import millstream
from millstream.config import Config, ReplayConfig, SessionsConfig, StreamsConfig, ToolsConfig
from millstream.dialects.ag_ui.render import AgUiView
from millstream.dialects.ui_messages.render import UiMessageView, Version
from millstream.server.openapi import front_shapes, gateway_shapes, shapes
from millstream.server.openapi.document import document
from millstream.server.openapi.operation import Operation
from millstream.server.openapi.operations import OPERATIONS
from millstream.testing.gateway import GatewayThread
from millstream.tools.functions import Functions

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 40
"""Of each endpoint; half as many where others have made the protocol, whose own judges ask too."""

OF_OTHERS = ("Front ends", "Durable Streams", "Gateway")
VERSIONS: tuple[Version, ...] = (5, 6, 7)
ENDINGS: tuple[Ending, ...] = ("finished", "failed", "cancelled")
SCENARIO = """
[[replies]]
when = { last_role = "tool" }
text = "It says {{result}}."
usage = { input_tokens = 30, output_tokens = 5 }

[[replies]]
when = { tool = "count" }
text = "Let me count."
tool_calls = [{ name = "count", arguments = { most = 2 } }, { name = "count", arguments = { most = 3000 } }]

[[replies]]
when = { contains = "intent" , format = "json_schema" }
text = '{"intent":"asks","entities":{"river":"Nile"}}'

[[replies]]
when = { format = "json_schema" }
text = '{"suggestions":["a","b","c"]}'

[[replies]]
text = "One two three."
usage = { input_tokens = 10, output_tokens = 3, cache_read_tokens = 4 }
"""


@millstream.tool
def count(most: int, report: millstream.Report) -> str:
    """Counts."""
    report(1, most, "one")
    if most > 100:
        raise millstream.ToolError("too far")
    return " ".join(map(str, range(most)))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("scenarios")
    (folder / "quick.toml").write_text(SCENARIO)
    config = Config(
        default_model="replay/quick",
        replay=ReplayConfig(folder=str(folder)),
        sessions=SessionsConfig(store="memory"),
        streams=StreamsConfig(poll=0.05, follow=0.05),
        tools=ToolsConfig(mode="gateway"),
    )
    with GatewayThread(config, tools=[Functions([count])]) as gateway:
        yield gateway.url


@pytest.fixture(scope="module")
def said(url: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(url + "/openapi.json").json()
    return found


def exactly(value: object, kind: Any) -> None:
    """``value`` is a ``kind`` and has nothing that a ``kind`` does not tell of."""
    assert msgspec.to_builtins(msgspec.convert(value, kind)) == value


def events(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines]


def test_the_document_is_what_openapi_asks_for(said: dict[str, Any]) -> None:
    assert said == json.loads(msgspec.json.encode(document(OPERATIONS)))
    names = [operation["operationId"] for methods in said["paths"].values() for operation in methods.values()]
    assert len(set(names)) == len(names)
    found = re.findall(r'"#/components/schemas/(\w+)"', json.dumps(said))
    assert set(found) <= set(said["components"]["schemas"])
    for schema in said["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_each_endpoint_is_there(url: str) -> None:
    for operation in OPERATIONS:
        path = operation.path.replace("{", "").replace("}", "")
        assert httpx.request("PATCH", url + path).status_code == 405, operation.path
        found = httpx.request(operation.method, url + path)
        assert (found.status_code, "nothing is served at" in found.text) != (404, True), operation.path


def test_examples_are_valid_and_work(url: str) -> None:
    for operation in OPERATIONS:
        if operation.body is not None and "{" not in operation.path:
            answer = httpx.post(url + operation.path, json=operation.example, timeout=30)
            assert answer.status_code == 200, (operation.path, answer.text)


def test_a_stream_is_of_the_events_it_tells_of(url: str) -> None:
    answer = httpx.post(url + "/api/v1/stream", json={"query": "Hi"})
    found = events(answer.text)
    for one in found:
        exactly(one, shapes.StreamEvent)
    assert {one["type"] for one in found} == {"chunk", "complete"}


def test_an_agents_stream_is_of_the_events_it_tells_of(url: str) -> None:
    found = events(httpx.post(url + "/mcp/chat/stream", json={"query": "Count!"}).text)
    for one in found:
        exactly(one, shapes.AgentEvent)
    told = tags(shapes.AgentEvent)
    assert told - {one["type"] for one in found} == {"approval_required", "approval_given", "status", "error"}


def test_whole_answers_have_the_fields_they_tell_of(url: str) -> None:
    run_id = httpx.post(url + "/api/v1/stream", json={"query": "Hi"}).headers["x-millstream-run"]
    exactly(httpx.post(url + "/mcp/chat", json={"query": "Count!"}).json(), shapes.AgentReply)
    exactly(httpx.get(url + "/mcp/tools").json(), shapes.ToolList)
    exactly(httpx.post(url + "/api/v1/route", json={"query": "Hi"}).json(), shapes.RouteChoice)
    exactly(httpx.get(url + "/api/v1/runs").json(), shapes.RunList)
    exactly(httpx.get(f"{url}/api/v1/runs/{run_id}").json(), shapes.Run)
    exactly(httpx.post(f"{url}/api/v1/runs/{run_id}/cancel").json(), shapes.Cancelled)
    exactly(httpx.delete(f"{url}/api/v1/runs/{run_id}").json(), shapes.Deleted)
    exactly(httpx.get(f"{url}/api/v1/runs/{run_id}").json(), shapes.Error)


def test_a_conversation_is_of_what_it_tells_of(url: str) -> None:
    base = url + "/api/conversation"
    answer = httpx.post(base + "-stream/ada", json={"message": "Where does the Nile begin?"})
    found = events(answer.text)
    for one in found:
        exactly(one, shapes.TalkEvent)
    assert {one["type"] for one in found} == {"status", "context", "chunk", "complete"}
    again = httpx.get(f"{base}-stream/ada/{answer.headers['x-millstream-run']}")
    assert again.text == answer.text
    reply = httpx.post(base + "/ada", json={"message": "And end?"}).json()
    exactly(reply, shapes.TalkReply)
    session = f"{base}/ada/sessions/{reply['session_id']}"
    exactly(httpx.get(base + "/ada/sessions").json(), shapes.SessionList)
    exactly(httpx.get(session).json(), shapes.SessionDetail)
    exactly(httpx.post(session + "/stop").json(), shapes.Stopped)
    exactly(httpx.delete(session).json(), shapes.Deleted)
    exactly(httpx.get(session).json(), shapes.Error)


def tags(union: Any) -> set[str]:
    return {member.__struct_config__.tag for member in union.__args__}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_chats_stream_is_of_the_parts_it_tells_of(url: str, version: Version) -> None:
    ask = {
        "id": f"c{version}",
        "messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": "Count!"}]}],
    }
    answer = httpx.post(f"{url}/api/chat?ui_stream={version}", json=ask)
    found, after = answer.text.split("data: [DONE]\n\n")
    assert after == ""
    for one in events(found):
        exactly(one, front_shapes.UiPart)
    again = httpx.get(f"{url}/api/chat/c{version}/stream?startIndex=0&ui_stream={version}")
    assert events(again.text.removesuffix("data: [DONE]\n\n")) == events(found)
    exactly(httpx.post(f"{url}/api/chat/c{version}/stop").json(), shapes.Stopped)


def test_all_parts_of_a_chat_are_told_of_and_no_others() -> None:
    seen: set[str] = set()
    for version, ending in product(VERSIONS, ENDINGS):
        view = UiMessageView("run_1", "m1", lambda _: False, version=version)
        for one in events(view.render(everything(ending)).replace(b"data: [DONE]", b"").decode()):
            exactly(one, front_shapes.UiPart)
            seen.add(one["type"])
    assert seen == tags(front_shapes.UiPart)


def test_all_events_of_ag_ui_are_told_of_and_no_others() -> None:
    seen: set[str] = set()
    for ending, waits in product(ENDINGS, (False, True)):
        view = AgUiView("run_1", "r1", "t1", (lambda _: True) if waits else (lambda _: False))
        for one in events(view.render(everything(ending)).decode()):
            exactly(one, front_shapes.AgUiEvent)
            seen.add(one["type"])
    assert seen == tags(front_shapes.AgUiEvent)


def test_a_streams_reader_is_told_of_what_it_gets(url: str) -> None:
    stream = f"{url}/v1/stream/told"
    statuses = [
        httpx.put(stream, headers={"content-type": "application/json"}).status_code,
        httpx.put(stream, headers={"content-type": "application/json"}).status_code,
        httpx.post(stream, json=[1]).status_code,
        httpx.head(stream).status_code,
        httpx.get(f"{stream}?offset=now&live=long-poll").status_code,
    ]
    first = httpx.get(stream)
    again = httpx.get(stream, headers={"if-none-match": first.headers["etag"]})
    statuses += [first.status_code, again.status_code, httpx.delete(stream).status_code]
    assert statuses == [201, 200, 204, 200, 204, 200, 304, 204]
    exactly(httpx.get(stream).json(), front_shapes.DurableError)


def test_the_gateway_tells_of_itself_what_it_says_it_does(url: str) -> None:
    httpx.post(url + "/api/v1/stream", json={"query": "Hi"})
    httpx.post(url + "/v1/messages", json={"model": "nobody-knows"})
    exactly(httpx.get(url + "/health").json(), gateway_shapes.Health)
    exactly(httpx.get(url + "/api/v1/state").json(), gateway_shapes.GatewayState)
    for by in ("key,user,model", "day", ""):
        exactly(httpx.get(url + "/api/v1/usage", params={"by": by}).json(), gateway_shapes.UsageReport)
    exactly(httpx.get(url + "/api/v1/usage?from=never").json(), shapes.Error)


class Page(HTMLParser):
    """Ids, links, and whatever is fetched from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name == "href":
                self.links.append(value or "")
            if name in ("src", "srcset", "action") or tag in ("script", "link", "iframe", "base"):
                self.fetched.append(f"{tag} {name}={value}")


def test_the_page_works_offline_and_its_links_lead_somewhere(url: str, said: dict[str, Any]) -> None:
    answer = httpx.get(url + "/docs")
    found = Page(answer.text)
    assert found.fetched == []
    assert "'unsafe" not in answer.headers["content-security-policy"]
    assert "url(" not in answer.text
    assert "@import" not in answer.text
    assert {link.removeprefix("#") for link in found.links if link.startswith("#")} <= set(found.ids)
    assert [link for link in found.links if not link.startswith("#")] == ["openapi.json"]
    assert {operation.name for operation in OPERATIONS} <= set(found.ids)
    assert f"{url}/api/v1/stream" in answer.text


def test_a_host_header_cannot_be_made_into_html(url: str) -> None:
    answer = httpx.get(url + "/docs", headers={"host": 'localhost:1"><script>alert(1)</script>.localhost'})
    assert "<script" not in answer.text


def test_both_are_open_where_a_key_is_asked_for_and_their_endpoints_are_not() -> None:
    config = Config(sessions=SessionsConfig(store="memory"))
    config = msgspec.structs.replace(config, server=msgspec.structs.replace(config.server, api_key="k"))
    with GatewayThread(config) as gateway:
        statuses = [httpx.get(gateway.url + path).status_code for path in ("/docs", "/openapi.json", "/mcp/tools")]
    assert statuses == [200, 200, 401]


def test_mounted_they_tell_where() -> None:
    ai = millstream.App(config={"sessions": {"store": "memory"}})
    with AnyServer(Starlette(routes=[Mount("/ai", ai)], lifespan=ai.lifespan), root_path="/outer") as server:
        there = httpx.get(server.url + "/ai/openapi.json").json()
        docs = httpx.get(server.url + "/ai/docs").text
    assert there["servers"] == [{"url": "/outer/ai"}]
    assert f"{server.url}/outer/ai/api/v1/stream" in docs


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: f"{one.method} {one.path}")
def test_whatever_is_asked_there_is_no_internal_error_and_no_breach_of_the_schema(
    url: str, said: dict[str, Any], operation: Operation
) -> None:
    schema = schemathesis.openapi.from_dict(said)
    asked = schema[operation.path][operation.method.upper()]
    fits, fits_not = (asked.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode)

    @settings(
        max_examples=EXAMPLES // 2 if operation.tag in OF_OTHERS else EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=fits | fits_not)
    def holds(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(base_url=url, checks=CHECKS, timeout=30)

    holds()
