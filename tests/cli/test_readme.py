"""The README's examples, run as they stand there against a gateway on another port."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Serve, Shell

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
ADDRESS = "http://127.0.0.1:8090"
LIMIT = 60.0
SPOKEN = "played by millstream itself"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def address(serve: Serve) -> str:
    """A gateway where ``embedded`` answers at once, without a model."""
    return serve("--set", 'aliases={embedded="replay/hello"}', "--default-model", "replay/hello").url


def test_the_python_example_streams(shell: Shell, address: str) -> None:
    [example] = [block for block in _blocks("python") if block.startswith("from anthropic")]
    script = example.replace(ADDRESS, address)
    assert script != example
    done = subprocess.run(
        [sys.executable, "-c", script], env=shell.environ, capture_output=True, text=True, timeout=LIMIT
    )
    assert SPOKEN in done.stdout, done.stderr


def test_the_curl_example_streams(shell: Shell, address: str) -> None:
    [example] = [block for block in _blocks("sh") if block.startswith("curl")]
    done = subprocess.run(
        ["sh", "-c", example.replace(ADDRESS, address)],
        env=shell.environ,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert "event: content_block_delta" in done.stdout, done.stderr
    assert "event: message_stop" in done.stdout


def test_the_greetings_own_examples_work_as_printed(shell: Shell) -> None:
    command = shell.command("serve", "--default-model", "replay/hello")
    with subprocess.Popen(command, env=shell.environ, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        text = ""
        while "Ctrl-C" not in text:
            text += process.stdout.readline()
        curl, python = (
            re.sub(r"^  ", "", block, flags=re.MULTILINE) for block in re.findall(r":\n((?:  .*\n)+)", text)[:2]
        )
        for program in (["sh", "-c", curl], [sys.executable, "-c", python]):
            done = subprocess.run(program, env=shell.environ, capture_output=True, text=True, timeout=LIMIT)
            assert "millstream" in done.stdout, done.stderr
        process.terminate()


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        "docs/judges.md",
        "docs/guide-claude-code.md",
        "docs/guide-codex-gemini.md",
        "docs/guide-launch.md",
    ],
)
def test_what_a_page_points_at_is_there(page: str) -> None:
    text = (ROOT / page).read_text()
    targets = {target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target}
    missing = [target for target in targets if not ((ROOT / page).parent / target).exists()]
    makefile = (ROOT / "Makefile").read_text()
    missing += [goal for goal in re.findall(r"^make (\w+)", text, re.MULTILINE) if f"\n{goal}:" not in makefile]
    assert missing == []
