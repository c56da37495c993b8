"""A question that a run asks is answered at any gateway of those that share its journal, by whose run it is."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from gateway_site import run
from played import scenario
from raw_client import RawClient
from tools import Tools, says

from millstream.agent.approval import Approvals, Verdict
from millstream.config import Config, ProviderConfig, SessionsConfig, ToolsConfig
from millstream.server.runs.manager import PREFIX
from millstream.sessions.journal_sqlite import SqliteJournal
from millstream.testing.gateway import GatewayThread
from millstream.testing.upstream import replay_server

LOOP = scenario(
    {"when": {"last_role": "tool"}, "text": "It says {{result}}."},
    {"text": "Let me look.", "tool_calls": [{"name": "weather", "arguments": {"city": "Rome"}}]},
)
HELLO = {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Weather?"}]}


class Place:
    """Two gateways with one journal; a tool of each."""

    def __init__(self, here: GatewayThread, there: GatewayThread, tools: tuple[Tools, Tools]) -> None:
        self.here = here
        self.there = there
        self.tools = tools

    def called(self) -> tuple[int, int]:
        return len(self.tools[0].calls), len(self.tools[1].calls)


class Late(SqliteJournal):
    """Writes runs down only once another process waits for more of one."""

    def __init__(self, path: Path, heard: threading.Event) -> None:
        super().__init__(path, time.time, 2**26)
        self._heard = heard

    async def append(
        self, key: str, entries: Sequence[bytes], *, expected: int | None = None, about: bytes | None = None
    ) -> int:
        if key.startswith(PREFIX):
            await asyncio.to_thread(self._heard.wait)
        return await super().append(key, entries, expected=expected, about=about)


class Waiting(SqliteJournal):
    def __init__(self, path: Path, heard: threading.Event) -> None:
        super().__init__(path, time.time, 2**26)
        self._heard = heard

    async def wait(self, key: str, after: int, seconds: float) -> bool:
        if key.startswith(PREFIX):
            self._heard.set()
        return await super().wait(key, after, seconds)


@asynccontextmanager
async def place(folder: Path, *, late: bool = False) -> AsyncIterator[Place]:
    tools = (Tools().add("weather", says("sun")), Tools().add("weather", says("sun")))
    async with replay_server(LOOP) as upstream:
        provider = ProviderConfig(dialect="openai_chat", base_url=upstream.url + "/v1", default_model="m")
        config = Config(
            providers={"up": provider},
            default_model="up/m",
            tools=ToolsConfig(permissions={"weather": "ask"}),
            sessions=SessionsConfig(store="memory"),
        )
        path, heard = folder / "runs.db", threading.Event()
        if not late:
            heard.set()
        here = GatewayThread(config, tools=[tools[0]], journal=Late(path, heard))
        there = GatewayThread(config, tools=[tools[1]], journal=Waiting(path, heard))
        with here, there:
            yield Place(here, there, tools)


async def post(gateway: GatewayThread, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
    async with RawClient(gateway.address) as client:
        return await client.ask("POST", path, json.dumps(body).encode())


def events(data: bytes) -> list[dict[str, Any]]:
    said = [frame.partition("data: ")[2] for frame in data.decode().split("\n\n")]
    return [json.loads(one) for one in said if one.startswith("{")]


@pytest.mark.parametrize("approved", [True, False])
def test_approve_answers_a_run_of_another_gateway(tmp_path: Path, *, approved: bool) -> None:
    async def main() -> None:
        async with place(tmp_path) as site, RawClient(site.here.address) as client:
            await client.send("POST", "/mcp/chat/stream", b'{"query": "Weather?"}')
            await client.head()
            seen = await client.body.until(b"approval_required")
            path = f"/api/v1/runs/{client.headers['x-millstream-run']}/approve"
            assert (await post(site.there, path, {"id": "ap_other"}))[0] == 404
            status, answer = await post(site.there, path, {"approved": approved})
            told = events(seen + await client.body.rest())
            question = next(one for one in told if one["type"] == "approval_required")
            assert (status, json.loads(answer)["answered"]) == (200, [question["id"]])
            assert site.called() == (int(approved), 0)
            assert ("sun" if approved else "not allowed") in told[-1]["text"]
            assert (await post(site.there, path, {}))[0] == 404, "it is answered"

    run(main())


def agui(run_id: str, **more: Any) -> dict[str, Any]:
    message = {"id": "u1", "role": "user", "content": "Weather?"}
    given = {"threadId": "t1", "runId": run_id, "messages": [message], "tools": [], "context": [], "state": {}}
    return given | {"forwardedProps": {}} | more


def test_an_ag_ui_run_is_resumed_and_read_again_at_another_gateway(tmp_path: Path) -> None:
    async def main() -> None:
        async with place(tmp_path) as site:
            first = events((await post(site.here, "/agui", agui("r1")))[1])
            assert first[-1]["outcome"]["type"] == "interrupt"
            assert events((await post(site.there, "/agui", agui("r1")))[1]) == first
            (question,) = first[-1]["outcome"]["interrupts"]
            answer = {"interruptId": question["id"], "status": "resolved", "payload": {"approved": True}}
            resumed = agui("r2", resume=[answer])
            second = events((await post(site.there, "/agui", resumed))[1])
            assert site.called() == (1, 0)
            assert "sun" in next(one["content"] for one in second if one["type"] == "TOOL_CALL_RESULT")
            assert second[-1]["outcome"] == {"type": "success"}
            for gateway in (site.here, site.there):
                assert events((await post(gateway, "/agui", resumed))[1]) == second
                again = events((await post(gateway, "/agui", agui("r1")))[1])
                assert again[-1]["outcome"] == {"type": "success"}

    run(main())


@pytest.mark.parametrize("late", [False, True])
def test_a_chats_approval_is_answered_at_another_gateway(tmp_path: Path, *, late: bool) -> None:
    async def main() -> None:
        async with place(tmp_path, late=late) as site:
            first = events((await post(site.here, "/api/chat", {"id": "c1", "messages": [HELLO]}))[1])
            asked = next(one for one in first if one["type"] == "tool-approval-request")
            tool = {
                "type": "tool-weather",
                "toolCallId": asked["toolCallId"],
                "state": "approval-responded",
                "input": {"city": "Rome"},
                "approval": {"id": asked["approvalId"], "approved": True},
            }
            answered = {"id": "a1", "role": "assistant", "parts": [{"type": "step-start"}, tool]}
            body = {"id": "c1", "messages": [HELLO, answered]}
            second = events((await post(site.there, "/api/chat", body))[1])
            assert site.called() == (1, 0)
            assert second[1]["type"] == "tool-output-available"
            assert second[-1]["finishReason"] == "stop"

    run(main())


def test_nobody_else_answers() -> None:
    async def main() -> None:
        whose = "mine"
        approvals = Approvals(lambda: whose)
        asked = approvals.ask("ap_1", "run_1", "weather")
        assert approvals.give("run_1", None, Verdict(True), "theirs") == []
        assert approvals.find("run_1", "ap_1", "theirs") is None
        assert not asked.answer.done()
        assert approvals.give("run_1", None, Verdict(True), "mine") == ["ap_1"]
        assert await asyncio.wait_for(asked.answer, 1) == Verdict(True)

    run(main())
