"""``millstream check``, ``help`` and the shell's completion."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import typer

from millstream.cli import lookalikes, main

if TYPE_CHECKING:
    from tests.cli.conftest import Agent, Inside, Serve, Shell

KEY = "gsk_0123456789abcdefWXYZ"


def _checks(shell: Shell, *arguments: str, status: int = 0) -> dict[str, dict[str, Any]]:
    done = shell.run("check", "--json", *arguments)
    assert done.returncode == status, done.stdout + done.stderr
    assert KEY not in done.stdout
    return {f"{check['section']} {check['name']}": check for check in json.loads(done.stdout)["checks"]}


def test_provider_masked_keys_agents_endpoints_and_files_are_told(shell: Shell, agent: Callable[[str], Agent]) -> None:
    made = agent("print('2.1.329 (Claude Code)')")
    shell.environ |= {"GROQ_API_KEY": KEY, "PATH": f"{made.path.parent}:/nowhere"}
    found = _checks(shell)
    assert found["provider groq"]["detail"].startswith("groq/moonshotai/kimi-k2-instruct-0905 at https://api.groq.com")
    assert found["keys groq"]["detail"] == "gsk_…WXYZ (environment, GROQ_API_KEY)"
    assert found["agents claude"]["detail"] == f"2.1.329 ({made.path})"
    assert found["agents codex"]["detail"] == "not installed (npm install -g @openai/codex)"
    assert found["endpoints Anthropic"]["detail"].endswith("/v1/messages")
    assert found["settings file"]["detail"] == f"{shell.home}/.config/millstream/config.toml (none is needed)"


def test_a_default_without_its_key_is_broken_and_says_what_to_do(shell: Shell) -> None:
    done = shell.run("check", "--set", "default_model=groq/x")
    assert done.returncode == 1
    assert "GROQ_API_KEY is missing → millstream set-key groq" in done.stdout
    assert done.stdout.endswith("1 broken: groq\n")


def test_keys_that_others_can_read_are_noticed(shell: Shell) -> None:
    shell.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
    shell.run("set-key", "groq", KEY)
    stored = shell.home / ".config/millstream/keys.toml"
    assert _checks(shell)["settings stored keys"]["status"] == "ok"
    stored.chmod(0o644)
    assert _checks(shell)["settings stored keys"]["fix"] == f"chmod 600 {stored}"


def test_live_asks_the_model_through_the_gateway_that_runs(shell: Shell, serve: Serve) -> None:
    own = ["--set", "default_model=replay/hello"]
    running = serve(*own)
    found = _checks(shell, "--live", "--set", f"server.port={running.port}", *own)
    assert "same settings" in found[f"gateway {running.url}"]["detail"]
    assert found["model replay/hello"]["detail"].startswith("answers; first token after ")


def test_live_names_what_keeps_the_model_from_answering(shell: Shell) -> None:
    own = '[providers.mine]\ndialect = "openai_chat"\nbase_url = "http://127.0.0.1:9/v1"\n[upstream]\nretries = 0\n'
    config = shell.config(f'default_model = "mine/x"\n{own}')
    found = _checks(shell, "--live", "--config", str(config), status=1)
    assert found["model mine/x"]["status"] == "broken"


def _commands(group: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, command in group.commands.items():
        found += _commands(command, (*path, name)) if hasattr(command, "commands") else [(*path, name)]
    return found


@pytest.mark.parametrize("path", _commands(typer.main.get_command(main.app)), ids=" ".join)
def test_every_command_has_a_summary_and_an_example(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["millstream", "help", *path])
    assert main.main() == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: millstream {' '.join(path)}")
    assert f"    millstream {' '.join(path)}" in text.partition("Examples:")[2]


def test_help_of_something_that_is_not_there_names_the_nearest(inside: Inside) -> None:
    done = inside("help", "launch", "clod")
    assert done.returncode == 2
    assert "No such command 'clod'. Did you mean" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [("millstream set", "set-key"), ("millstream set-key gr", "groq"), ("millstream launch co", "codex")],
)
def test_the_shell_completes_commands_and_providers(shell: Shell, words: str, told: str) -> None:
    shell.environ |= {
        "_MILLSTREAM_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    assert told in shell.run().stdout.split()


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script_of_completion(shell: Shell, shell_name: str) -> None:
    shell.environ["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"
    assert "_MILLSTREAM_COMPLETE" in shell.run("--show-completion", shell_name).stdout


def test_a_terminal_that_lacks_characters_gets_others_that_look_alike(shell: Shell) -> None:
    shell.environ["PYTHONIOENCODING"] = "ascii"
    done = shell.run("check", "--set", "default_model=groq/x")
    assert done.returncode == 1
    assert "x groq" in done.stdout
    assert "missing -> millstream set-key groq" in done.stdout


def test_other_characters_become_question_marks() -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="latin-1")
    lookalikes.allow(stream)
    stream.write("é…字")
    stream.flush()
    assert written.getvalue() == "é...?".encode("latin-1")
