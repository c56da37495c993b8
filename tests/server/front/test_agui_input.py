"""What MCP servers ask in the middle of a call, over ``/agui``: with real servers, on real sockets."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from gateway_site import run
from mcp_use import node
from played import scenario
from raw_client import RawClient
from tools import Tools, says

from millstream.config import Config, McpServerConfig, ProviderConfig, SessionsConfig, ToolsConfig
from millstream.providers.replay.scenario import Scenario
from millstream.testing.gateway import GatewayThread
from millstream.testing.upstream import replay_server
from millstream.tools.base import Elicitation, ToolContext

ASKING = McpServerConfig(command=sys.executable, args=(str(Path(__file__).parents[2] / "support/mcp_asking.py"),))
LIMIT = 90.0
"""Seconds; real servers start slowly on a busy machine."""


def everything() -> McpServerConfig:
    program = node("server-everything")
    return McpServerConfig(command=program.command, args=program.args)


def calls(tool: str, **arguments: Any) -> Scenario:
    return scenario(
        {"when": {"last_role": "tool"}, "text": "It says {{result}}."},
        {"text": "Let me ask.", "tool_calls": [{"name": tool, "arguments": arguments}]},
    )


class Place:
    def __init__(self, gateway: GatewayThread) -> None:
        self._gateway = gateway

    async def ask(self, path: str, body: dict[str, Any] | None) -> tuple[int, bytes]:
        async with RawClient(self._gateway.address) as client:
            data = b"" if body is None else json.dumps(body).encode()
            return await client.ask("GET" if body is None else "POST", path, data)

    async def events(self, run_id: str = "r1", **fields: Any) -> list[dict[str, Any]]:
        return events(await self.ask("/agui", body(run_id, **fields)))

    async def resumed(
        self, interrupts: list[dict[str, Any]], run_id: str = "r2", **answer: Any
    ) -> list[dict[str, Any]]:
        answer = {"status": "resolved", **answer}
        return await self.events(run_id, resume=[{"interruptId": one["id"], **answer} for one in interrupts])


@asynccontextmanager
async def place(
    script: Scenario, server: McpServerConfig | None, own: Sequence[Tools] = (), **tools: Any
) -> AsyncIterator[Place]:
    async with replay_server(script) as upstream:
        provider = ProviderConfig(dialect="openai_chat", base_url=upstream.url + "/v1", default_model="m")
        config = Config(
            providers={"up": provider},
            default_model="up/m",
            tools=ToolsConfig(**tools),
            mcp_servers={} if server is None else {"asker": server},
            sessions=SessionsConfig(store="memory"),
        )
        with GatewayThread(config, tools=own) as gateway:
            yield Place(gateway)


def body(run_id: str, **fields: Any) -> dict[str, Any]:
    message = {"id": "u1", "role": "user", "content": "Go."}
    given = {"threadId": "t1", "runId": run_id, "messages": [message], "tools": [], "context": [], "state": {}}
    return given | {"forwardedProps": {}} | fields


def events(answer: tuple[int, bytes]) -> list[dict[str, Any]]:
    status, data = answer
    assert status == 200, data
    return [json.loads(frame.partition("data: ")[2]) for frame in data.decode().split("\n\n") if "data: " in frame]


def interrupts(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    assert found[-1]["type"] == "RUN_FINISHED"
    assert found[-1]["outcome"]["type"] == "interrupt"
    return list(found[-1]["outcome"]["interrupts"])


def result(found: list[dict[str, Any]]) -> str:
    (said,) = [event for event in found if event["type"] == "TOOL_CALL_RESULT"]
    assert found[-1]["outcome"] == {"type": "success"}
    return str(said["content"])


def test_a_form_is_an_interrupt_and_what_is_filled_in_reaches_the_server() -> None:
    async def main() -> None:
        async with place(calls("trigger-elicitation-request"), everything()) as there:
            first = await there.events()
            (question,) = asked = interrupts(first)
            call = next(event for event in first if event["type"] == "TOOL_CALL_START")
            assert (question["reason"], question["toolCallId"]) == ("input_required", call["toolCallId"])
            assert question["message"] == "Please provide inputs for the following fields:"
            assert question["metadata"]["source"] == "asker"
            assert question["expiresAt"]
            fields = question["responseSchema"]["properties"]
            assert fields["action"]["enum"] == ["accept", "decline", "cancel"]
            assert fields["content"]["properties"]["integer"]["maximum"] == 100
            assert await there.events() == first  # a page that was loaded again
            given = {"action": "accept", "content": {"name": "Ada", "check": True, "integer": 7}}
            second = await there.resumed(asked, payload=given)
            assert (second[0]["type"], second[0]["runId"]) == ("RUN_STARTED", "r2")
            assert "- Name: Ada" in result(second)
            assert '"integer": 7' in result(second)
            (told,) = [event for event in second if event.get("name") == "millstream.input"]
            assert told["value"] == {"id": question["id"], "toolCallId": call["toolCallId"], "action": "accept"}
            assert await there.resumed(asked, payload=given) == second

    run(main(), limit=LIMIT)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"payload": {"action": "decline"}}, "declined"),
        ({"payload": {"action": "cancel"}}, "cancelled"),
        ({"status": "cancelled"}, "cancelled"),
    ],
)
def test_who_does_not_fill_it_in_says_how(answer: dict[str, Any], said: str) -> None:
    async def main() -> None:
        async with place(calls("trigger-elicitation-request"), everything()) as there:
            second = await there.resumed(interrupts(await there.events()), **answer)
            assert said in result(second)

    run(main(), limit=LIMIT)


def test_what_does_not_fit_is_refused_and_the_question_stays_open() -> None:
    async def main() -> None:
        async with place(calls("trigger-elicitation-request"), everything()) as there:
            asked = interrupts(await there.events())
            for payload, words in [
                ({"action": "accept", "content": {"name": "Ada", "integer": 700}}, b"integer: 700 is greater"),
                ({"action": "accept"}, b"'name' is a required property"),
                ({"approved": True}, b"accept, decline or cancel"),
                (None, b"accept, decline or cancel"),
            ]:
                resume = [{"interruptId": asked[0]["id"], "status": "resolved", "payload": payload}]
                status, data = await there.ask("/agui", body("r2", resume=resume))
                assert status == 400
                assert words in data
            content = {"name": "Ada", "integer": 70}
            assert "Ada" in result(await there.resumed(asked, payload={"action": "accept", "content": content}))

    run(main(), limit=LIMIT)


def test_one_answer_that_will_not_do_leaves_every_question_open() -> None:
    async def work(_: Mapping[str, Any], context: ToolContext) -> str:
        assert context.elicit is not None
        return (await context.elicit(Elicitation("house", "Which?", {"type": "object", "required": ["x"]}))).action

    async def main() -> None:
        tools = Tools().add("asks", work).add("risky", says("done"), permission="ask")
        script = scenario(
            {"when": {"last_role": "tool"}, "text": "Well."},
            {"tool_calls": [{"name": "risky", "arguments": {}}, {"name": "asks", "arguments": {}}]},
        )
        async with place(script, None, [tools]) as there:
            asked = {one["metadata"]["tool"]: one["id"] for one in interrupts(await there.events())}
            payload: dict[str, Any] = {"action": "accept"}
            resume = [
                {"interruptId": asked["risky"], "status": "resolved", "payload": {"approved": True}},
                {"interruptId": asked["asks"], "status": "resolved", "payload": payload},
            ]
            assert (await there.ask("/agui", body("r2", resume=resume)))[0] == 400
            assert [call for call, _ in tools.calls] == ["asks"]
            payload["content"] = {"x": 1}
            found = await there.events("r2", resume=resume)
            results = [event["content"] for event in found if event["type"] == "TOOL_CALL_RESULT"]
            assert sorted(results) == ["accept", "done"]

    run(main())


def test_somebody_else_may_answer_while_the_page_is_away() -> None:
    async def main() -> None:
        async with place(calls("trigger-elicitation-request"), everything()) as there:
            (question,) = interrupts(await there.events())
            run_id, _, asked = question["id"].partition("~")
            path = f"/api/v1/runs/{run_id}/approve"
            status, data = await there.ask(path, {"id": asked, "content": {"name": 7}})
            assert (status, b"does not fit" in data) == (400, True)
            status, data = await there.ask(path, {"id": asked, "content": {"name": "Ada"}})
            assert (status, json.loads(data)["answered"]) == (200, [asked])
            assert "- Name: Ada" in result(events(await there.ask("/agui?runId=r1&offset=-1", None)))

    run(main(), limit=LIMIT)


def test_a_question_waits_as_long_as_an_approval_while_the_tools_time_stands_still() -> None:
    async def main() -> None:
        server = everything()
        hasty = McpServerConfig(command=server.command, args=server.args, timeout=1.0)
        async with place(calls("trigger-elicitation-request"), hasty, approval_timeout=1.5) as there:
            (question,) = interrupts(await there.events())
            await there.ask("/mcp/chat/stream/r1", None)  # to the run's end
            assert "cancelled" in result(events(await there.ask("/agui?runId=r1&offset=-1", None)))
            late = {"interruptId": question["id"], "status": "resolved", "payload": {"action": "accept"}}
            assert "cancelled" in result(await there.events("r2", resume=[late]))

    run(main(), limit=LIMIT)


def interrupted(found: list[dict[str, Any]]) -> bool:
    return bool(found[-1]["outcome"]["type"] == "interrupt")


@pytest.mark.parametrize(("action", "said"), [("accept", "User completed"), ("decline", "declined")])
def test_a_page_to_visit_is_an_interrupt_too(action: str, said: str) -> None:
    page = "https://example.org/pay?order=7"

    async def main() -> None:
        async with place(calls("trigger-url-elicitation", url=page, message="Pay, please."), everything()) as there:
            (question,) = asked = interrupts(await there.events())
            assert (question["message"], question["metadata"]["url"]) == ("Pay, please.", page)
            assert list(question["responseSchema"]["properties"]) == ["action"]
            assert said in result(await there.resumed(asked, payload={"action": action}))

    run(main(), limit=LIMIT)


def test_a_call_that_wants_a_page_visited_first_is_made_again_after_it() -> None:
    script = calls("trigger-url-elicitation", url="https://example.org/pay", errorPath=True)

    async def main() -> None:
        async with place(script, everything()) as there:
            (first,) = asked = interrupts(await there.events())
            assert first["metadata"]["url"] == "https://modelcontextprotocol.io"
            (second,) = asked = interrupts(await there.resumed(asked, payload={"action": "accept"}))
            assert second["metadata"]["url"] == "https://example.org/pay"
            assert "User completed" in result(await there.resumed(asked, "r3", payload={"action": "accept"}))
            asked = interrupts(await there.events("r4"))
            refused = await there.resumed(asked, "r5", payload={"action": "decline"})
            assert "the user did not go to https://modelcontextprotocol.io (decline)" in result(refused)

    run(main(), limit=LIMIT)


def test_two_questions_of_one_call_of_a_server_of_the_newest_revision() -> None:
    answers = {"Which day?": {"day": "tue"}, "How many seats?": {"seats": 3}}

    async def main() -> None:
        async with place(calls("book"), ASKING) as there:
            found = await there.events()
            seen: list[str] = []
            while interrupted(found):
                asked = interrupts(found)
                seen += [one["message"] for one in asked]
                resume = [
                    {
                        "interruptId": one["id"],
                        "status": "resolved",
                        "payload": {"action": "accept", "content": answers[one["message"]]},
                    }
                    for one in asked
                ]
                found = await there.events(f"after-{len(seen)}", resume=resume)
            assert sorted(seen) == sorted(answers)
            assert result(found) == "3 for tue"

    run(main(), limit=LIMIT)


@pytest.mark.parametrize("path", ["/mcp/chat", "/api/chat", "/v1/chat/completions"])
def test_clients_without_a_way_decline_at_once(path: str) -> None:
    asks: dict[str, dict[str, Any]] = {
        "/mcp/chat": {"query": "Go."},
        "/api/chat": {
            "id": "c1",
            "messages": [{"id": "u", "role": "user", "parts": [{"type": "text", "text": "Go."}]}],
        },
        "/v1/chat/completions": {"model": "up/m", "messages": [{"role": "user", "content": "Go."}]},
    }

    async def main() -> None:
        script = calls("trigger-elicitation-request")
        async with place(script, everything(), mode="gateway", approval_timeout=3600.0) as there:
            status, data = await there.ask(path, asks[path])
            assert status == 200
            assert b"declined to provide" in data

    run(main(), limit=LIMIT)
