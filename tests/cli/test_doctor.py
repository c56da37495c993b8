"""``millstream doctor``: what it finds, what it calls broken, and that it never shows a key."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from millstream.cli import checks

if TYPE_CHECKING:
    from tests.cli.conftest import Agent, Serve, Shell

KEY = "gsk_0123456789abcdefWXYZ"


@pytest.fixture(autouse=True)
def nothing_installed(shell: Shell) -> None:
    """Real programs would be asked for their versions, which takes seconds."""
    shell.environ["PATH"] = str(shell.home / "nothing")


def _checks(shell: Shell, *arguments: str, status: int = 0) -> dict[str, dict[str, Any]]:
    done = shell.run("doctor", "--json", *arguments)
    assert done.returncode == status, done.stdout
    report = json.loads(done.stdout)
    assert report["ok"] == (status == 0)
    return {check["name"]: check for check in report["checks"]}


def test_what_is_installed_is_told_with_its_version(shell: Shell, agent: Callable[[str], Agent]) -> None:
    made = agent("print('2.1.329 (Claude Code)')")
    shell.environ["PATH"] = f"{made.path.parent}:{shell.environ['PATH']}"
    found = _checks(shell, "--offline")
    assert found["python"]["status"] == found["httptools"]["status"] == "ok"
    assert found["claude"]["detail"] == f"2.1.329 ({made.path})"
    assert made.told["arguments"] == ["--version"]
    assert found["opencode"]["status"] == "absent"


def test_a_program_that_fails_is_a_warning(shell: Shell, agent: Callable[[str], Agent]) -> None:
    made = agent("sys.exit(1)")
    shell.environ["PATH"] = f"{made.path.parent}:{shell.environ['PATH']}"
    assert _checks(shell, "--offline")["claude"]["status"] == "warning"


def test_keys_are_told_masked_and_a_strange_prefix_is_noticed(shell: Shell) -> None:
    shell.environ |= {"GROQ_API_KEY": KEY, "OPENAI_API_KEY": KEY}
    found = _checks(shell, "--offline")
    assert found["groq"]["detail"] == "gsk_…WXYZ (GROQ_API_KEY)"
    assert (found["openai"]["status"], found["openai"]["detail"]) == ("warning", "…WXYZ (OPENAI_API_KEY)")
    assert "ANTHROPIC_API_KEY" in found["not set"]["detail"]
    assert KEY not in shell.run("doctor", "--offline").stdout + json.dumps(found)


@pytest.mark.parametrize(
    ("key", "prefix", "shown"),
    [
        ("gsk_0123456789", "gsk_", "gsk_…6789"),
        ("sk-0123456789", "gsk_", "…6789"),
        ("gsk_01234", "gsk_", "gsk_…"),
        ("abc", None, "…"),
        ("", None, "…"),
    ],
)
def test_a_short_key_shows_nothing_of_itself(key: str, prefix: str | None, shown: str) -> None:
    assert checks.masked(key, prefix) == shown


def test_a_setting_that_cannot_be_used_is_broken_and_named(shell: Shell) -> None:
    config = shell.config("[server]\nprot = 1")
    found = _checks(shell, "--offline", "--config", str(config), status=1)
    assert "server.prot is not a setting; did you mean port?" in found["file"]["detail"]


def test_a_name_that_leads_nowhere_is_broken(shell: Shell) -> None:
    found = _checks(shell, "--offline", "--set", "default_model=grok/x", status=1)
    assert found["names"]["detail"].startswith("default_model: no model 'grok/x'")


def test_a_port_taken_by_another_program_is_broken(shell: Shell) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        found = _checks(shell, "--offline", "--set", f"server.port={port}", status=1)
    assert found[f"http://127.0.0.1:{port}"]["status"] == "broken"


def test_a_running_gateway_is_recognised(shell: Shell, serve: Serve) -> None:
    running = serve("--default-model", "replay/hello")
    port = f"server.port={running.port}"
    assert "other settings" in _checks(shell, "--offline", "--set", port)[running.url]["detail"]
    same = _checks(shell, "--offline", "--set", port, "--set", "default_model=replay/hello")
    assert "same settings" in same[running.url]["detail"]


def test_the_default_model_is_asked_and_its_first_token_timed(shell: Shell) -> None:
    found = _checks(shell, "--set", "default_model=replay/hello")["replay/hello"]
    assert found["status"] == "ok"
    assert found["detail"].startswith("answers; first token after ")


def test_a_model_that_does_not_answer_is_broken_with_the_reason(shell: Shell) -> None:
    config = shell.config(
        'default_model = "mine/x"\n[providers.mine]\ndialect = "openai_chat"\nbase_url = "http://127.0.0.1:1/v1"\n'
        "[upstream]\nretries = 0\n"
    )
    found = _checks(shell, "--config", str(config), status=1)["mine/x"]
    assert found["status"] == "broken"
    assert "mine" in found["detail"]


def test_a_model_not_fetched_yet_is_no_fault(shell: Shell) -> None:
    found = _checks(shell)
    assert "embedded" not in found
    assert found["model file"]["status"] == "warning"
    assert found["model file"]["fix"] == "millstream serve fetches it once"


def test_the_report_for_people_names_what_is_broken_and_what_to_do(shell: Shell) -> None:
    done = shell.run("doctor", "--offline", "--set", "embedded.model=/nowhere.gguf")
    assert done.returncode == 1
    assert "✗ model file" in done.stdout
    assert "/nowhere.gguf is not there → embedded.model must name a GGUF file\n" in done.stdout
    assert done.stdout.endswith("1 broken: model file\n")
    assert "\x1b" not in done.stdout
