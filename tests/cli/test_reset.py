"""``millstream reset``: what it lists is what it deletes, after a yes, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from screen import Screen

if TYPE_CHECKING:
    from tests.cli.conftest import Inside, Serve, Shell

KEY = "gsk_0123456789abcdefWXYZ"


def _files(shell: Shell) -> set[str]:
    """But for SQLite's rollback journals, which come and go while a gateway makes its files."""
    found = (path for path in shell.home.rglob("*") if not path.name.endswith("-journal"))
    return {str(path.relative_to(shell.home)) for path in found if path.is_file()}


@pytest.fixture
def lived_in(shell: Shell, inside: Inside) -> set[str]:
    """Something of each kind, and things of others beside it, which are the result."""
    shell.environ |= {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring", "SHELL": "/bin/bash"}
    shell.environ["GROQ_API_KEY"] = KEY
    (shell.home / ".bashrc").write_text("alias ll='ls -l'\n")
    (shell.home / "own.toml").write_text("")
    flags = ["--provider", "groq", "--key-from-env", "--no-test", "--alias", "cg", "--yes"]
    assert inside("setup", *flags).returncode == 0
    for name in (".local/state/millstream/logs/gateway-1.log", ".local/share/millstream/models/small.gguf"):
        path = shell.home / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"\0" * 2_000_000)
    return {".bashrc", "own.toml"}


def test_everything_is_listed_and_deleted_after_a_yes(shell: Shell, inside: Inside, lived_in: set[str]) -> None:
    with Screen(shell.command("reset"), shell.environ, shell.home, columns=200) as screen:
        screen.until("Delete it all? [y/N]:")
        text = screen.text
        screen.press("y\r")
        assert screen.ended() == 0
    config = shell.home / ".config/millstream"
    assert f"settings  {config}/config.toml" in text
    assert f"keys      {config}/keys.toml (GROQ_API_KEY)" in text
    assert f"in {shell.home}/.bashrc" in text.replace("\n", "")
    assert f"state     {shell.home}/.local/state/millstream/logs/ (2 MB)" in text
    assert f"model     {shell.home}/.local/share/millstream/models/ (2 MB)" in text
    assert _files(shell) == lived_in
    assert (shell.home / ".bashrc").read_text() == "alias ll='ls -l'\n"
    assert inside("reset").stdout == "There is nothing to delete.\n"


@pytest.mark.usefixtures("lived_in")
def test_a_no_and_nobody_to_ask_delete_nothing(shell: Shell, inside: Inside) -> None:
    before = _files(shell)
    with Screen(shell.command("reset"), shell.environ, shell.home) as screen:
        screen.until("Delete it all? [y/N]:")
        screen.press("\r")
        assert screen.ended() == 0
        assert "Nothing is deleted." in screen.text
    done = inside("reset")
    assert done.returncode == 2
    assert "no terminal to ask at: --yes deletes it" in done.stderr
    assert _files(shell) == before


@pytest.mark.usefixtures("lived_in")
def test_one_kind_can_go_alone_even_where_it_is_broken(shell: Shell, inside: Inside) -> None:
    keys = shell.home / ".config/millstream/keys.toml"
    keys.write_text("broken")
    before = _files(shell)
    assert inside("reset", "--only", "keys", "--yes").returncode == 0
    assert before - _files(shell) == {".config/millstream/keys.toml"}


@pytest.mark.usefixtures("lived_in")
def test_the_state_of_a_gateway_that_runs_stays(shell: Shell, inside: Inside, serve: Serve) -> None:
    running = serve("--set", "default_model=replay/hello")
    shell.environ["MILLSTREAM_PORT"] = str(running.port)
    before = _files(shell)
    done = inside("reset", "--yes")
    assert done.returncode == 1
    assert f"a gateway runs at {running.url} and uses what would go: stop it first" in done.stderr
    assert before <= _files(shell)
    assert inside("reset", "--only", "settings", "--yes").returncode == 0


def test_links_are_deleted_and_not_what_they_lead_to(shell: Shell, inside: Inside) -> None:
    state = shell.home / ".local/state/millstream"
    state.mkdir(parents=True)
    own = shell.home / "own"
    own.mkdir()
    (own / "kept").write_text("x")
    (state / "logs").symlink_to(own)
    assert inside("reset", "--yes").returncode == 0
    assert not (state / "logs").is_symlink()
    assert (own / "kept").exists()
