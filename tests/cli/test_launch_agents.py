"""``millstream launch`` of every agent with a program in its place; and how launches share a gateway."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from millstream.cli import gateway

if TYPE_CHECKING:
    from tests.cli.conftest import Agent, Shell

    MakeAgent = Callable[[str], Agent]

LIMIT = 60.0
OWN = ("--set", "default_model=replay/hello")
WAITING = "print(os.environ['ANTHROPIC_BASE_URL'], flush=True)\nsys.stdin.read()"


def _launched(shell: Shell, made: Agent, name: str, *options: str) -> Any:
    done = shell.run("launch", name, "--bin", str(made.path), *OWN, *options, "--", "its own", "--flag")
    assert (done.returncode, done.stderr) == (0, "")
    assert made.told["arguments"][-2:] == ["its own", "--flag"]
    return made.told


def _config_of(told: Any) -> dict[str, Any]:
    given = told["arguments"][:-2]
    assert given[::2] == ["--config"] * (len(given) // 2)
    return tomllib.loads("\n".join(given[1::2]))


def test_codex_gets_a_provider_by_flags_and_its_key_by_a_variable(shell: Shell, agent: MakeAgent) -> None:
    told = _launched(shell, agent(""), "codex", "--set", "server.api_key=let-me-in")
    found = _config_of(told)
    provider = found["model_providers"]["millstream"]
    assert found["model_provider"] == "millstream"
    assert provider["base_url"].startswith("http://127.0.0.1:")
    assert provider["base_url"].endswith("/v1")
    assert provider["wire_api"] == "responses"
    assert told["environ"][provider["env_key"]] == "let-me-in"
    assert "let-me-in" not in json.dumps(told["arguments"])
    assert "model" not in found


def test_codex_is_told_the_model_that_was_chosen(shell: Shell, agent: MakeAgent) -> None:
    assert _config_of(_launched(shell, agent(""), "codex", "--model", "replay/tools"))["model"] == "replay/tools"


def test_gemini_is_told_by_variables_alone_where_its_log_in_allows(shell: Shell, agent: MakeAgent) -> None:
    shell.environ |= {"GEMINI_API_KEY": "own", "GOOGLE_GENAI_USE_VERTEXAI": "true"}
    environ = _launched(shell, agent(""), "gemini", "--model", "replay/tools")["environ"]
    assert environ["GOOGLE_GEMINI_BASE_URL"].startswith("http://127.0.0.1:")
    assert environ["GEMINI_API_KEY"] not in ("", "own")
    assert environ["GEMINI_MODEL"] == "replay/tools"
    assert environ["GOOGLE_GENAI_USE_VERTEXAI"] == "false"
    assert "GEMINI_CLI_HOME" not in environ


def test_gemini_logs_in_by_the_gateways_key_where_its_user_chose_otherwise(shell: Shell, agent: MakeAgent) -> None:
    own = shell.home / ".gemini"
    own.mkdir()
    text = '{"ui": {"theme": "dark"}, "security": {"auth": {"selectedType": "oauth-personal"}, "x": 1}}'
    (own / "settings.json").write_text(text)
    (own / "oauth_creds.json").write_text("a secret")
    (own / "GEMINI.md").write_text("memory")
    for _ in range(2):
        environ = _launched(shell, agent(""), "gemini")["environ"]
        given = Path(environ["GEMINI_CLI_HOME"], ".gemini")
        settings = json.loads((given / "settings.json").read_text())
        assert settings == {"ui": {"theme": "dark"}, "security": {"auth": {"selectedType": "gemini-api-key"}, "x": 1}}
        assert (given / "GEMINI.md").read_text() == "memory"
        assert not (given / "oauth_creds.json").exists()
    assert (own / "settings.json").read_text() == text


@pytest.mark.parametrize(
    ("own", "options", "told"),
    [
        ({}, [], "replay/hello"),
        ({}, ["--set", 'aliases={"gemini-*" = "replay/tools"}'], "replay/tools"),
        ({"GEMINI_MODEL": "gemini-3.8-flash"}, [], "gemini-3.8-flash"),
    ],
)
def test_gemini_is_not_left_to_ask_which_model_to_ask(
    shell: Shell, agent: MakeAgent, own: dict[str, str], options: list[str], told: str
) -> None:
    shell.environ |= own
    assert _launched(shell, agent(""), "gemini", *options)["environ"]["GEMINI_MODEL"] == told


def test_a_log_in_of_the_project_that_would_win_is_named(shell: Shell, agent: MakeAgent, tmp_path: Path) -> None:
    file = shell.home / ".gemini/settings.json"
    file.parent.mkdir()
    file.write_text('{"security": {"auth": {"selectedType": "vertex-ai"}}}')
    shell.environ["GEMINI_CLI_HOME"] = str(tmp_path / "elsewhere")
    done = shell.run("launch", "gemini", "--bin", str(agent("").path), *OWN)
    assert done.returncode == 2
    assert done.stderr == f"millstream: {file} logs in by vertex-ai, which wins over this gateway: remove it\n"


def test_settings_of_gemini_that_cannot_be_read_are_named(shell: Shell, agent: MakeAgent) -> None:
    file = shell.home / ".gemini/settings.json"
    file.parent.mkdir()
    file.write_text("// a comment")
    done = shell.run("launch", "gemini", "--bin", str(agent("").path), *OWN)
    assert done.returncode == 2
    assert done.stderr.startswith(f"millstream: {file} cannot be read")
    assert done.stderr.count("\n") == 1


def test_a_small_model_answers_what_gemini_asks_its_own_small_one(shell: Shell, agent: MakeAgent) -> None:
    made = agent(
        "import urllib.request\n"
        "url = os.environ['GOOGLE_GEMINI_BASE_URL'] + '/v1beta/models/gemini-3.5-flash-lite:generateContent'\n"
        "body = json.dumps({'contents': [{'role': 'user', 'parts': [{'text': 'hi'}]}]}).encode()\n"
        "asked = urllib.request.Request(url, body, {'content-type': 'application/json'})\n"
        "told['answer'] = urllib.request.urlopen(asked).read().decode()\n"
        f"json.dump(told, open({str(shell.home / 'notes.json')!r}, 'w'))"
    )
    told = _launched(shell, made, "gemini", "--model", "replay/tools", "--small-model", "replay/hello")
    assert "played by millstream itself" in told["answer"]


def test_opencode_gets_its_whole_configuration_in_a_variable(shell: Shell, agent: MakeAgent) -> None:
    made = agent("")
    environ = _launched(shell, made, "opencode", "--small-model", "replay/tools")["environ"]
    config = json.loads(environ["OPENCODE_CONFIG_CONTENT"])
    provider = config["provider"]["millstream"]
    assert provider["options"]["baseURL"].endswith("/v1")
    assert provider["options"]["apiKey"] == "{env:MILLSTREAM_KEY}"
    assert (config["model"], config["small_model"]) == ("millstream/replay/hello", "millstream/replay/tools")
    assert set(provider["models"]) == {"replay/hello", "replay/tools"}


def test_claude_is_told_the_small_model(shell: Shell, agent: MakeAgent) -> None:
    environ = _launched(shell, agent(""), "claude", "--small-model", "replay/tools")["environ"]
    assert environ["ANTHROPIC_SMALL_FAST_MODEL"] == "replay/tools"
    assert environ["ANTHROPIC_DEFAULT_SONNET_MODEL"] == "replay/hello"


@pytest.mark.parametrize(
    ("options", "model"),
    [
        (["--provider", "groq"], "groq/moonshotai/kimi-k2-instruct-0905"),
        (["--provider", "groq", "--model", "openai/gpt-oss-120b"], "groq/openai/gpt-oss-120b"),
        (["--provider", "groq", "--model", "groq/openai/gpt-oss-120b"], "groq/openai/gpt-oss-120b"),
    ],
)
def test_a_provider_completes_the_model(shell: Shell, agent: MakeAgent, options: list[str], model: str) -> None:
    shell.environ["GROQ_API_KEY"] = "gsk_1"
    assert _config_of(_launched(shell, agent(""), "codex", *options))["model"] == model


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--provider", "grok"], "--provider: there is no grok"),
        (["--provider", "vllm"], "--provider: vllm has no default model: add --model NAME"),
        (["--model", "grok/x"], "--model: no model 'grok/x' here"),
        (["--small-model", "grok/x"], "--small-model: no model 'grok/x' here"),
    ],
)
def test_a_name_that_is_not_here_is_refused(shell: Shell, agent: MakeAgent, options: list[str], told: str) -> None:
    done = shell.run("launch", "opencode", "--bin", str(agent("").path), "--set", "unknown_model=error", *OWN, *options)
    assert done.returncode == 2
    assert told in done.stderr


@pytest.mark.parametrize("name", ["claude", "codex", "gemini", "opencode"])
def test_what_would_be_set_can_be_evaluated_by_a_shell_and_shows_no_key(shell: Shell, name: str) -> None:
    shell.environ |= {"CLAUDE_CODE_USE_BEDROCK": "1", "DOOR": "a-secret-of-mine"}
    done = shell.run("launch", name, "--print-env", *OWN, "--set", "server.api_key_env=DOOR", "--model", "replay/tools")
    assert done.returncode == 0
    assert "a-secret-of-mine" not in done.stdout + done.stderr
    script = f"{done.stdout}\nenv"
    ran = subprocess.run(["/bin/sh", "-ec", script], env=shell.environ, capture_output=True, text=True, check=True)
    found = dict(line.partition("=")[::2] for line in ran.stdout.splitlines())
    assert "a-secret-of-mine" in [value for variable, value in found.items() if variable != "DOOR"]
    assert ("CLAUDE_CODE_USE_BEDROCK" in found) == (name != "claude")
    if name == "codex":
        last = shlex.split(done.stdout.splitlines()[-1].removeprefix("# and then: "))
        assert last[:3] == ["codex", "--config", 'model_provider="millstream"']


def _start(shell: Shell, made: Agent, *options: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        shell.command("launch", "claude", "--bin", str(made.path), *OWN, *options),
        env=shell.environ,
        cwd=shell.home,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def _end(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=LIMIT)
    assert process.returncode == 0


@pytest.mark.parametrize("first_leaves_first", [True, False])
def test_launches_share_a_gateway_which_ends_with_the_last(
    shell: Shell, agent: MakeAgent, *, first_leaves_first: bool
) -> None:
    made = agent(WAITING)
    one, url = _start(shell, made)
    two, other = _start(shell, made)
    assert other == url
    first, last = (one, two) if first_leaves_first else (two, one)
    _end(first)
    assert gateway.probe(url) is not None
    _end(last)
    assert gateway.probe(url) is None


def test_launches_with_other_settings_or_keys_have_gateways_of_their_own(shell: Shell, agent: MakeAgent) -> None:
    made = agent(WAITING)
    shell.environ["GROQ_API_KEY"] = "gsk_one"
    one, url = _start(shell, made)
    shell.environ["GROQ_API_KEY"] = "gsk_two"
    two, other = _start(shell, made)
    three, third = _start(shell, made, "--set", "server.heartbeat=5")
    assert len({url, other, third}) == 3
    for process in (one, two, three):
        _end(process)


def test_a_gateway_outlives_a_launch_that_was_killed_as_long_as_another_uses_it(shell: Shell, agent: MakeAgent) -> None:
    made = agent(WAITING)
    one, url = _start(shell, made)
    two, other = _start(shell, made)
    one.send_signal(signal.SIGKILL)
    one.communicate(timeout=LIMIT)
    assert other == url
    assert gateway.probe(url) is not None
    _end(two)
    assert gateway.probe(url) is None


def test_what_a_killed_launch_left_is_not_taken_for_a_gateway(shell: Shell, agent: MakeAgent) -> None:
    made = agent(WAITING)
    one, _ = _start(shell, made)
    one.send_signal(signal.SIGKILL)
    one.communicate(timeout=LIMIT)
    two, url = _start(shell, made)
    assert gateway.probe(url) is not None
    _end(two)
    assert gateway.probe(url) is None
