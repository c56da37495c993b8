"""What bash completes: a real one at a terminal, with the script that ``--show-completion`` gives."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pexpect
import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Shell

LIMIT = 60.0
READY = "ready> "
ALL_OF_THEM = "\x1b*"
"""The key that puts in whatever a tab would offer."""
SETTINGS = """
[providers.mine]
dialect = "openai_chat"
base_url = "http://127.0.0.1:9/v1"
default_model = "qwen3:8b"
[aliases]
quick = "mine/small:1b"
"""
KIMI, SMALL = "groq/moonshotai/kimi-k2-instruct-0905", "groq/openai/gpt-oss-20b"


class Bash:
    """Completes what is typed, and runs none of it."""

    def __init__(self, shell: Shell) -> None:
        program = shell.home / "bin/millstream"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m millstream "$@"\n')
        program.chmod(0o755)
        shell.environ["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"
        script = shell.home / "completion"
        script.write_text(shell.run("--show-completion", "bash").stdout)
        environ = {**shell.environ, "PATH": f"{program.parent}:/usr/bin:/bin", "TERM": "dumb", "PS1": READY}
        plain = ["--norc", "--noprofile", "-i"]
        self._bash = pexpect.spawn(
            "/bin/bash", plain, env=environ, cwd=str(shell.home), dimensions=(50, 2000), encoding="utf-8"
        )
        self._bash.timeout = LIMIT
        self._bash.expect_exact(READY)
        self._bash.sendline(f". {script}")
        self._bash.expect_exact(READY)

    def close(self) -> None:
        self._bash.close(force=True)

    def offers(self, typed: str) -> list[str]:
        """What there is for the last word, in bash's order."""
        self._bash.send(f"{typed}{ALL_OF_THEM}#end")
        self._bash.expect_exact("#end")
        # The line before is shown empty once more, then the prompt anew.
        line = str(self._bash.before).replace("\x07", "").rpartition(READY)[2]
        self._bash.send("\x15\r")  # the line is taken back
        self._bash.expect_exact(READY)
        before = typed.rpartition(" ")[0]
        assert line.startswith(before)
        return line[len(before) :].split()


@pytest.fixture
def bash(shell: Shell) -> Iterator[Bash]:
    shell.environ |= {"GROQ_API_KEY": "gsk_made_up", "MILLSTREAM_CONFIG": str(shell.config(SETTINGS))}
    made = Bash(shell)
    try:
        yield made
    finally:
        made.close()


def test_bash_completes_providers_and_models_of_the_catalog_and_of_ones_own(bash: Bash, shell: Shell) -> None:
    assert bash.offers("millstream launch codex --provider mi") == ["mine", "mistral"]
    assert bash.offers("millstream set-key cere") == ["cerebras"]
    assert bash.offers("millstream setup --agent ge") == ["gemini"]
    assert bash.offers("millstream chat --model groq/") == [KIMI, SMALL]
    assert bash.offers("millstream launch claude --model qu") == ["quick"]
    assert bash.offers("millstream launch claude --provider groq --small-model ") == [KIMI, SMALL]
    assert "mine/qwen3:8b" in bash.offers("millstream serve --default-model ")
    other = shell.home / "other.toml"
    other.write_text(SETTINGS.replace("quick", "quiet"))
    assert bash.offers(f"millstream launch claude --config {other} --model qui") == ["quiet"]


def test_bash_completes_what_it_takes_for_several_words(bash: Bash) -> None:
    assert bash.offers("millstream launch claude --provider=mi") == ["--provider=mine", "mistral"]
    assert bash.offers("millstream launch claude --model=groq/o") == [f"--model={SMALL}"]
    assert bash.offers("millstream launch claude --model mine/qwen3:") == ["mine/qwen3:8b"]
    assert bash.offers("millstream launch claude --model=mine/qwen3:8") == ["--model=mine/qwen3:8b"]


def asked(shell: Shell, *words: str) -> None:
    shell.environ |= {
        "_MILLSTREAM_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }


def test_what_needs_a_key_is_offered_where_nothing_else_begins_like_it(shell: Shell) -> None:
    asked(shell, "millstream", "chat", "--model", "groq/")
    assert set(shell.run().stdout.split()) == {KIMI, SMALL}
    asked(shell, "millstream", "chat", "--model", "")
    assert KIMI not in shell.run().stdout.split()
    (shell.home / ".config/millstream").mkdir(parents=True)
    (shell.home / ".config/millstream/keys.toml").write_text("GROQ_API_KEY = {keyring = true}\n")
    shell.environ["PYTHON_KEYRING_BACKEND"] = "no.such.Backend"
    assert KIMI in shell.run().stdout.split()


def test_settings_that_are_wrong_are_nothing_to_complete_from(shell: Shell) -> None:
    shell.environ["MILLSTREAM_CONFIG"] = str(shell.config("default_model = 3"))
    asked(shell, "millstream", "chat", "--model", "g")
    done = shell.run()
    assert (done.stdout.strip(), done.stderr) == ("", "")
