"""A question that only a database can answer: asked over HTTP, looked up by a real MCP server in a real SQLite file."""

from __future__ import annotations

import json
import sqlite3
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from gateway_site import run
from played import scenario
from raw_client import RawClient

from millstream.config import Config, McpServerConfig, ProviderConfig
from millstream.testing.gateway import GatewayThread
from millstream.testing.upstream import replay_server

SERVER = Path(__file__).parents[2] / "support/mcp_sqlite.py"
QUERY = "SELECT city, sum(boats) AS boats FROM harbours GROUP BY city ORDER BY boats DESC LIMIT 1"
SCRIPT = scenario(
    {"when": {"last_contains": "Rotterdam"}, "text": "Most boats are in {{result}}.", "usage": {"output_tokens": 9}},
    {"when": {"last_role": "tool"}, "tool_calls": [{"name": "read_query", "arguments": {"query": QUERY}}]},
    {"text": "Let me look.", "tool_calls": [{"name": "list_tables", "arguments": {}}]},
)
IN_ORDER = [
    "session_start",
    *("iteration_start", "text_chunk", "tool_detected", "tools_executing", "tool_progress", "tool_result"),
    *("iteration_start", "tool_detected", "tools_executing", "tool_progress", "tool_result"),
    *("iteration_start", "text_chunk", "complete"),
]


def harbours(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE harbours (city TEXT, boats INTEGER)")
        rows = [("Rotterdam", 40), ("Genoa", 25), ("Rotterdam", 2), ("Piraeus", 30)]
        database.executemany("INSERT INTO harbours VALUES (?, ?)", rows)
    database.close()


def events(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in body.decode().split("\n") if line.startswith("data: ")]


def test_a_database_question_is_answered_with_every_event_in_order(tmp_path: Path) -> None:
    harbours(tmp_path / "harbours.db")

    async def main() -> list[dict[str, Any]]:
        async with replay_server(SCRIPT) as upstream:
            database = McpServerConfig(command=sys.executable, args=(str(SERVER), str(tmp_path / "harbours.db")))
            provider = ProviderConfig(dialect="openai_chat", base_url=f"{upstream.url}/v1", default_model="m")
            config = Config(providers={"up": provider}, default_model="up/m", mcp_servers={"harbours": database})
            with GatewayThread(config) as gateway:
                async with RawClient(gateway.address) as client:
                    body = {"messages": [{"role": "user", "content": "Which city has most boats?"}]}
                    status, data = await client.ask("POST", "/mcp/chat/stream", json.dumps(body).encode())
                    assert status == 200
                    return events(data)

    seen = run(main(), limit=60)
    kinds = [event["type"] for event in seen]
    assert [kind for before, kind in pairwise(["", *kinds]) if kind != before] == IN_ORDER
    assert [event["timestamp"] for event in seen] == sorted(event["timestamp"] for event in seen)
    results = [event for event in seen if event["type"] == "tool_result"]
    assert [event["tool"] for event in results] == ["list_tables", "read_query"]
    assert "harbours" in results[0]["content"]
    assert not any(event["is_error"] for event in results)
    for tool in ("list_tables", "read_query"):
        progress = [event for event in seen if event["type"] == "tool_progress" and event["tool"] == tool]
        assert [event["status"] for event in progress] == ["executing", "completed"]
        assert progress[-1]["executionTime"].endswith("ms")
    end = seen[-1]
    assert "Rotterdam" in end["text"]
    assert "42" in end["text"]
    assert (end["iterations"], end["tool_calls"]) == (3, 2)
