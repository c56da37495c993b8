"""``millstream provider``: what is listed, and the one line of the settings file that it writes."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from millstream.cli.config_file import changed
from millstream.config import ConfigError

if TYPE_CHECKING:
    from tests.cli.conftest import Inside, Shell


def _file(shell: Shell) -> Path:
    return shell.home / ".config/millstream/config.toml"


def test_a_provider_is_made_the_default_and_what_it_lacks_is_said(shell: Shell, inside: Inside) -> None:
    done = inside("provider", "groq")
    assert done.stdout == f"The default model is now groq/moonshotai/kimi-k2-instruct-0905 ({_file(shell)}).\n"
    assert done.stderr == "millstream: groq cannot be used yet: millstream set-key groq\n"
    assert stat.S_IMODE(_file(shell).stat().st_mode) == 0o600
    assert "is already groq/" in inside("provider", "groq").stdout
    lines = inside("provider").stdout.splitlines()
    assert lines[1].split()[0] == "groq"
    assert lines[1].split()[-3:] == ["GROQ_API_KEY", "missing", "default"]


def test_comments_order_mode_and_links_of_the_file_stay(shell: Shell, inside: Inside) -> None:
    real = shell.home / "dotfiles/settings.toml"
    real.parent.mkdir()
    real.write_text('# mine\ndefault_model = "embedded"  # for now\n\n[server]\nport = 9000 # free here\n')
    real.chmod(0o640)
    link = shell.home / "settings.toml"
    link.symlink_to(real)
    assert inside("provider", "openai", "--model", "gpt-5-mini", "--config", str(link)).returncode == 0
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert real.read_text() == (
        '# mine\ndefault_model = "openai/gpt-5-mini"  # for now\n\n[server]\nport = 9000 # free here\n'
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["provider", "grok"], "no provider 'grok' here; did you mean groq?"),
        (["provider", "ollama"], "ollama has no default model: name one with --model"),
        (["provider", "--model", "x"], "--model goes with a provider's name"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(inside: Inside, arguments: list[str], told: str) -> None:
    done = inside(*arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert told in done.stderr


def test_a_setting_is_written_above_the_tables() -> None:
    before = "# mine\n[server]\nport = 1\n\n[aliases]\n'a*' = 'groq/x'\n"
    after = changed(before, {("default_model",): "groq/x", ("providers", "groq", "default_model"): "y"}, "f")
    assert after == (
        "# mine\ndefault_model = \"groq/x\"\n\n[server]\nport = 1\n\n[aliases]\n'a*' = 'groq/x'\n\n"
        '[providers.groq]\ndefault_model = "y"\n'
    )
    assert changed(after, {("default_model",): "groq/x"}, "f") == after
    assert "default_model" not in changed("default_model = 'a'\n", {("default_model",): None}, "f")


@pytest.mark.parametrize(
    ("before", "told"),
    [("[server", "f is not valid TOML"), ("[server]\nprot = 1", "f: server.prot is not a setting; did you mean port?")],
)
def test_a_file_that_is_not_valid_is_not_written(before: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        changed(before, {("default_model",): "groq/x"}, "f")
