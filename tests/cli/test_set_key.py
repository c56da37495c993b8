"""``millstream set-key``: where keys end up, who finds them there, what wins, and that none is ever shown."""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from screen import Screen

from millstream.cli import keys
from millstream.providers import catalog

if TYPE_CHECKING:
    from tests.cli.conftest import Inside, Shell

KEY = "gsk_0123456789abcdefWXYZ"
OTHER = "gsk_9876543210fedcbaSTUV"
SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture(autouse=True)
def no_keyring(shell: Shell) -> None:
    """The keyring of whoever runs the tests is not to be written to."""
    shell.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"


def _stored(shell: Shell) -> Path:
    return shell.home / ".config/millstream/keys.toml"


def _keyring(shell: Shell, name: str) -> Path:
    held = shell.home / "keyring.json"
    shell.environ |= {"PYTHON_KEYRING_BACKEND": f"file_keyring.{name}", "TEST_KEYRING": str(held)}
    shell.environ["PYTHONPATH"] = f"{SUPPORT}:{shell.environ.get('PYTHONPATH', '')}"
    return held


def _row(shell: Shell, name: str) -> dict[str, Any]:
    done = shell.run("provider", "--json")
    assert done.returncode == 0, done.stderr
    return next(row for row in json.loads(done.stdout) if row["name"] == name)


def test_a_key_goes_to_a_file_that_only_its_owner_reads_and_is_found_there(shell: Shell) -> None:
    done = shell.run("set-key", "groq", "--stdin", stdin=f"{KEY}\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"The key of groq, gsk_…WXYZ, is in {_stored(shell)}.\n"
    assert stat.S_IMODE(_stored(shell).stat().st_mode) == 0o600
    assert stat.S_IMODE(_stored(shell).parent.stat().st_mode) == 0o700
    assert tomllib.loads(_stored(shell).read_text()) == {"GROQ_API_KEY": KEY}
    row = _row(shell, "groq")
    assert (row["usable"], row["default"], row["key"], row["key_source"]) == (
        True,
        True,
        "gsk_…WXYZ",
        str(_stored(shell)),
    )


def test_a_folder_and_file_that_others_could_read_are_closed(shell: Shell) -> None:
    _stored(shell).parent.mkdir(parents=True, mode=0o755)
    _stored(shell).write_text('OPENAI_API_KEY = "sk-0123456789abcdef"\n')
    _stored(shell).chmod(0o644)
    assert shell.run("set-key", "groq", KEY).returncode == 0
    assert stat.S_IMODE(_stored(shell).stat().st_mode) == 0o600
    assert stat.S_IMODE(_stored(shell).parent.stat().st_mode) == 0o700
    assert set(tomllib.loads(_stored(shell).read_text())) == {"GROQ_API_KEY", "OPENAI_API_KEY"}


def test_the_environment_wins_over_what_is_stored(shell: Shell) -> None:
    shell.run("set-key", "groq", KEY)
    shell.environ["GROQ_API_KEY"] = OTHER
    row = _row(shell, "groq")
    assert (row["key"], row["key_source"]) == ("gsk_…STUV", "environment, GROQ_API_KEY")
    assert "wins over what is stored" in shell.run("set-key", "groq", KEY).stderr


def test_a_stored_key_serves_every_provider_that_shares_its_variable(shell: Shell) -> None:
    shell.run("set-key", "moonshot", "sk-0123456789abcdefghij")
    assert _row(shell, "moonshot")["usable"]
    assert _row(shell, "moonshot-anthropic")["usable"]


def test_a_key_that_works_in_the_keyring_is_kept_there_alone(shell: Shell) -> None:
    held = _keyring(shell, "Works")
    done = shell.run("set-key", "groq", KEY)
    assert "is in the system's keyring." in done.stdout
    assert json.loads(held.read_text()) == {"millstream GROQ_API_KEY": KEY}
    assert tomllib.loads(_stored(shell).read_text()) == {"GROQ_API_KEY": {"keyring": True}}
    row = _row(shell, "groq")
    assert (row["key"], row["key_source"]) == ("gsk_…WXYZ", "the system's keyring")
    assert shell.run("set-key", "groq", "--delete").returncode == 0
    assert json.loads(held.read_text()) == {}
    assert not _stored(shell).exists()


def test_a_key_that_moves_to_the_file_leaves_the_keyring(shell: Shell) -> None:
    held = _keyring(shell, "Works")
    shell.run("set-key", "groq", KEY)
    shell.run("set-key", "groq", OTHER, "--store", "file")
    assert json.loads(held.read_text()) == {}
    assert _row(shell, "groq")["key"] == "gsk_…STUV"


def test_a_keyring_that_fails_gives_way_to_the_file_unless_it_was_asked_for(shell: Shell) -> None:
    _keyring(shell, "Locked")
    assert str(_stored(shell)) in shell.run("set-key", "groq", KEY).stdout
    done = shell.run("set-key", "groq", KEY, "--store", "keyring")
    assert done.returncode == 1
    assert "keyring cannot be used: it fails (KeyringLocked) (--store file keeps it in a file)" in done.stderr


def test_a_keyring_that_does_not_give_its_key_costs_only_that_provider(shell: Shell) -> None:
    _keyring(shell, "Works")
    shell.run("set-key", "groq", KEY)
    _keyring(shell, "Locked")
    done = shell.run("provider", "--json")
    assert done.stderr.count("does not give the key GROQ_API_KEY (KeyringLocked)") == 1
    assert not next(row for row in json.loads(done.stdout) if row["name"] == "groq")["usable"]


@pytest.mark.parametrize(
    ("provider", "key", "told"),
    [
        ("groq", "sk-ant-0123456789abcdef", "keys of groq begin with gsk_; this looks like one of anthropic"),
        ("openai", "sk-ant-0123456789abcdef", "that looks like a key of anthropic, not of openai"),
        ("gemini", KEY, "that looks like a key of groq, not of gemini"),
        ("groq", "gsk_0123", "that is only 8 characters long"),
        ("groq", "gsk_0123456789 abcdef", "a key has no spaces, and only plain letters, digits and signs"),
        ("groq", "gsk_0123456789äabcdef", "a key has no spaces, and only plain letters, digits and signs"),
        ("groq", "gsk_" + "a" * 5000, "that is 5004 characters long"),
        ("groq", "", "that is empty"),
        ("groq", KEY, None),
        ("openai", "sk-proj-0123456789abcdef", None),
        ("moonshot", "sk-0123456789abcdef", None),
        ("mistral", "0123456789abcdef", None),
    ],
)
def test_what_is_wrong_with_a_key_is_said_without_quoting_it(provider: str, key: str, told: str | None) -> None:
    assert keys.problem(key, catalog.rows()[provider], provider) == told


def test_a_key_of_a_wrong_shape_is_stored_only_on_demand(shell: Shell) -> None:
    done = shell.run("set-key", "groq", "--stdin", stdin="sk-ant-0123456789abcdef")
    assert done.returncode == 2
    assert "keys of groq begin with gsk_" in done.stderr
    assert "0123" not in done.stderr
    assert not _stored(shell).exists()
    assert shell.run("set-key", "groq", "--stdin", "--any-shape", stdin="sk-ant-0123456789abcdef").returncode == 0
    assert _stored(shell).exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["set-key", "grok"], "no provider 'grok' here; did you mean groq?"),
        (["set-key", "ollama", "x"], "ollama needs no key"),
        (["set-key", "groq"], "no terminal to ask at: pipe the key in with --stdin, or use --from-env"),
        (["set-key", "groq", "--stdin"], "there is no key on standard input"),
        (["set-key", "groq", "--from-env"], "GROQ_API_KEY is not set in this shell"),
        (["set-key", "groq", KEY, "--store", "cloud"], "'cloud' is not one of auto, keyring, file"),
        (["set-key"], "Missing argument 'provider'"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(inside: Inside, arguments: list[str], told: str) -> None:
    done = inside(*arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert told in done.stderr
    assert KEY not in done.stderr


def test_a_file_of_keys_that_is_broken_is_named_and_not_quoted(shell: Shell, inside: Inside) -> None:
    _stored(shell).parent.mkdir(parents=True)
    _stored(shell).write_text(f"GROQ_API_KEY = {KEY}\n")
    done = inside("models")
    assert done.returncode == 2
    assert f"{_stored(shell)} is not valid TOML" in done.stderr
    assert KEY not in done.stderr


def test_a_key_is_typed_unseen(shell: Shell) -> None:
    with Screen(shell.command("set-key", "groq"), shell.environ, shell.home) as screen:
        screen.until("Key of groq (not shown):")
        screen.press(f"{KEY}\r")
        assert screen.ended() == 0
        assert "The key of groq, gsk_…WXYZ, is in" in screen.text
        assert KEY.encode() not in screen.raw
    assert KEY in _stored(shell).read_text()


def test_ctrl_c_at_the_question_stores_nothing(shell: Shell) -> None:
    with Screen(shell.command("set-key", "groq"), shell.environ, shell.home) as screen:
        screen.until("Key of groq (not shown):")
        screen.press("\x03")
        assert screen.ended() == 130
    assert not _stored(shell).exists()


def test_an_agent_that_is_launched_does_not_get_stored_keys(shell: Shell, agent: Any) -> None:
    made = agent()
    shell.run("set-key", "groq", KEY)
    assert shell.run("launch", "claude", "--bin", str(made.path)).returncode == 0
    assert KEY not in json.dumps(made.told["environ"])
