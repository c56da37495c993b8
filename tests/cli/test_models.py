"""``millstream models``: one row per routable name, for people, for pipes and for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


def _rows(shell: Shell, *arguments: str) -> dict[str, dict[str, Any]]:
    done = shell.run("models", "--json", *arguments)
    assert done.returncode == 0
    return {row["name"]: row for row in json.loads(done.stdout)}


def test_without_keys_the_embedded_model_is_the_default_and_keys_are_named(shell: Shell) -> None:
    rows = _rows(shell)
    assert next(iter(rows)) == "embedded"
    assert rows["embedded"]["default"]
    groq = rows["groq/moonshotai/kimi-k2-instruct-0905"]
    assert (groq["usable"], groq["key"], groq["default"]) == (False, "GROQ_API_KEY", False)


def test_a_key_makes_its_provider_usable_and_the_default(shell: Shell) -> None:
    shell.environ["GROQ_API_KEY"] = "gsk_secret"
    rows = _rows(shell)
    assert next(iter(rows)) == "groq/moonshotai/kimi-k2-instruct-0905"
    assert next(iter(rows.values()))["usable"]


def test_aliases_stand_beside_what_they_mean(shell: Shell) -> None:
    config = shell.config('[aliases]\nfast = "groq/openai/gpt-oss-20b"\n"claude-*" = "fast"\n')
    rows = _rows(shell, "--config", str(config))
    assert rows["groq/openai/gpt-oss-20b"]["aliases"] == ["fast", "claude-*"]


def test_a_provider_of_ones_own_is_listed(shell: Shell) -> None:
    config = shell.config('[providers.mine]\ndialect = "openai_chat"\nbase_url = "http://127.0.0.1:1/v1"\n')
    row = _rows(shell, "--config", str(config))["mine/MODEL"]
    assert (row["model"], row["usable"], row["key"]) == (None, True, None)


def test_in_a_pipe_there_is_one_plain_line_per_name(shell: Shell) -> None:
    shell.environ |= {"COLUMNS": "40", "GROQ_API_KEY": "gsk_secret"}
    lines = shell.run("models").stdout.splitlines()
    assert lines[0].split() == ["model", "key", "also", "called"]
    assert len(lines) == len(_rows(shell)) + 1
    assert "groq/moonshotai/kimi-k2-instruct-0905" in lines[1]
    assert "\x1b" not in "".join(lines)
    assert "gsk_secret" not in "".join(lines)
