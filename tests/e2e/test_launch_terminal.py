"""Coding agents at a terminal, through ``millstream launch``: what a person types, and what is seen on the screen."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from agents import Codex, GeminiCLI
from claude_code import VERSIONS, ClaudeCode, installed
from gateway_site import run
from tap import tapped
from terminal import ENDED, Terminal

from millstream.testing.upstream import replay_server

LIMIT_S = 120.0
RISKY = "sh -c 'printf made > made.txt' && cat made.txt"
SCENARIO = f"""
[[replies]]
when = {{ contains = "<block>" }}
text = "<block>no"

[[replies]]
when = {{ last_role = "tool" }}
text = "The file says: {{{{result}}}}."

[[replies]]
when = {{ tool = "Bash", last_contains = "Make a file." }}
tool_calls = [{{ name = "Bash", arguments = {{ command = '''{RISKY}''', description = "Make it" }} }}]

[[replies]]
text = "A short answer."
"""
"""The first reply is for Claude Code's own question, in auto mode, whether a command must be blocked."""


def launch(agent: str, program: Path | str, model: str, *options: str, own: Sequence[str] = ()) -> list[str]:
    chosen = ["--bin", str(program), "--set", f"default_model={model}", *options]
    return [sys.executable, "-m", "millstream", "launch", agent, *chosen, "--", *own]


def program(folder: Path, *command: object) -> Path:
    """A program that is this command."""
    made = folder / "program"
    made.write_text(f'#!/bin/sh\nexec {" ".join(map(str, command))} "$@"\n')
    made.chmod(0o755)
    return made


def environment(home: Path, more: Mapping[str, str]) -> dict[str, str]:
    nowhere = "http://127.0.0.1:9"
    return {"HOME": str(home), "PATH": "/usr/bin:/bin", "MILLSTREAM_PORT": "0", "HTTPS_PROXY": nowhere, **more}


@pytest.fixture
def claude(tmp_path: Path) -> ClaudeCode:
    """Past its first questions: its colours, and whether the folder is to be trusted."""
    found = installed(VERSIONS[0], tmp_path)
    known = {"hasCompletedOnboarding": True, "theme": "dark"}
    trusted = {str(found.folder): {"hasTrustDialogAccepted": True}}
    (found.home / ".claude.json").write_text(json.dumps({**known, "projects": trusted}))
    (found.home / "file.toml").write_text(SCENARIO)
    return found


def claude_terminal(claude: ClaudeCode, model: str, *options: str, own: Sequence[str]) -> Terminal:
    command = launch("claude", claude.command[0], model, *options, own=own)
    more = {"DISABLE_AUTOUPDATER": "1", "IS_SANDBOX": "1"}
    return Terminal(command, environment(claude.home, more), claude.folder)


def test_claude_code_answers_asks_before_a_command_counts_its_context_and_leaves(claude: ClaudeCode) -> None:
    def at_the_terminal(url: str) -> None:
        upstream = f'providers.up={{dialect = "anthropic", base_url = "{url}"}}'
        with claude_terminal(claude, "up/m", "--set", upstream, own=["--permission-mode", "default"]) as terminal:
            assert "up/m" in terminal.until("Claude Code v2.1")
            terminal.enter("Say something.", "A short answer.")
            terminal.enter("Make a file.", "Do you want to proceed?")
            assert not (claude.folder / "made.txt").exists()
            terminal.until("The file says: made.", pressing="Enter")
            assert "200k" in terminal.enter("/context", "Free space")
            assert "up/m" in terminal.enter("/model", "Select model")
            terminal.until(lambda screen: "Select model" not in screen, pressing="Escape")
            terminal.enter("/exit", ENDED)
            assert terminal.ended() == "0, terminal kept"

    async def main() -> None:
        async with replay_server(claude.home / "file.toml") as upstream:
            host, _, port = upstream.url.removeprefix("http://").partition(":")
            async with tapped((host, int(port))) as tap:
                await asyncio.to_thread(at_the_terminal, tap.url)
            assert {call.status for call in upstream.received} == {200}
            assert b"".join(tap.said).count(b"POST /v1/messages/count_tokens") > 20

    run(main(), LIMIT_S)


def test_auto_mode_has_the_model_check_a_command_and_nobody_blames_the_gateway(claude: ClaudeCode) -> None:
    scripted = ("--set", f"replay.folder={claude.home}")
    with claude_terminal(claude, "replay/file", *scripted, own=["--permission-mode", "auto"]) as terminal:
        terminal.until("auto mode on")
        screen = terminal.enter("Make a file.", "The file says: made.")
        assert "Allowed by auto mode" in screen
        terminal.until("Press Ctrl-C again to exit", pressing="C-c")
        terminal.until(ENDED, pressing="C-c")
        assert terminal.ended() == "0, terminal kept"


def test_codex_runs_a_command_and_leaves(tmp_path: Path) -> None:
    agent = Codex(tmp_path)
    (agent.home / ".codex").mkdir()
    trusted = f'check_for_update_on_startup = false\n[projects."{agent.folder}"]\ntrust_level = "trusted"\n'
    (agent.home / ".codex/config.toml").write_text(trusted)
    command = launch("codex", agent._program, "replay/tools")
    with Terminal(command, environment(agent.home, {}), agent.folder) as terminal:
        terminal.until("OpenAI Codex")
        terminal.enter("Print a word.", "It said:")
        terminal.enter("/quit", ENDED)
        assert terminal.ended() == "0, terminal kept"


def test_gemini_runs_a_command_and_leaves(tmp_path: Path) -> None:
    agent = GeminiCLI(tmp_path)
    made = program(tmp_path, agent._node, agent._script)
    more = {"GEMINI_CLI_NO_RELAUNCH": "true", "GEMINI_CLI_TRUST_WORKSPACE": "true"}
    command = launch("gemini", made, "replay/tools")
    with Terminal(command, environment(agent.home, more), agent.folder) as terminal:
        terminal.until("Type your message")
        terminal.enter("Print a word.", "It said:")
        terminal.enter("/quit", ENDED)
        assert terminal.ended() == "0, terminal kept"
