"""``millstream chat`` in a real terminal and in pipes, on scripted upstreams."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from screen import Screen
from upstream_thread import UpstreamThread

from millstream.testing.upstream import scenario_of

if TYPE_CHECKING:
    from tests.cli.conftest import Serve, Shell

ANSWER = """
# Rivers

The *Nile* is long, \x1b[31mred\x1b[0m and [famous](http://example.org/nile).

1. Nile
2. Amazon

| river | km |
|-|-|
| Nile | 6650 |

```python
print("flow")
```
"""
RESET = {"kind": "reset", "after": 6}
STALL = {"kind": "stall", "after": 40}
LS = {"name": "Bash", "arguments": {"command": "ls"}}
LOOK = [{"name": "LS", "arguments": {"path": "."}}, {"name": "Read", "arguments": {"file_path": "absent.txt"}}]
SCENARIO = {
    "pace": {"event_ms": 1},
    "replies": [
        {"when": {"last_contains": "long story"}, "text": "It begins here. ", "repeat": 200, "fault": STALL},
        {"when": {"last_contains": "what did I ask"}, "text": "You asked."},
        {"when": {"last_contains": "break"}, "text": "This breaks off before its end.", "fault": RESET},
        {"when": {"last_contains": "refuse"}, "text": "-", "fault": {"kind": "status", "status": 401}},
        {"when": {"last_contains": "list files"}, "text": "Let me look.", "tool_calls": LOOK},
        {"when": {"last_role": "tool"}, "text": "There they are."},
        {"when": {"last_contains": "tool"}, "tool_calls": [LS]},
        {
            "reasoning": "The user asks about rivers.",
            "text": ANSWER,
            "usage": {"input_tokens": 90, "output_tokens": 40},
        },
    ],
    "strict": False,
}
CONFIG = '[providers.mine]\ndialect = "openai_chat"\nbase_url = "{url}/v1"\n'
MODEL = ("--model", "mine/any")


@pytest.fixture
def upstream(shell: Shell) -> Iterator[UpstreamThread]:
    """A scripted upstream, which the settings name ``mine``."""
    with UpstreamThread(scenario_of(SCENARIO, "rivers")) as running:
        shell.environ["MILLSTREAM_CONFIG"] = str(shell.config(CONFIG.format(url=running.url)))
        yield running


@pytest.fixture
def chat(shell: Shell, upstream: UpstreamThread) -> Iterator[Callable[..., Screen]]:
    """Starts chats in terminals, and waits for their first prompt."""
    with ExitStack() as stack:

        def start(*arguments: str, columns: int = 80, rows: int = 40, term: str = "xterm-256color") -> Screen:
            command = shell.command("chat", *MODEL, *arguments)
            screen = Screen(command, shell.environ, shell.home, columns=columns, rows=rows, term=term)
            stack.enter_context(screen)
            screen.until(lambda text: text.endswith("\n>"))
            return screen

        yield start


def _asked(upstream: UpstreamThread, number: int) -> list[tuple[str, str]]:
    body = json.loads(upstream.requests[number])
    return [(message["role"], message["content"]) for message in body["messages"]]


def _history(shell: Shell) -> Path:
    [found] = shell.home.rglob("chat-history")
    return found


def test_an_answer_is_laid_out_with_its_figures_and_ctrl_d_leaves(chat: Callable[..., Screen]) -> None:
    screen = chat()
    screen.press("Tell me about rivers\r")
    text = screen.until("90 in")
    lines = text.splitlines()
    assert "  The user asks about rivers." in lines
    assert "Rivers" in lines
    assert "The Nile is long, red and famous (http://example.org/nile)." in lines
    assert " 1 Nile" in lines
    assert '  print("flow")' in lines
    assert re.search(r"^first token \d+ (ms|s) · [\d,]+ tokens/s · 40 tokens · 90 in$", text, re.MULTILINE)
    assert b"\x1b[31mred" not in screen.raw
    screen.press("\x04")
    assert screen.ended() == 0


def test_ctrl_c_stops_the_answer_keeps_what_came_and_lets_go_of_the_upstream(
    chat: Callable[..., Screen], upstream: UpstreamThread
) -> None:
    screen = chat("--system", "Be brief.")
    screen.press("a long story\r")
    screen.until("It begins here.")
    screen.press("\x03")
    screen.until("(stopped)")
    upstream.until(lambda server: server.cancelled == 1)
    screen.until(lambda text: text.endswith("\n>"))
    screen.press("what did I ask\r")
    screen.until("You asked.")
    (system, instructions), question, (role, kept), second = _asked(upstream, 1)
    assert (system, instructions) == ("system", "Be brief.")
    assert question == ("user", "a long story")
    assert (role, kept.startswith("It begins here.")) == ("assistant", True)
    assert second == ("user", "what did I ask")


def test_questions_are_remembered_for_the_next_chat_by_their_user_alone(
    chat: Callable[..., Screen], shell: Shell
) -> None:
    first = chat()
    first.press("break it\r")
    first.until("> break it")
    first.until(lambda text: text.endswith("\n>"))
    first.press("\x04")
    assert first.ended() == 0
    assert stat.S_IMODE(_history(shell).stat().st_mode) == 0o600
    second = chat()
    second.press("\x1b[A")
    second.until("> break it")


def test_commands_change_the_conversation(chat: Callable[..., Screen], upstream: UpstreamThread) -> None:
    screen = chat()
    screen.press("/modle\r")
    screen.until("there is no /modle; did you mean /model?")
    screen.press("/model\r")
    assert "others: embedded" in screen.until("others:")
    screen.press("/model groq/openai/gpt-oss-20b\r")
    screen.until("groq has no key: set GROQ_API_KEY, or choose another model")
    screen.press("/model mine/second\r")
    screen.until("model mine/second")
    screen.press("rivers\r")
    screen.until("90 in")
    screen.press("/clear\r")
    screen.until("(a new conversation)")
    screen.press("what did I ask\r")
    screen.until("You asked.")
    assert _asked(upstream, 1) == [("user", "what did I ask")]
    assert json.loads(upstream.requests[0])["model"] == "second"
    screen.press("/help\r")
    screen.until("Ctrl-C stops")
    screen.press("/exit\r")
    assert screen.ended() == 0


def test_what_goes_wrong_is_told_in_words_and_the_chat_goes_on(chat: Callable[..., Screen]) -> None:
    screen = chat()
    screen.press("refuse\r")
    screen.until("Is the key of mine right?")
    screen.until(lambda text: text.endswith("\n>"))
    screen.press("break off\r")
    screen.until("This breaks off")
    screen.until(lambda text: text.endswith("\n>"))
    screen.press("use a tool\r")
    screen.until('calls Bash {"command":"ls"}')
    screen.until(lambda text: text.endswith("\n>"))
    screen.press("\x03")
    screen.until("(Ctrl-D leaves)")
    screen.press("rivers\r")
    screen.until("6650")


@pytest.mark.parametrize("columns", [40, 100])
def test_no_line_is_wider_than_the_terminal_nor_coloured_against_the_users_wish(
    chat: Callable[..., Screen], shell: Shell, columns: int
) -> None:
    shell.environ["NO_COLOR"] = "1"
    screen = chat(columns=columns)
    screen.press("rivers\r")
    screen.until("90 in")
    assert not re.search(rb"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7]|38|48)[;m]", screen.raw)
    assert "  The user asks about rivers." in screen.text


@pytest.mark.parametrize("option", [("xterm-256color", "--plain"), ("dumb",)])
def test_a_simple_terminal_gets_text_that_only_grows(chat: Callable[..., Screen], option: tuple[str, ...]) -> None:
    screen = chat(*option[1:], term=option[0])
    screen.press("rivers\r")
    text = screen.until("40 tokens")
    assert "[thinking] The user asks about rivers." in text
    assert "| Nile | 6650 |" in text
    assert b"\x1b" not in screen.raw
    screen.press("\x04")
    assert screen.ended() == 0


@pytest.mark.parametrize("plain", [False, True])
def test_tools_of_the_gateway_are_seen_at_work(shell: Shell, upstream: UpstreamThread, plain: bool) -> None:
    (shell.home / "seen.txt").write_text("here\n")
    settings = shell.config(CONFIG.format(url=upstream.url) + f"[tools.workspace]\nroot = {str(shell.home)!r}\n")
    command = shell.command("chat", *MODEL, "--config", str(settings), "--tools", *["--plain"] * plain, "list files")
    with Screen(command, shell.environ, shell.home, columns=300) as screen:
        text = screen.until("There they are.")
        assert screen.ended() == 0
    assert re.search(r"^✓ LS \d+ ms .*seen\.txt", text, re.MULTILINE)
    assert re.search(r"^✗ Read \d+ ms .*absent\.txt", text, re.MULTILINE)
    assert text.index("Let me look.") < text.index("LS") < text.index("There they are.")


def test_a_running_gateway_of_the_same_settings_is_used_and_left_alone(
    shell: Shell, upstream: UpstreamThread, serve: Serve
) -> None:
    running = serve()
    shell.environ["MILLSTREAM_PORT"] = str(running.port)
    done = shell.run("chat", *MODEL, "what did I ask")
    assert (done.returncode, done.stdout) == (0, "You asked.\n")
    assert running.process.poll() is None
    assert not list(shell.home.rglob("gateway-*.log"))


def test_in_a_pipe_only_the_answer_is_written(shell: Shell, upstream: UpstreamThread) -> None:
    done = shell.run("chat", *MODEL, stdin="about rivers\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ANSWER.lstrip("\n").replace("\x1b[31m", "").replace("\x1b[0m", "")
    assert _asked(upstream, 0) == [("user", "about rivers")]


def test_a_question_and_what_is_piped_are_asked_together(shell: Shell, upstream: UpstreamThread) -> None:
    shell.run("chat", *MODEL, "Explain", "this:", stdin="a diff\n")
    assert _asked(upstream, 0) == [("user", "Explain this:\n\na diff")]


def test_a_locale_without_the_answers_letters_gets_the_nearest(shell: Shell, upstream: UpstreamThread) -> None:
    shell.environ["PYTHONIOENCODING"] = "ascii"
    done = shell.run("chat", *MODEL, stdin="rivers in Österreich\n")
    assert (done.returncode, "Nile" in done.stdout) == (0, True)


@pytest.mark.parametrize(("question", "told"), [("break", "cut off|broke off|connection"), ("refuse", "Is the key of")])
def test_a_failure_has_its_reason_and_status(shell: Shell, upstream: UpstreamThread, question: str, told: str) -> None:
    done = shell.run("chat", *MODEL, question)
    assert done.returncode == 1
    assert re.fullmatch(rf"millstream: .*({told}).*\n", done.stderr)
    assert done.stdout == ("" if question == "refuse" else done.stdout)


def test_ctrl_c_in_a_pipe_keeps_what_came_and_has_its_own_status(shell: Shell, upstream: UpstreamThread) -> None:
    command = shell.command("chat", *MODEL, "a long story")
    with subprocess.Popen(
        command, env=shell.environ, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        first = process.stdout.read(15)
        process.send_signal(2)
        rest, _ = process.communicate(timeout=60)
    assert first == "It begins here."
    assert process.returncode == 130
    assert rest.endswith("\n")
    upstream.until(lambda server: server.cancelled == 1)


def test_a_dead_upstream_is_named(shell: Shell) -> None:
    shell.config(CONFIG.format(url="http://127.0.0.1:1"))
    done = shell.run("chat", "--config", "settings.toml", *MODEL, "hi")
    assert done.returncode == 1
    assert "could not reach mine at http://127.0.0.1:1/v1 (connection refused)" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "groq/openai/gpt-oss-20b", "hi"], "groq has no key: set GROQ_API_KEY"),
        (["--model", "grok/x", "hi"], "--model: no model 'grok/x' here"),
        (["--model", "replay/hello"], "nothing was asked"),
    ],
)
def test_a_mistake_is_told_before_anything_starts(shell: Shell, arguments: list[str], told: str) -> None:
    done = shell.run("chat", *arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert not list(shell.home.rglob("gateway-*.log"))


def test_a_gateway_that_dies_is_told_of(
    shell: Shell, upstream: UpstreamThread, serve: Serve, chat: Callable[..., Screen]
) -> None:
    running = serve()
    shell.environ["MILLSTREAM_PORT"] = str(running.port)
    screen = chat()
    screen.press("a long story\r")
    screen.until("It begins here.")
    running.process.kill()
    screen.until("the gateway broke off its answer. Is it running")
    screen.until(lambda text: text.endswith("\n>"))
    screen.press("what did I ask\r")
    screen.until("the gateway does not answer: Connection refused")


def test_what_is_typed_during_an_answer_comes_after_it(chat: Callable[..., Screen], upstream: UpstreamThread) -> None:
    screen = chat()
    screen.press("rivers\rwhat did I ask\r")
    text = screen.until("You asked.")
    assert text.index("90 in") < text.index("> what did I ask")


def test_without_a_place_for_its_history_a_chat_keeps_none(chat: Callable[..., Screen], shell: Shell) -> None:
    if os.geteuid() == 0:
        blocked = shell.home / ".local/state/millstream/chat-history"
        blocked.mkdir(parents=True)
    else:
        (shell.home / ".local/state/millstream").mkdir(parents=True, mode=0o500)
    screen = chat()
    screen.press("what did I ask\r")
    screen.until("You asked.")


def test_help_has_examples_as_they_are_to_be_typed(shell: Shell) -> None:
    assert '  millstream chat "What is a monad?"\n' in shell.run("chat", "--help").stdout


def test_start_up_of_other_commands_does_not_wait_for_what_only_a_chat_needs(shell: Shell) -> None:
    script = (
        "import sys, millstream.cli.main; print([n for n in ('prompt_toolkit', 'markdown_it') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], env=shell.environ, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"
