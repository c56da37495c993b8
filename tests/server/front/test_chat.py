"""``/api/chat`` on real sockets, with a scripted upstream."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from gateway_site import run
from played import scenario
from raw_client import RawClient
from tools import Tools, says

from millstream.config import Config, ProviderConfig, ServerConfig, SessionsConfig, ToolsConfig
from millstream.providers.replay.scenario import Scenario
from millstream.testing.gateway import GatewayThread
from millstream.testing.upstream import replay_server
from millstream.tools.base import Progress, ToolContext

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
LOOP = scenario(
    {"when": {"last_role": "tool"}, "text": "It says {{result}}.", "usage": {"input_tokens": 30, "output_tokens": 5}},
    {"text": "Let me look.", "tool_calls": [{"name": "weather", "arguments": {"city": "Rome"}}]},
)
ASK = {"permissions": {"weather": "ask"}}
NO_SUCH = '{"error": {"message": "no such thing", "type": "invalid_request_error"}}'
HELLO = {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Weather?"}]}


@asynccontextmanager
async def place(script: Scenario, tools: Tools, **settings: Any) -> AsyncIterator[GatewayThread]:
    """``settings`` are those of tools, and ``server``."""
    server: ServerConfig = settings.pop("server", ServerConfig())
    async with replay_server(script) as upstream:
        provider = ProviderConfig(dialect="openai_chat", base_url=upstream.url + "/v1", default_model="m")
        config = Config(
            providers={"up": provider},
            default_model="up/m",
            tools=ToolsConfig(**settings),
            sessions=SessionsConfig(store="memory"),
            server=server,
        )
        with GatewayThread(config, tools=[tools]) as gateway:
            yield gateway


async def post(
    gateway: GatewayThread, body: dict[str, Any], path: str = "/api/chat", version: int = 6
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    async with RawClient(gateway.address) as client:
        status, data = await client.ask("POST", f"{path}?ui_stream={version}", json.dumps(body).encode())
        assert status == 200, data
        return dict(client.headers), chunks(data)


def chunks(data: bytes) -> list[dict[str, Any]]:
    *found, done, rest = data.decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(frame.removeprefix("data: ")) for frame in found if not frame.startswith(":")]


def kinds(found: list[dict[str, Any]]) -> list[str]:
    """Types in order, of pieces in a row only the first."""
    names = [one["type"] for one in found]
    return [name for n, name in enumerate(names) if n == 0 or not (name.endswith("-delta") and names[n - 1] == name)]


def of(found: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(one for one in found if one["type"] == kind)


def weather() -> Tools:
    return Tools().add("weather", says("sun"), CITY)


def test_a_run_with_a_tool_is_told_in_the_protocols_own_parts() -> None:
    async def main() -> None:
        async with place(LOOP, weather()) as gateway:
            headers, found = await post(gateway, {"id": "c1", "messages": [HELLO]})
        assert headers["x-vercel-ai-ui-message-stream"] == "v1"
        assert headers["x-workflow-run-id"] == found[0]["messageId"]
        text = ["text-start", "text-delta", "text-end"]
        tool = ["tool-input-start", "tool-input-available", "tool-output-available"]
        steps = ["start-step", *text, *tool, "finish-step", "start-step", *text, "finish-step"]
        assert kinds(found) == ["start", *steps, "finish"]
        assert of(found, "tool-input-available")["input"] == {"city": "Rome"}
        assert of(found, "tool-output-available")["output"] == "sun"
        assert found[-1]["finishReason"] == "stop"
        assert found[-1]["messageMetadata"]["usage"]["outputTokens"] > 0

    run(main())


async def _works(_: Any, context: ToolContext) -> str:
    context.progress(Progress(1, 2, "half"))
    return "sun"


def test_progress_is_a_data_part_that_is_written_over_in_place() -> None:
    async def main() -> None:
        async with place(LOOP, Tools().add("weather", _works, CITY)) as gateway:
            _, found = await post(gateway, {"messages": [HELLO]})
        said = of(found, "data-tool-progress")
        assert said["data"]["current"] == 1
        assert said["data"]["message"] == "half"
        assert said["id"] == f"progress-{said['data']['toolCallId']}"

    run(main())


def test_a_failure_is_an_error_and_then_a_finish() -> None:
    async def main() -> None:
        broken = scenario({"text": "Hi.", "fault": {"kind": "status", "status": 400, "body": NO_SUCH}})
        async with place(broken, weather()) as gateway:
            _, found = await post(gateway, {"messages": [HELLO]})
        assert kinds(found)[-3:] == ["error", "finish-step", "finish"]
        assert "no such thing" in of(found, "error")["errorText"]
        assert found[-1]["finishReason"] == "error"
        assert found[-1]["messageMetadata"]["error"]["retryable"] is False

    run(main())


def answered(question: dict[str, Any], *, approved: bool) -> dict[str, Any]:
    """The assistant's message as the AI SDK has it once its user has answered."""
    tool = {
        "type": "dynamic-tool",
        "toolName": "weather",
        "toolCallId": question["toolCallId"],
        "input": {"city": "Rome"},
        "state": "approval-responded",
        "approval": {"id": question["approvalId"], "approved": approved, "reason": "so it is"},
    }
    return {"id": "a1", "role": "assistant", "parts": [{"type": "step-start"}, tool]}


@pytest.mark.parametrize("approved", [True, False])
def test_an_approval_ends_the_response_and_its_answer_goes_on_with_the_run(*, approved: bool) -> None:
    async def main() -> None:
        tools = weather()
        async with place(LOOP, tools, **ASK) as gateway:
            _, first = await post(gateway, {"id": "c1", "messages": [HELLO]})
            assert kinds(first)[-4:] == ["tool-input-available", "tool-approval-request", "finish-step", "finish"]
            assert tools.calls == []
            body = {"id": "c1", "messages": [HELLO, answered(of(first, "tool-approval-request"), approved=approved)]}
            _, second = await post(gateway, body)
            assert second[0]["type"] == "start"
            assert second[0]["messageId"] == first[0]["messageId"]
            assert bool(tools.calls) is approved
            assert second[1]["type"] == ("tool-output-available" if approved else "tool-output-denied")
            assert "tool-input-available" not in kinds(second)
            assert second[-1]["finishReason"] == "stop"
            _, again = await post(gateway, body)  # as after a connection that broke
            assert again == second
            _, newer = await post(gateway, body, version=7)
            assert of(newer, "tool-approval-response")["approved"] is approved

    run(main())


TWO = scenario(
    {"when": {"last_role": "tool"}, "text": "It says {{result}}."},
    {"tool_calls": [{"name": "weather", "arguments": {"city": city}} for city in ("Rome", "Oslo")]},
)


def test_of_two_approvals_given_at_once_what_comes_of_either_is_told() -> None:
    async def main() -> None:
        async with place(TWO, weather(), **ASK) as gateway:
            _, first = await post(gateway, {"id": "c1", "messages": [HELLO]})
            one, other = (part for part in first if part["type"] == "tool-approval-request")
            message = answered(one, approved=False)
            message["parts"] += answered(other, approved=True)["parts"]
            _, second = await post(gateway, {"id": "c1", "messages": [HELLO, message]})
            assert of(second, "tool-output-denied")["toolCallId"] == one["toolCallId"]
            assert of(second, "tool-output-available")["toolCallId"] == other["toolCallId"]

    run(main())


def test_version_5_knows_no_approvals_and_no_finish_reason() -> None:
    async def main() -> None:
        async with place(LOOP, weather(), **ASK) as gateway, RawClient(gateway.address) as client:
            await client.send("POST", "/api/chat?ui_stream=5", json.dumps({"messages": [HELLO]}).encode())
            await client.head()
            seen = b""
            while b"data-approval" not in seen:
                seen += await client.body.read()
            question = json.loads(seen.split(b"data: ")[-1])["data"]
            async with RawClient(gateway.address) as other:
                path = f"/api/v1/runs/{question['runId']}/approve"
                assert (await other.ask("POST", path, json.dumps({"id": question["id"]}).encode()))[0] == 200
            found = chunks(seen + await client.body.rest())
            assert "tool-approval-request" not in kinds(found)
            assert "finishReason" not in found[-1]
            assert found[-1]["messageMetadata"]["finishReason"] == "stop"

    run(main())


def gated() -> tuple[Tools, threading.Event]:
    """A tool that works until it is let go."""
    gate = threading.Event()

    async def work(_: Any, __: ToolContext) -> str:
        await asyncio.to_thread(gate.wait, 20)
        return "sun"

    return Tools().add("weather", work, CITY), gate


def test_who_comes_back_is_told_all_of_it_and_the_rest() -> None:
    async def main() -> None:
        tools, gate = gated()
        async with place(LOOP, tools) as gateway:
            async with RawClient(gateway.address) as client:
                await client.send("POST", "/api/chat", json.dumps({"id": "c 1", "messages": [HELLO]}).encode())
                await client.head()
                run_id = client.headers["x-workflow-run-id"]
                seen = b""
                while b"tool-input-available" not in seen:
                    seen += await client.body.read()
            async with RawClient(gateway.address) as client, RawClient(gateway.address) as second:
                await client.send("GET", "/api/chat/c%201/stream")
                await second.send("GET", f"/api/chat/{run_id}/stream?startIndex=1")
                await client.head()
                await second.head()
                gate.set()
                whole = chunks(await client.body.rest())
                rest = chunks(await second.body.rest())
            assert whole[0]["type"] == "start"
            assert whole[-1]["type"] == "finish"
            assert rest == whole[1:]
            async with RawClient(gateway.address) as client:
                assert (await client.ask("GET", "/api/chat/c%201/stream"))[0] == 204
                assert (await client.ask("GET", "/api/chat/other/stream"))[0] == 204
            async with RawClient(gateway.address) as client:
                status, data = await client.ask("GET", f"/api/chat/{run_id}/stream?startIndex=-2")
                assert (status, chunks(data)) == (200, whole[-2:])
                assert client.headers["x-workflow-stream-tail-index"] == str(len(whole) - 1)

    run(main())


def test_stop_ends_the_run_for_all_its_readers() -> None:
    async def main() -> None:
        tools, gate = gated()
        async with place(LOOP, tools) as gateway, RawClient(gateway.address) as client:
            await client.send("POST", "/api/chat", json.dumps({"id": "c1", "messages": [HELLO]}).encode())
            await client.head()
            seen = b""
            while b"tool-input-available" not in seen:
                seen += await client.body.read()
            async with RawClient(gateway.address) as other:
                status, data = await other.ask("POST", "/api/chat/c1/stop")
                assert (status, json.loads(data)) == (200, {"stopped": True})
            told = chunks(seen + await client.body.rest())
            gate.set()
            assert kinds(told)[-1] == "finish"
            assert "tool-output-available" not in kinds(told)
            async with RawClient(gateway.address) as other:
                assert json.loads((await other.ask("POST", "/api/chat/nobody/stop"))[1]) == {"stopped": False}

    run(main())


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{", "JSON"),
        (b'{"messages": []}', "messages"),
        (b'{"messages": [{"role": "tool", "parts": []}]}', "messages[0].role"),
        (b'{"messages": [{"role": "user", "parts": [{"type": "file", "url": "data:,x"}]}]}', "parts[0].url"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(body: bytes, named: str) -> None:
    async def main() -> None:
        async with place(LOOP, weather()) as gateway, RawClient(gateway.address) as client:
            status, data = await client.ask("POST", "/api/chat", body)
            assert status == 400
            assert named in json.loads(data)["message"]

    run(main())


@pytest.mark.parametrize(("header", "reason"), [(None, False), ("5", False), ("6", True)])
def test_the_version_is_a_setting_that_a_request_may_overrule(header: str | None, *, reason: bool) -> None:
    async def main() -> None:
        server = ServerConfig(ui_stream=5)
        async with place(LOOP, weather(), server=server) as gateway, RawClient(gateway.address) as client:
            said = {"x-millstream-ui-stream": header} if header else {}
            status, data = await client.ask("POST", "/api/chat", json.dumps({"messages": [HELLO]}).encode(), said)
        assert status == 200
        assert ("finishReason" in chunks(data)[-1]) == reason

    run(main())
