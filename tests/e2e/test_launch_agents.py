"""``millstream launch`` with Codex CLI, Gemini CLI and opencode; their users' own settings say something else."""

import json
import sys
from pathlib import Path

from agent_process import run_agent
from agents import Codex, GeminiCLI, opencode
from gateway_site import run

LIMIT_S = 60.0
SAID = "The tool has answered, and so the loop is closed."
OWN_OF_CODEX = '# mine\nmodel_provider = "openai"\nmodel = "gpt-5.5"\n'
OWN_OF_OPENCODE = {
    "$schema": "https://opencode.ai/config.json",  # it adds this by itself
    "model": "anthropic/claude-sonnet-5",
    "provider": {"anthropic": {"options": {"apiKey": "mine"}}},
}
OWN_OF_GEMINI = {"security": {"auth": {"selectedType": "oauth-personal"}}, "privacy": {"usageStatisticsEnabled": False}}


def wrapped(folder: Path, *command: object) -> Path:
    """A program that is this command."""
    made = folder / "program"
    made.write_text(f'#!/bin/sh\nexec {" ".join(map(str, command))} "$@"\n')
    made.chmod(0o755)
    return made


def launch(agent: str, program: Path, *own: str) -> list[str]:
    options = ["--bin", str(program), "--set", "default_model=replay/tools"]
    return [sys.executable, "-m", "millstream", "launch", agent, *options, "--", *own]


def environment(home: Path, **more: str) -> dict[str, str]:
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    return {"HOME": str(home), "PATH": "/usr/bin:/bin", "MILLSTREAM_PORT": "0", **nowhere, **more}


def test_codex_runs_a_tool_on_the_launched_gateway_and_keeps_its_config(tmp_path: Path) -> None:
    agent = Codex(tmp_path)
    config = agent.home / ".codex/config.toml"
    config.parent.mkdir()
    config.write_text(OWN_OF_CODEX)
    program = wrapped(tmp_path, agent._program)
    own = ["exec", "--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "Print a word."]

    async def main() -> None:
        ended = await run_agent(launch("codex", program, *own), environment(agent.home), agent.folder)
        items = [json.loads(line).get("item", {}) for line in ended.lines]
        assert ended.status == 0, ended.errors
        assert [
            item["exit_code"]
            for item in items
            if item.get("type") == "command_execution" and item["exit_code"] is not None
        ] == [0]
        assert any(item.get("text", "").startswith(SAID) for item in items)

    run(main(), LIMIT_S)
    assert config.read_text() == OWN_OF_CODEX
    assert not (config.parent / "auth.json").exists()


def test_gemini_runs_on_the_launched_gateway_though_its_user_logs_in_otherwise(tmp_path: Path) -> None:
    agent = GeminiCLI(tmp_path)
    settings = agent.home / ".gemini/settings.json"
    settings.write_text(json.dumps(OWN_OF_GEMINI))
    program = wrapped(tmp_path, agent._node, agent._script)
    own = ["--prompt", "Print a word.", "--output-format", "stream-json", "--skip-trust", "--yolo"]
    more = {"GEMINI_CLI_NO_RELAUNCH": "true", "PATH": f"{agent._node.parent}:/usr/bin:/bin"}

    async def main() -> None:
        ended = await run_agent(launch("gemini", program, *own), environment(agent.home, **more), agent.folder)
        lines = [json.loads(line) for line in ended.lines if line.startswith("{")]
        said = "".join(line["content"] for line in lines if line["type"] == "message" and line["role"] == "assistant")
        assert ended.status == 0, ended.errors
        assert any(line["type"] == "tool_result" for line in lines)
        assert SAID in said

    run(main(), LIMIT_S)
    assert json.loads(settings.read_text())["security"] == OWN_OF_GEMINI["security"]


def test_opencode_runs_a_tool_on_the_launched_gateway_and_keeps_its_config(tmp_path: Path) -> None:
    program, home, folder = opencode(), tmp_path / "home", tmp_path / "work"
    folder.mkdir()
    config = home / ".config/opencode/opencode.json"
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps(OWN_OF_OPENCODE))

    async def main() -> None:
        own = ["run", "--format", "json", "Print a word."]
        ended = await run_agent(launch("opencode", program, *own), environment(home), folder)
        parts = [json.loads(line)["part"] for line in ended.lines]
        assert ended.status == 0, ended.errors
        [tool] = [part for part in parts if part["type"] == "tool"]
        assert (tool["tool"], tool["state"]["output"]) == ("bash", "millstream\n")
        assert [part["text"] for part in parts if part["type"] == "text"][-1].startswith(SAID)

    run(main(), LIMIT_S)
    assert json.loads(config.read_text()) == OWN_OF_OPENCODE
    assert not (home / ".local/share/opencode/auth.json").exists()
