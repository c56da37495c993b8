"""The commands as a user meets them: processes with a home of their own and nothing else in the environment."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

LIMIT = 60.0
"""Seconds until a command counts as hung. Nothing waits this long unless it is broken."""

_KEPT = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "COVERAGE_FILE", "PYTHONPATH")


@dataclass
class Shell:
    """Runs ``millstream`` with this environment. ``home`` is where its folders are."""

    home: Path
    environ: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env=self.environ,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            cwd=self.home,
        )

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "millstream", *arguments]

    def config(self, text: str) -> Path:
        path = self.home / "settings.toml"
        path.write_text(text)
        return path


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    environ = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return Shell(tmp_path, environ | {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "MILLSTREAM_PORT": "0"})


Inside = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def inside(shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    """Does what ``shell.run`` does, in this process: for commands that end early and leave nothing behind."""

    from millstream.cli import main

    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as here:
            for name in os.environ:
                here.delenv(name)
            for name, value in shell.environ.items():
                here.setenv(name, value)
            here.chdir(shell.home)
            here.setattr("sys.argv", ["millstream", *arguments])
            here.setattr("sys.stdin", io.StringIO(stdin))
            status = main.main()
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(["millstream", *arguments], status, out, err)

    return run


@dataclass
class Serving:
    """A gateway under test."""

    process: subprocess.Popen[str]
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


Serve = Callable[..., Serving]


@pytest.fixture
def serve(shell: Shell) -> Iterator[Serve]:
    """Starts gateways on free ports and stops them after the test."""
    with ExitStack() as stack:

        def start(*arguments: str) -> Serving:
            process = subprocess.Popen(
                shell.command("serve", "--port", "0", "--address-only", *arguments),
                env=shell.environ,
                cwd=shell.home,
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            stack.enter_context(process)
            stack.callback(process.terminate)
            assert process.stdout is not None
            return Serving(process, process.stdout.readline().strip())

        yield start


AGENT = """#!{python}
import json, os, sys
told = dict(arguments=sys.argv[1:], environ=dict(os.environ), cwd=os.getcwd())
{then}
"""


@dataclass
class Agent:
    """A program in place of a coding agent. It writes down what it was given."""

    path: Path
    notes: Path

    @property
    def told(self) -> Any:
        return json.loads(self.notes.read_text())


@pytest.fixture
def agent(tmp_path: Path) -> Callable[[str], Agent]:
    """Makes an agent that writes its notes and then does what the given Python says."""

    def make(then: str = "") -> Agent:
        made = Agent(tmp_path / "bin/claude", tmp_path / "notes.json")
        made.path.parent.mkdir(exist_ok=True)
        note = f"json.dump(told, open({str(made.notes)!r}, 'w'))"
        made.path.write_text(AGENT.format(python=sys.executable, then=f"{note}\n{then}"))
        made.path.chmod(0o755)
        return made

    return make
