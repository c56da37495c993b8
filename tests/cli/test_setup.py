"""``millstream setup`` at terminals of every kind, and in pipes: each answer, each flag, and what stands in its way."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from screen import Screen

from millstream.cli.setup import alias

if TYPE_CHECKING:
    from tests.cli.conftest import Agent, Inside, Serve, Shell

KEY = "gsk_0123456789abcdefWXYZ"
OTHER = "gsk_9876543210fedcbaSTUV"
MODEL = "groq/moonshotai/kimi-k2-instruct-0905"
NO_TEST = ("--no-test", "--no-alias")
FLAGS = ("setup", "--provider", "groq", "--key-from-env", "--yes")


@pytest.fixture(autouse=True)
def no_keyring(shell: Shell) -> None:
    shell.environ |= {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring", "SHELL": "/bin/bash"}


def _folder(shell: Shell) -> Path:
    return shell.home / ".config/millstream"


def _written(shell: Shell) -> dict[str, object]:
    """All that settings and keys say."""
    found: dict[str, object] = {}
    for name in ("config.toml", "keys.toml"):
        file = _folder(shell) / name
        found |= tomllib.loads(file.read_text()) if file.exists() else {}
    return found


def _at_terminal(shell: Shell, *arguments: str, columns: int = 100, term: str = "xterm-256color") -> Screen:
    return Screen(shell.command("setup", *arguments), shell.environ, shell.home, columns=columns, term=term)


def _groq_at(shell: Shell, url: str) -> None:
    """The settings of someone whose groq is at ``url``."""
    _folder(shell).mkdir(parents=True)
    (_folder(shell) / "config.toml").write_text(f'# mine\n[providers.groq]\nbase_url = "{url}/v1"\n')


@pytest.fixture
def groq(shell: Shell, serve: Serve) -> None:
    """A provider that takes ``KEY`` and no other."""
    right = ["--set", f"server.api_key={KEY}", "--unknown-model", "default"]
    _groq_at(shell, serve("--set", "default_model=replay/hello", *right).url)


@pytest.mark.usefixtures("groq")
def test_every_question_answered_leads_to_settings_a_key_and_an_alias(
    shell: Shell, agent: Callable[[str], Agent]
) -> None:
    made = agent("print('2.1.329 (Claude Code)')")
    shell.environ["PATH"] = f"{made.path.parent}:{shell.environ['PATH']}"
    with _at_terminal(shell) as screen:
        screen.until("Number or name, or skip [groq]:")
        assert "✓ Claude Code 2.1.329" in screen.text
        assert "– Codex CLI: npm install -g @openai/codex" in screen.text
        assert "$0.60 / $2.50   platform.moonshot.ai\n" in screen.text
        screen.press("99\r")
        screen.until("Please choose one of")
        screen.press("1\r")
        screen.until("Key of groq (not shown; nothing skips):")
        assert "Get a key of groq at https://console.groq.com/keys\n" in screen.text
        screen.press("sk-ant-0123456789abcdef\r")
        screen.until("keys of groq begin with gsk_; this looks like one of anthropic. Use it all the same? [y/N]:")
        screen.press("\r")
        screen.until(lambda text: text.count("not shown; nothing skips") == 2)
        screen.press(f"{OTHER}\r")
        screen.until("Model [moonshotai/kimi-k2-instruct-0905]:")
        screen.press("\r")
        screen.until("Make a test call now (a few tokens)? [Y/n]:")
        screen.press("maybe\r")
        screen.until("Please answer y or n.")
        screen.press("\r")
        screen.until("Now? (1 another key, 2 keep it, 3 stop) [key]:")
        assert f"✗ {MODEL}:" in screen.text
        screen.press("\r")
        screen.until(lambda text: text.count("not shown; nothing skips") == 3)
        screen.press(f"{KEY}\r")
        screen.until(lambda text: text.count("Make a test call now") == 3)
        screen.press("y\r")
        screen.until(f"Write default_model = '{MODEL}' to")
        assert f"✓ {MODEL}: answers; first token after" in screen.text
        screen.press("\r")
        screen.until("Put it there? [y/N]:")
        screen.press("y\r")
        screen.until("Its name [claude-groq]:")
        screen.press("claude\r")
        screen.until("claude is a program already")
        screen.press("cg\r")
        assert screen.ended() == 0
        assert "Now: millstream launch claude" in screen.text
        assert KEY.encode() not in screen.raw
    assert _written(shell)["default_model"] == MODEL
    assert _written(shell)["GROQ_API_KEY"] == KEY
    assert (_folder(shell) / "config.toml").read_text().startswith("# mine\n")
    assert "alias cg=" in (shell.home / ".bashrc").read_text()


def test_every_step_can_be_skipped(shell: Shell) -> None:
    with _at_terminal(shell) as screen:
        screen.until("Number or name, or skip")
        assert "None is here yet. millstream chat works without one." in screen.text
        screen.press("skip\r")
        assert screen.ended() == 0
    with _at_terminal(shell) as screen:
        screen.until("Number or name, or skip")
        screen.press("openai\r")
        screen.until("Key of openai (not shown; nothing skips):")
        screen.press("\r")
        assert screen.ended() == 0
        assert "Skipped: nothing is written." in screen.text
    with _at_terminal(shell, "--provider", "groq", "--no-test") as screen:
        screen.until("Key of groq")
        screen.press(f"{KEY}\r")
        screen.until("Model [")
        screen.press("\r")
        screen.until("Write default_model")
        screen.press("n\r")
        assert screen.ended() == 0
    assert not _folder(shell).exists()


def test_what_cannot_be_a_models_name_is_asked_for_again(shell: Shell) -> None:
    with _at_terminal(shell, "--provider", "groq", *NO_TEST) as screen:
        screen.until("Key of groq")
        screen.press(f"{KEY}\r")
        screen.until("Model [")
        screen.press("kimi k2\r")
        screen.until("Hm: 'kimi k2' cannot be a model's name")
        screen.until(lambda text: text.count("Model [") == 2)
        screen.press("kimi-k2\r")
        screen.until("Write default_model = 'groq/kimi-k2'")
        screen.press("\r")
        assert screen.ended() == 0
    assert _written(shell)["default_model"] == "groq/kimi-k2"


@pytest.mark.parametrize("model", ["a b", "a\nb", "a\udcff"])
def test_a_model_that_would_break_the_settings_is_not_written(shell: Shell, inside: Inside, model: str) -> None:
    shell.environ["GROQ_API_KEY"] = KEY
    done = inside(*FLAGS, *NO_TEST, "--model", model)
    assert done.returncode == 2
    assert "cannot be a model's name" in done.stderr
    assert not _folder(shell).exists()


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_leaving_in_the_middle_writes_nothing(shell: Shell, key: str) -> None:
    with _at_terminal(shell, "--provider", "groq", "--no-test") as screen:
        screen.until("Key of groq")
        screen.press(f"{KEY}\r")
        screen.until("Model [")
        screen.press(key)
        assert screen.ended() == 130
    assert not _folder(shell).exists()


def test_a_key_in_the_environment_is_offered_and_left_there(shell: Shell) -> None:
    shell.environ["GROQ_API_KEY"] = KEY
    with _at_terminal(shell, *NO_TEST) as screen:
        screen.until("Number or name, or skip [groq]:")
        screen.press("\r")
        screen.until("A key is in GROQ_API_KEY: gsk_…WXYZ. Use it? [Y/n]:")
        screen.press("\r")
        screen.until("Model [")
        screen.press("openai/gpt-oss-120b\r")
        screen.until("Write default_model")
        screen.press("\r")
        assert screen.ended() == 0
    assert _written(shell) == {"default_model": "groq/openai/gpt-oss-120b"}


@pytest.mark.usefixtures("groq")
def test_flags_answer_everything_and_may_be_repeated(shell: Shell) -> None:
    shell.environ["GROQ_API_KEY"] = KEY
    done = shell.run(*FLAGS, "--alias", "claude-groq")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"✓ {MODEL}: answers; first token after" in done.stdout
    assert KEY not in done.stdout
    assert _written(shell)["GROQ_API_KEY"] == KEY
    rc = (shell.home / ".bashrc").read_text()
    again = shell.run(*FLAGS, "--no-test", "--alias", "claude-groq")
    assert "Already in" in again.stdout
    assert "is already in" in again.stdout
    assert (shell.home / ".bashrc").read_text() == rc


def test_yes_alone_writes_no_alias(shell: Shell, agent: Callable[[str], Agent]) -> None:
    made = agent("")
    shell.environ |= {"GROQ_API_KEY": KEY, "PATH": f"{made.path.parent}:{shell.environ['PATH']}"}
    assert shell.run(*FLAGS, "--no-test").returncode == 0
    assert not (shell.home / ".bashrc").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "there is no terminal: give --yes, --provider NAME (such as groq)"),
        (["--provider", "groq", "--yes"], "--yes was given: give --key-from-env (takes GROQ_API_KEY) or --key-stdin"),
        (["--provider", "grok", "--yes"], "no provider 'grok' here; did you mean groq?"),
        (["--provider", "groq", "--key-from-env", "--yes"], "GROQ_API_KEY is not set in this shell"),
        (["--provider", "groq", "--key-stdin", "--yes"], "keys of groq begin with gsk_"),
        (["--provider", "ollama", "--yes"], "ollama has no default model: name one with --model"),
        (["--alias", "a b", "--yes"], "'a b' cannot be the name of an alias"),
        (["--alias", "x", "--agent", "clod", "--yes"], "no agent 'clod'; there are claude, codex, gemini, opencode"),
    ],
)
def test_in_a_pipe_what_is_missing_is_named(shell: Shell, inside: Inside, arguments: list[str], told: str) -> None:
    done = inside("setup", *arguments, stdin="sk-ant-0123456789abcdef\n")
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert not _folder(shell).exists()


def test_without_network_the_call_says_so_and_nothing_is_written(shell: Shell) -> None:
    _groq_at(shell, "http://127.0.0.1:9")
    before = _written(shell)
    shell.environ["GROQ_API_KEY"] = KEY
    done = shell.run(*FLAGS)
    assert done.returncode == 1
    assert f"✗ {MODEL}: could not reach groq" in done.stdout
    assert "--no-test writes the settings all the same" in done.stderr
    assert _written(shell) == before


@pytest.mark.usefixtures("groq")
def test_a_port_that_is_taken_is_in_nobodys_way(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        shell.environ |= {"GROQ_API_KEY": KEY, "MILLSTREAM_PORT": str(taken.getsockname()[1])}
        assert shell.run(*FLAGS).returncode == 0


def test_a_settings_file_that_is_named_and_not_there_yet_is_made(shell: Shell) -> None:
    _groq_at(shell, "http://127.0.0.1:9")
    shell.environ |= {"GROQ_API_KEY": KEY, "MILLSTREAM_CONFIG": str(shell.home / "new/gateway.toml")}
    assert shell.run(*FLAGS, "--no-test").returncode == 0
    assert tomllib.loads((shell.home / "new/gateway.toml").read_text()) == {"default_model": MODEL}


def _cannot_bind() -> bool:
    if shutil.which("bwrap") is None:
        return True
    return subprocess.run(["bwrap", "--dev-bind", "/", "/", "true"], capture_output=True).returncode != 0


@pytest.mark.skipif(_cannot_bind(), reason="needs bwrap")
def test_a_read_only_folder_is_said_in_one_line_and_left_as_it_was(shell: Shell) -> None:
    _groq_at(shell, "http://127.0.0.1:9")
    shell.environ["GROQ_API_KEY"] = KEY
    before = _written(shell)
    bound = ["bwrap", "--dev-bind", "/", "/", "--ro-bind", str(_folder(shell)), str(_folder(shell))]
    done = subprocess.run(
        [*bound, *shell.command(*FLAGS, "--no-test")], env=shell.environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    told = f"millstream: cannot write {_folder(shell)}/config.toml: Read-only file system\n"
    assert done.stderr == told
    assert _written(shell) == before


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_asked(shell: Shell) -> None:
    _folder(shell).parent.mkdir()
    _folder(shell).write_text("not a folder")
    with _at_terminal(shell) as screen:
        screen.until("Number or name, or skip")
        told = "".join(screen.text.split())
        assert f"Note:{_folder(shell)}/config.tomlcannotbewritten(Notadirectory):" in told
        screen.press("skip\r")
        assert screen.ended() == 0


@pytest.mark.parametrize(
    ("environ", "columns", "term"),
    [
        ({"NO_COLOR": "1"}, 40, "xterm-256color"),
        ({"LC_ALL": "en_US.ISO-8859-1", "PYTHONUTF8": "0", "PYTHONIOENCODING": "iso-8859-1"}, 100, "xterm"),
        ({}, 80, "dumb"),
    ],
    ids=["40 columns without colour", "latin-1", "dumb"],
)
def test_terminals_that_can_do_less_are_served(shell: Shell, environ: dict[str, str], columns: int, term: str) -> None:
    shell.environ |= {**environ, "GROQ_API_KEY": KEY}
    with _at_terminal(shell, *NO_TEST, columns=columns, term=term) as screen:
        screen.until("or skip [groq]:")
        screen.press("groq\r")
        screen.until("it? [Y/n]:")
        screen.press("\r")
        screen.until("[moonshotai/kimi-k2-instruct-0905]:")
        screen.press("\r")
        screen.until(lambda text: "Write default_model" in text and text.endswith("[Y/n]:"))
        screen.press("\r")
        assert screen.ended() == 0
        assert "Traceback" not in screen.text
        if "PYTHONIOENCODING" in environ:
            screen.raw.decode("latin-1")
            assert b"\xe2" not in screen.raw
            assert "gsk_...WXYZ" in screen.text
        if term == "dumb":
            assert b"\x1b[3" not in screen.raw
        if "NO_COLOR" in environ:
            assert not any(f"\x1b[{colour}m".encode() in screen.raw for colour in (31, 32, 33))
            assert max(len(line) for line in screen.text.splitlines()) <= 40
            assert "\n 4 gemini  fast  1M  $0.75 / $3.75\n    aistudio.google.com\n" in screen.text
            assert "\nModel\n[moonshotai/kimi-k2-instruct-0905]:\n" in screen.text
    assert _written(shell) == {"default_model": MODEL}


@pytest.mark.parametrize(
    ("name", "file", "line"),
    [
        ("bash", ".bashrc", "alias cc='run it --'"),
        ("zsh", ".zshrc", "alias cc='run it --'"),
        ("fish", ".config/fish/conf.d/millstream.fish", "alias cc 'run it --'"),
    ],
)
def test_each_shell_gets_its_own_alias_in_its_own_file(
    tmp_path: Path, name: str, file: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    shell = alias.own_shell({"HOME": str(tmp_path), "SHELL": f"/usr/bin/{name}"})
    assert shell is not None
    assert shell.file == tmp_path / file
    assert alias.write(shell, "cc", "run it --")
    assert shell.file.read_text() == f"{line}  # added by millstream setup\n"
    alias.remove(shell.file)
    assert not shell.file.exists() or shell.file.read_text() == ""


def test_what_others_have_in_the_start_up_file_stays_byte_by_byte(tmp_path: Path) -> None:
    shell = alias.Shell("bash", tmp_path / ".bashrc")
    others = b"export A=\xff\x0c1\r\nalias cc='mine'\nalias ccc='x'"
    shell.file.write_bytes(others)
    alias.write(shell, "cc", "one")
    alias.write(shell, "ccc", "three")
    assert alias.write(shell, "cc", "two")
    assert not alias.write(shell, "cc", "two")
    assert [line.partition("  #")[0] for line in alias.ours(shell.file)] == ["alias cc=two", "alias ccc=three"]
    alias.remove(shell.file)
    assert shell.file.read_bytes() == others + b"\n"
