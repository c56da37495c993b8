"""The examples for apps do what they say, on the server that their users run them on."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import httpx
import pytest
from any_server import AnyServer

EXAMPLES = Path(__file__).parents[1] / "examples"
SCENARIO = """
[[replies]]
when = { last_role = "tool" }
text = "It says {{result}}."

[[replies]]
when = { tool = "my_orders" }
tool_calls = [{ name = "my_orders", arguments = {} }]

[[replies]]
when = { last_contains = "primes" }
tool_calls = [
    { name = "primes", arguments = { below = 3000 } },
    { name = "time_in", arguments = { zone = "Mars/Base" } },
]

[[replies]]
tool_calls = [{ name = "send_mail", arguments = { to = "ada", subject = "s", body = "Hello, Ada." } }]
"""


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "play.toml").write_text(SCENARIO)
    (tmp_path / "config.toml").write_text(
        f'default_model = "replay/play"\nreplay.folder = "{tmp_path}"\nsessions.store = "memory"\n'
    )
    monkeypatch.setenv("MILLSTREAM_CONFIG", str(tmp_path / "config.toml"))
    return lambda name: runpy.run_path(str(EXAMPLES / name / "app.py"))["app"]


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def test_the_shop_has_one_log_in_for_its_own_endpoints_and_for_millstreams(example: Any) -> None:
    ada, bob = ({"authorization": f"Bearer token-of-{name}"} for name in ("ada", "bob"))
    with AnyServer(example("fastapi-mount")) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        me = [client.get("/me", headers=headers).json() for headers in (ada, bob, {})]
        ask = {"query": "What have I ordered?"}
        said = [client.post("/ai/mcp/chat", json=ask, headers=headers).json() for headers in (ada, bob, {})]
        docs = client.get("/ai/docs", headers=ada)
    assert me[:2] == [{"user": "ada"}, {"user": "bob"}]
    assert [one["text"] for one in said[:2]] == ['It says ["a lamp"].', 'It says ["a kite"].']
    assert me[2]["detail"] == said[2]["message"]
    assert docs.status_code == 200


def test_the_tools_report_fail_and_wait_for_approval(example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with AnyServer(example("tools-app")) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        told = events(client.post("/mcp/chat/stream", json={"query": "How many primes?"}).text)
        mailed = []
        with client.stream("POST", "/mcp/chat/stream", json={"query": "Write to Ada."}) as answer:
            for line in answer.iter_lines():
                mailed += events(line)
                if mailed and mailed[-1]["type"] == "approval_required":
                    client.post(f"/api/v1/runs/{mailed[0]['run_id']}/approve", json={"approved": True})
    progress = [one["message"] for one in told if one["type"] == "tool_progress" and "message" in one]
    results = {one["tool"]: one for one in told if one["type"] == "tool_result"}
    assert len(progress) == 2
    assert json.loads(results["primes"]["content"]) == {"count": 430, "largest": 2999}
    assert results["time_in"]["is_error"]
    assert "write Area/City" in results["time_in"]["content"]
    assert "Hello, Ada." in capsys.readouterr().out
    assert mailed[-1]["type"] == "complete"


@pytest.mark.parametrize("name", ["react-chat", "react-agent"])
def test_an_example_for_react_stays_short(name: str) -> None:
    own = [path for path in (EXAMPLES / name / "src").iterdir() if path.suffix in (".jsx", ".css")]
    assert 0 < sum(len(path.read_text().splitlines()) for path in own) <= 200
