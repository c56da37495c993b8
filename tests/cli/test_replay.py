"""``millstream replay``: recordings and scenarios on the screen, as bytes and as an upstream."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from anthropic import Anthropic
from screen import Screen

if TYPE_CHECKING:
    from tests.cli.conftest import Serve, Shell

LIMIT = 60.0
CHUNK = 'data: {{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{}]}}\n\n'
WORDS = ("Rivers ", "are ", "**long**.")
SCENARIO = """
[[replies]]
when = { last_contains = "weather" }
text = "It rains."
[[replies]]
text = "Hello \\u001b[31mthere."
"""


@pytest.fixture
def recording(shell: Shell) -> Path:
    """A stream of openai_chat whose last word took two seconds."""
    folder = shell.home / "recording"
    folder.mkdir()
    chunks = [f'{{"index":0,"delta":{{"content":"{word}"}}}}' for word in WORDS]
    events = [CHUNK.format(chunk) for chunk in chunks]
    events += [CHUNK.format('{"index":0,"delta":{},"finish_reason":"stop"}'), "data: [DONE]\n\n"]
    (folder / "response.sse").write_text("".join(events))
    meta = {"dialect": "openai_chat", "http_status": 200, "event_ms": [0, 500, 2500, 2500, 2500]}
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder


@pytest.fixture
def scenario(shell: Shell) -> Path:
    path = shell.home / "scenario.toml"
    path.write_text(SCENARIO)
    return path


def test_a_recording_comes_at_its_own_pace_and_has_its_own_figures(shell: Shell, recording: Path) -> None:
    began = time.monotonic()
    with Screen(shell.command("replay", "recording"), shell.environ, shell.home) as screen:
        text = screen.until("tokens/s")
        assert screen.ended() == 0
    assert time.monotonic() - began > 2.5
    assert "Rivers are long." in text
    assert "~2 tokens/s" in text or "~3 tokens/s" in text


def test_the_figures_are_the_same_however_fast_it_is_played(shell: Shell, recording: Path) -> None:
    command = shell.command("replay", "recording", "--speed", "1000")
    with Screen(command, shell.environ, shell.home) as screen:
        text = screen.until("tokens/s")
    assert "~2 tokens/s" in text or "~3 tokens/s" in text


def test_a_client_of_the_recordings_api_would_get_its_very_bytes(shell: Shell, recording: Path) -> None:
    done = shell.run("replay", "recording", "--as", "openai_chat", "--speed", "1000")
    assert done.stdout == (recording / "response.sse").read_text()


@pytest.mark.parametrize(
    ("dialect", "sign"),
    [
        ("anthropic", "event: message_stop"),
        ("openai_responses", '"type":"response.completed"'),
        ("gemini", '"finishReason":"STOP"'),
    ],
)
def test_others_get_it_in_their_own_words(shell: Shell, recording: Path, dialect: str, sign: str) -> None:
    done = shell.run("replay", "recording/response.sse", "--as", dialect, "--speed", "1000")
    assert (done.returncode, sign in done.stdout) == (0, True)


def test_a_scenario_answers_what_it_is_asked_and_no_control_passes(shell: Shell, scenario: Path) -> None:
    assert shell.run("replay", "scenario.toml").stdout == "Hello there.\n"
    assert shell.run("replay", "scenario.toml", "--question", "the weather?").stdout == "It rains.\n"


def test_as_an_upstream_it_answers_a_stock_client_until_ctrl_c(shell: Shell, recording: Path) -> None:
    command = shell.command("replay", "recording", "--serve", "--speed", "1000")
    with subprocess.Popen(
        command, env=shell.environ, cwd=shell.home, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            with Anthropic(base_url=url, api_key="any") as client:
                message = client.messages.create(
                    model="any", max_tokens=10, messages=[{"role": "user", "content": "Tell me about rivers"}]
                )
            process.send_signal(2)
            _, errors = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    assert [block.text for block in message.content if block.type == "text"] == ["".join(WORDS)]
    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    ("text", "status", "told"),
    [
        ('[[replies]]\ntext = "one two three"\nfault = { kind = "reset", after = 4 }\n', 1, "cut off"),
        ('[[replies]]\ntext = "-"\nfault = { kind = "status", status = 429 }\n', 1, "the scenario says so"),
        ('[[replies]]\ntext = "one two"\nfault = { kind = "stall", after = 4 }\n', 1, "here it stalls for ever"),
        ('[[replies]]\nwhen = { tool = "Bash" }\ntext = "-"\n', 2, "no reply for request 1"),
        ('[[replies]]\ntxt = "-"\n', 2, "replies[0].txt is not a key here"),
    ],
)
def test_what_does_not_end_well_says_so(shell: Shell, text: str, status: int, told: str) -> None:
    (shell.home / "scenario.toml").write_text(text)
    done = shell.run("replay", "scenario.toml")
    assert (done.returncode, told in done.stderr) == (status, True), done.stderr


def test_a_run_that_a_gateway_keeps_is_played_from_there(shell: Shell, scenario: Path, serve: Serve) -> None:
    running = serve("--set", f"replay.folder={shell.home}")
    shell.environ["MILLSTREAM_PORT"] = str(running.port)
    asked = json.dumps({"query": "the weather?", "model": "replay/scenario"}).encode()
    request = urllib.request.Request(f"{running.url}/api/v1/stream", asked, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=LIMIT) as answer:
        run_id = answer.headers["x-millstream-run"]
        answer.read()
    done = shell.run("replay", run_id)
    assert (done.returncode, done.stdout) == (0, "It rains.\n"), done.stderr
    assert "keeps no run of this name" in shell.run("replay", "run_of_nobody").stderr


def test_without_a_gateway_there_is_no_run(shell: Shell) -> None:
    shell.environ["MILLSTREAM_PORT"] = "1"
    done = shell.run("replay", "run_1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no file run_1, and no gateway answers at" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing.toml"], "there is no nothing.toml"),
        (["recording", "--serve", "--as", "gemini"], "--as: a server answers every request in the API it was made in"),
        (["recording", "--as", "morse"], "morse"),
        (["recording", "--speed", "0"], "--speed"),
    ],
)
def test_mistakes_are_one_line(shell: Shell, recording: Path, arguments: list[str], told: str) -> None:
    done = shell.run("replay", *arguments)
    assert (done.returncode, told in done.stderr) == (2, True), done.stderr
    assert done.stderr.count("\n") == 1
