"""``millstream runs``: what a running gateway keeps, listed, shown and forgotten."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING

from millstream.config import Config, ServerConfig
from millstream.testing.gateway import GatewayThread

if TYPE_CHECKING:
    from tests.cli.conftest import Shell

KEY = "a-key-of-clients"


def _run(gateway: GatewayThread, run_id: str) -> str:
    """Makes a run; its text."""
    body = json.dumps({"query": "hi", "model": "replay/hello", "run_id": run_id}).encode()
    headers = {"authorization": f"Bearer {KEY}"}
    with urllib.request.urlopen(urllib.request.Request(f"{gateway.url}/api/v1/stream", body, headers)) as answer:
        lines = answer.read().decode().splitlines()
    said = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    return "".join(one["content"] for one in said if one["type"] == "chunk")


def test_runs_are_listed_shown_and_forgotten(shell: Shell) -> None:
    shell.environ["MILLSTREAM_SERVER__API_KEY"] = KEY
    with GatewayThread(Config(server=ServerConfig(api_key=KEY))) as gateway:
        url = ("--url", gateway.url)
        assert shell.run("runs", "list", *url).stdout == "no runs are kept\n"
        text = _run(gateway, "mine")
        head, row = shell.run("runs", "list", *url).stdout.splitlines()
        assert head.split()[0] == "run"
        assert row.split()[:2] == ["mine", "finished"]
        (listed,) = json.loads(shell.run("runs", "list", "--json", *url).stdout)
        assert (listed["id"], listed["model"]) == ("mine", "replay/hello")
        shown = shell.run("runs", "show", "mine", *url).stdout
        assert "state: finished" in shown
        assert text.strip() in shown
        events = [json.loads(line) for line in shell.run("runs", "show", "mine", "--events", *url).stdout.splitlines()]
        assert [events[0]["type"], events[-1]["type"], len(events)] == ["RunStart", "RunEnd", listed["events"]]
        assert shell.run("runs", "rm", "mine", *url).returncode == 0
        gone = shell.run("runs", "show", "mine", *url)
        assert gone.returncode != 0
        assert "there is no run 'mine'" in gone.stderr
        assert "Traceback" not in gone.stderr


def test_without_a_gateway_it_is_one_line_that_says_what_to_do(shell: Shell) -> None:
    done = shell.run("runs", "list", "--url", "http://127.0.0.1:9")
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1
    assert "millstream serve" in done.stderr
