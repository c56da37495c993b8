"""Help, version, and errors: one line on standard error, a status, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from millstream.cli import main

if TYPE_CHECKING:
    from tests.cli.conftest import Shell

COMMANDS = ("serve", "models", "doctor", "launch")
HEAVY = {"asyncio", "httptools", "starlette", "rich", "uvicorn"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_each_command_with_an_example(shell: Shell, command: str) -> None:
    overview = shell.run("--help").stdout
    assert f"\n  {command} " in overview
    assert f"\n    millstream {command}" in overview
    assert f"\n    millstream {command}" in shell.run(command, "--help").stdout


def test_no_command_shows_the_help(shell: Shell) -> None:
    done = shell.run()
    assert (done.returncode, done.stdout) == (0, shell.run("--help").stdout)


def test_help_fits_a_narrow_terminal(shell: Shell) -> None:
    shell.environ["COLUMNS"] = "56"
    text, _, _ = shell.run("serve", "--help").stdout.partition("Examples:")
    assert max(len(line) for line in text.splitlines()) <= 56


def test_the_version_is_printed(shell: Shell) -> None:
    assert shell.run("--version").stdout == f"millstream {version('millstream')}\n"


def test_help_imports_nothing_heavy() -> None:
    script = f"import sys; from millstream.cli import main; print(sorted({HEAVY!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["serv"], "No such command 'serv'. Did you mean 'serve'? (try: millstream --help)"),
        (["serve", "--prot", "1"], "No such option: --prot"),
        (["serve", "--port", "many"], "Invalid value for '--port'"),
        (["serve", "--port", "70000"], "server.port"),
        (["serve", "--set", "server.port"], "write it as NAME=VALUE"),
        (["serve", "--set", "server.prot=1"], "server.prot is not a setting; did you mean port?"),
        (["serve", "--config", "nowhere.toml"], "no configuration file at nowhere.toml"),
        (["serve", "--default-model", "grok/x"], "default_model: no model 'grok/x' here"),
        (["models", "--set", "aliases.fast=nobody/x"], "aliases.fast"),
        (["launch", "claude", "-p", "hi"], "(the agent's own arguments go after --)"),
        (["launch", "claud"], "No such command 'claud'. Did you mean 'claude'?"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(shell: Shell, arguments: list[str], told: str) -> None:
    done = shell.run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("millstream: ")
    assert done.stderr.count("\n") == 1
    assert told in done.stderr


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("[server]\nhots = 'x'", "server.hots is not a setting; did you mean host?"),
        ("[server]\nheartbeat = 'x'", "server.heartbeat: expected `float`, got `str`"),
        ("[providers.groq]\napi_key_file = '/nowhere/key'", "providers.groq.api_key_file: cannot read /nowhere/key"),
        ("[providers.mine]\nbase_url = 'http://127.0.0.1:1/v1'", "providers.mine.dialect is missing"),
        ("[server]\napi_key_env = 'NOT_SET_HERE'", "server.api_key_env: the environment variable NOT_SET_HERE"),
        ("[server", "is not valid TOML"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_line_and_status_2(shell: Shell, settings: str, told: str) -> None:
    done = shell.run("serve", "--config", str(shell.config(settings)))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert told in done.stderr


def test_an_unexpected_error_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(main, "app", broken)
    monkeypatch.delenv("MILLSTREAM_DEBUG", raising=False)
    assert main.main() == 1
    assert (
        capsys.readouterr().err == "millstream: RuntimeError: first line second line (MILLSTREAM_DEBUG=1 shows where)\n"
    )


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("here")

    monkeypatch.setattr(main, "app", broken)
    monkeypatch.setenv("MILLSTREAM_DEBUG", "1")
    with pytest.raises(RuntimeError, match="here"):
        main.main()


def test_an_interrupt_ends_with_the_status_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "app", interrupted)
    assert main.main() == 130
