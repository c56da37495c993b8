"""``millstream launch claude`` with Claude Code itself."""

import json
import sys
from pathlib import Path

from claude_code import ClaudeCode
from gateway_site import Site, run
from raw_upstream import JSON, Call
from wires import ChatWire

LIMIT_S = 60.0


def launch(claude: ClaudeCode, *options: str) -> list[str]:
    """The command line up to the agent's own arguments. An old version is a script, which its interpreter runs."""
    program = claude.command[0]
    if len(claude.command) > 1:
        wrapper = claude.home / "claude"
        wrapper.write_text(f'#!/bin/sh\nexec {" ".join(claude.command)} "$@"\n')
        wrapper.chmod(0o755)
        program = str(wrapper)
    return [sys.executable, "-m", "millstream", "launch", "claude", "--bin", program, *options, "--"]


def left_running(claude: ClaudeCode) -> list[str]:
    """Processes that still have the scratch home, where the system tells."""
    mark = f"HOME={claude.home}\0".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes() + b"\0":
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def test_it_starts_a_gateway_runs_the_agent_on_it_and_leaves_nothing_behind(claude: ClaudeCode) -> None:
    async def main() -> None:
        command = [*launch(claude, "--set", "default_model=replay/tools"), *claude.arguments("Print a word.")]
        ran = await claude.run(command, claude.environment())
        assert ran.status == 0
        assert ran.tool_results == ["millstream"]
        assert ran.result["result"].endswith("It said: millstream")
        assert left_running(claude) == []

    run(main(), LIMIT_S)


def test_the_agents_failure_and_its_words_are_its_own(site: Site, claude: ClaudeCode) -> None:
    wire = ChatWire()

    async def refuse(call: Call) -> None:
        assert call.headers["authorization"] == "Bearer the-upstreams-key"
        assert json.loads(call.body)["model"] == "big"
        await call.answer(403, wire.refusal("invalid", "This key may not use that model."), JSON)

    async def main() -> None:
        async with site.upstream(refuse) as upstream:
            config = claude.home / "config.toml"
            config.write_text(
                "[providers.up]\n"
                'dialect = "openai_chat"\n'
                f'base_url = "{upstream.url}/v1"\n'
                'api_key = "the-upstreams-key"\n'
                'default_model = "big"\n'
            )
            command = [*launch(claude, "--config", str(config)), *claude.arguments("Print a word.")]
            ran = await claude.run(command, claude.environment())
            assert ran.status == 1
            assert ran.result["is_error"] is True
            assert "This key may not use that model." in ran.result["result"]
            assert left_running(claude) == []

    run(main(), LIMIT_S)
