"""How long from the command to a coding agent's first screen: the agent by itself, and through `millstream launch`.

    PYTHONPATH=tests/support .venv/bin/python bench/first_screen.py --times 6 --only gemini

Each in a terminal of its own (tmux), with the same settings; by itself it is told of a gateway that runs already. The
ways take turns, so that what else the machine does falls on all of them; ``chrt -r 10`` (root) before it puts them
before all else. Prints medians in seconds, with the least and the most, as a table.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from agents import Codex, GeminiCLI, opencode
from claude_code import VERSIONS, installed
from terminal import Terminal

from millstream.cli import agents, other_agents
from millstream.cli.other_agents import Names, Told

MODEL = "replay/hello"
SETTINGS = ("--set", f"default_model={MODEL}", "--set", "unknown_model=default")
NAMES = Names(None, MODEL, MODEL)
WAYS = ("directly", "launch, new gateway", "launch, one that runs")
NOWHERE = "http://127.0.0.1:9"
NEW = "0"
"""The port that is asked for where no gateway is to be found."""


@dataclass(frozen=True)
class Agent:
    """``first`` stands on its first screen. ``told`` is what it must know of the gateway at a URL."""

    name: str
    program: Path
    first: str
    home: Path
    folder: Path
    told: Callable[[Mapping[str, str], str], Told]
    environ: Mapping[str, str] = field(default_factory=dict)


def claude(scratch: Path) -> Agent:
    found = installed(VERSIONS[0], scratch)
    known = {"hasCompletedOnboarding": True, "theme": "dark"}
    trusted = {str(found.folder): {"hasTrustDialogAccepted": True}}
    (found.home / ".claude.json").write_text(json.dumps({**known, "projects": trusted}))

    def told(environ: Mapping[str, str], url: str) -> Told:
        models = agents.ClaudeModels(None, MODEL, MODEL, MODEL)
        return Told([], agents.claude_environment(environ, url, None, models))

    more = {"DISABLE_AUTOUPDATER": "1", "IS_SANDBOX": "1"}
    return Agent("claude", Path(found.command[0]), "Claude Code v2", found.home, found.folder, told, more)


def codex(scratch: Path) -> Agent:
    found = Codex(scratch)
    (found.home / ".codex").mkdir()
    trusted = f'check_for_update_on_startup = false\n[projects."{found.folder}"]\ntrust_level = "trusted"\n'
    (found.home / ".codex/config.toml").write_text(trusted)

    def told(environ: Mapping[str, str], url: str) -> Told:
        return other_agents.codex(environ, url, None, NAMES)

    return Agent("codex", found._program, "OpenAI Codex", found.home, found.folder, told)


def gemini(scratch: Path) -> Agent:
    found = GeminiCLI(scratch)
    program = scratch / "gemini"
    program.write_text(f'#!/bin/sh\nexec {found._node} {found._script} "$@"\n')
    program.chmod(0o755)

    def told(environ: Mapping[str, str], url: str) -> Told:
        return other_agents.gemini(environ, url, None, NAMES, None)

    more = {"GEMINI_CLI_NO_RELAUNCH": "true", "GEMINI_CLI_TRUST_WORKSPACE": "true"}
    return Agent("gemini", program, "Type your message", found.home, found.folder, told, more)


def open_code(scratch: Path) -> Agent:
    home, folder = scratch / "home", scratch / "work"
    home.mkdir()
    folder.mkdir()

    def told(environ: Mapping[str, str], url: str) -> Told:
        return other_agents.opencode(environ, url, None, NAMES)

    return Agent("opencode", opencode(), "Ask anything", home, folder, told)


AGENTS = {"claude": claude, "codex": codex, "gemini": gemini, "opencode": open_code}


@contextmanager
def gateway(home: Path) -> Iterator[str]:
    """One that runs for as long as this does."""
    serve = [sys.executable, "-m", "millstream", "serve", "--port", "0", "--address-only", "--until-eof", *SETTINGS]
    environ = {"HOME": str(home), "PATH": os.defpath}
    with subprocess.Popen(
        serve, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def first_screen(agent: Agent, way: str, url: str) -> float:
    """Seconds."""
    port = url.rpartition(":")[2] if way == WAYS[2] else NEW
    environ = {
        "HOME": str(agent.home),
        "PATH": "/usr/bin:/bin",
        "HTTPS_PROXY": NOWHERE,
        "MILLSTREAM_PORT": port,
        **agent.environ,
    }
    if way == WAYS[0]:
        told = agent.told(environ, url)
        command, environ = [str(agent.program), *told.arguments], told.over(environ)
    else:
        launch = [sys.executable, "-m", "millstream", "launch", agent.name, "--bin", str(agent.program)]
        command = [*launch, "--set", f"default_model={MODEL}"]
    for left in agent.home.rglob(
        "*.lock"
    ):  # by the one before, which was killed: the next would wait for it to grow old
        shutil.rmtree(left, ignore_errors=True)
    with Terminal(command, environ, agent.folder) as terminal:
        began = time.monotonic()  # the terminal itself is there by now, and has just been given the command
        terminal.until(agent.first)
        return time.monotonic() - began


def version_of(agent: Agent) -> str:
    environ = {"HOME": str(agent.home), "PATH": "/usr/bin:/bin", **agent.environ}
    done = subprocess.run(
        [str(agent.program), "--version"], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.split()[-1 if agent.name == "codex" else 0]


def measure(name: str, times: int) -> Iterator[str]:
    """The agent's line of the table, as its medians and the spread of each."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,  # agents write until they are killed
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as own,
    ):
        agent = AGENTS[name](Path(folder))
        with gateway(Path(own)) as url:
            first_screen(agent, WAYS[0], url)  # it then has its files, and the machine has read its program
            taken: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(times):
                for way, found in taken.items():
                    found.append(first_screen(agent, way, url))
        yield f"{name} {version_of(agent)}"
        for found in taken.values():
            yield f"{statistics.median(found):.2f} ({min(found):.2f}–{max(found):.2f})"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=6, help="how often each way is gone")
    parser.add_argument("--only", action="append", choices=AGENTS, help="this agent; may be repeated")
    asked = parser.parse_args(arguments)
    print(f"| | {' | '.join(WAYS)} |\n|-|{'-|' * len(WAYS)}")
    for name in asked.only or AGENTS:
        try:
            print(f"| {' | '.join(measure(name, asked.times))} |", flush=True)
        except pytest.skip.Exception as missing:
            print(f"| {name}: {missing} |")


if __name__ == "__main__":
    main(sys.argv[1:])
