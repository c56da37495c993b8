"""``millstream launch claude`` with a program in the agent's place: what it is given, and what is left behind."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.exceptions import TyperException

from millstream.cli import gateway

if TYPE_CHECKING:
    from tests.cli.conftest import Agent, Serve, Shell

    MakeAgent = Callable[[str], Agent]

LIMIT = 60.0
OWN = ("--set", "default_model=replay/hello")


def _url(agent: Agent) -> str:
    url: str = agent.told["environ"]["ANTHROPIC_BASE_URL"]
    return url


def test_the_agent_gets_its_arguments_and_a_gateway_that_answers(shell: Shell, agent: MakeAgent) -> None:
    made = agent(
        "import urllib.request\n"
        "told['health'] = urllib.request.urlopen(os.environ['ANTHROPIC_BASE_URL'] + '/health').read().decode()\n"
        f"json.dump(told, open({str(shell.home / 'notes.json')!r}, 'w'))"
    )
    done = shell.run("launch", "claude", "--bin", str(made.path), *OWN, "--", "--print", "two words", "--model", "x")
    assert (done.returncode, done.stderr) == (0, "")
    assert made.told["arguments"] == ["--print", "two words", "--model", "x"]
    assert made.told["cwd"] == str(shell.home)
    assert '"status":"ok"' in made.told["health"]


def test_the_agent_is_pointed_at_the_gateway_and_nowhere_else(shell: Shell, agent: MakeAgent) -> None:
    made = agent("")
    shell.environ |= {
        "ANTHROPIC_API_KEY": "sk-ant-own",
        "CLAUDE_CODE_USE_BEDROCK": "1",
        "HTTPS_PROXY": "http://proxy:1",
    }
    shell.environ["NO_PROXY"] = "intranet"
    shell.run("launch", "claude", "--bin", str(made.path), *OWN)
    environ = made.told["environ"]
    assert environ["ANTHROPIC_BASE_URL"].startswith("http://127.0.0.1:")
    assert not environ["ANTHROPIC_BASE_URL"].endswith("/v1")
    assert environ["ANTHROPIC_API_KEY"] == ""
    assert environ["ANTHROPIC_AUTH_TOKEN"]
    assert "CLAUDE_CODE_USE_BEDROCK" not in environ
    assert environ["NO_PROXY"] == "intranet,127.0.0.1,localhost,::1"
    assert "ANTHROPIC_MODEL" not in environ
    for family in ("OPUS", "SONNET", "HAIKU"):
        assert environ[f"ANTHROPIC_DEFAULT_{family}_MODEL"] == "replay/hello"


def test_a_model_is_chosen_for_everything_the_agent_calls(shell: Shell, agent: MakeAgent) -> None:
    made = agent("")
    shell.environ["GROQ_API_KEY"] = "gsk_1"
    shell.run("launch", "claude", "--bin", str(made.path), "--model", "groq/openai/gpt-oss-120b")
    environ = made.told["environ"]
    assert environ["ANTHROPIC_MODEL"] == "groq/openai/gpt-oss-120b"
    assert environ["CLAUDE_CODE_AUTO_MODE_MODEL"] == "groq/openai/gpt-oss-120b"
    assert environ["ANTHROPIC_SMALL_FAST_MODEL"] == "groq/openai/gpt-oss-20b"


def test_a_model_chosen_is_also_the_gateways_default_so_that_no_other_is_prepared(
    shell: Shell, agent: MakeAgent
) -> None:
    made = agent(
        "import urllib.request\n"
        "told['models'] = urllib.request.urlopen(os.environ['ANTHROPIC_BASE_URL'] + '/v1/models').read().decode()\n"
        f"json.dump(told, open({str(shell.home / 'notes.json')!r}, 'w'))"
    )
    done = shell.run("launch", "claude", "--bin", str(made.path), "--model", "replay/tools")
    assert (done.returncode, done.stderr) == (0, "")
    assert '"id":"replay/tools"' in made.told["models"]
    assert not list(shell.home.glob("**/*.gguf"))


def test_an_unknown_model_is_refused_before_anything_starts(shell: Shell, agent: MakeAgent) -> None:
    made = agent("")
    done = shell.run("launch", "claude", "--bin", str(made.path), *OWN, "--model", "grok/x")
    assert done.returncode == 2
    assert "--model: no model 'grok/x' here" in done.stderr
    assert not made.notes.exists()


@pytest.mark.parametrize("then", ["sys.exit(23)", "os.kill(os.getpid(), 15)"])
def test_the_exit_status_is_kept_and_the_gateway_stopped(shell: Shell, agent: MakeAgent, then: str) -> None:
    made = agent(then)
    done = shell.run("launch", "claude", "--bin", str(made.path), *OWN)
    assert done.returncode == (23 if "23" in then else 128 + signal.SIGTERM)
    assert gateway.probe(_url(made)) is None


def test_input_and_output_pass_through_untouched(shell: Shell, agent: MakeAgent) -> None:
    made = agent("sys.stdout.write(sys.stdin.read().upper()); sys.stderr.write('told')")
    done = shell.run("launch", "claude", "--bin", str(made.path), *OWN, "--", "-p", stdin="a question\n")
    assert (done.stdout, done.stderr) == ("A QUESTION\n", "told")


def test_a_running_gateway_of_the_same_settings_is_used_and_left_alone(
    shell: Shell, agent: MakeAgent, serve: Serve
) -> None:
    running = serve(*OWN, "--unknown-model", "default")
    shell.environ["MILLSTREAM_PORT"] = str(running.port)
    made = agent("")
    assert shell.run("launch", "claude", "--bin", str(made.path), *OWN).returncode == 0
    assert _url(made) == running.url
    assert gateway.probe(running.url) is not None


def test_a_running_gateway_of_other_settings_is_neither_used_nor_stopped(
    shell: Shell, agent: MakeAgent, serve: Serve
) -> None:
    running = serve("--default-model", "replay/other", "--unknown-model", "default")
    shell.environ["MILLSTREAM_PORT"] = str(running.port)
    made = agent("")
    assert shell.run("launch", "claude", "--bin", str(made.path), *OWN).returncode == 0
    assert _url(made) != running.url
    assert gateway.probe(running.url) is not None


def test_a_port_that_something_else_holds_is_left_to_it(shell: Shell, agent: MakeAgent) -> None:
    made = agent("")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        shell.environ["MILLSTREAM_PORT"] = str(silent.getsockname()[1])
        done = shell.run("launch", "claude", "--bin", str(made.path), *OWN)
        assert (done.returncode, done.stderr) == (0, "")
        assert _url(made) != f"http://127.0.0.1:{silent.getsockname()[1]}"


def test_the_key_of_the_gateway_is_the_agents_token(shell: Shell, agent: MakeAgent) -> None:
    made = agent("")
    shell.run("launch", "claude", "--bin", str(made.path), *OWN, "--set", "server.api_key=let-me-in")
    assert made.told["environ"]["ANTHROPIC_AUTH_TOKEN"] == "let-me-in"


def test_settings_of_a_file_reach_the_gateway(shell: Shell, agent: MakeAgent) -> None:
    config = shell.config(
        'default_model = "fast"\n[aliases]\nfast = "replay/hello"\n"claude-haiku-*" = "replay/small"\n'
    )
    made = agent("")
    shell.run("launch", "claude", "--bin", str(made.path), "--config", str(config))
    environ = made.told["environ"]
    assert environ["ANTHROPIC_DEFAULT_OPUS_MODEL"] == "replay/hello"
    assert environ["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == "replay/small"


@pytest.mark.parametrize("place", [".claude/settings.json", ".claude/settings.local.json"])
def test_a_settings_file_that_would_win_over_the_gateway_is_named(shell: Shell, agent: MakeAgent, place: str) -> None:
    made = agent("")
    file = shell.home / place
    file.parent.mkdir()
    file.write_text('{"env": {"ANTHROPIC_BASE_URL": "http://127.0.0.1:3456"}}')
    done = shell.run("launch", "claude", "--bin", str(made.path), *OWN)
    assert done.returncode == 2
    assert done.stderr == (
        f"millstream: {file} sets ANTHROPIC_BASE_URL in its env, which wins over this gateway: remove it there\n"
    )
    assert not made.notes.exists()


@pytest.mark.parametrize("content", ["{}", "not JSON", "[]", '{"env": []}', '{"env": {"EDITOR": "vi"}}'])
def test_other_settings_of_the_agent_are_its_own_business(shell: Shell, agent: MakeAgent, content: str) -> None:
    made = agent("")
    (shell.home / ".claude").mkdir()
    (shell.home / ".claude/settings.json").write_text(content)
    assert shell.run("launch", "claude", "--bin", str(made.path), *OWN).returncode == 0


def test_an_agent_that_is_not_installed_is_one_line_with_the_way_out(shell: Shell) -> None:
    done = shell.run("launch", "claude", *OWN)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "npm install -g @anthropic-ai/claude-code" in done.stderr


def test_the_agent_is_found_on_the_path_and_by_variable(shell: Shell, agent: MakeAgent) -> None:
    made = agent("sys.exit(3)")
    shell.environ["PATH"] = f"{made.path.parent}:{shell.environ['PATH']}"
    assert shell.run("launch", "claude", *OWN).returncode == 3
    shell.environ["PATH"] = "/usr/bin:/bin"
    shell.environ["MILLSTREAM_CLAUDE"] = str(made.path)
    assert shell.run("launch", "claude", *OWN).returncode == 3


def test_a_program_that_cannot_be_executed_is_one_line(shell: Shell, tmp_path: Path) -> None:
    broken = tmp_path / "claude"
    broken.write_text("#!/nowhere/python\n")
    broken.chmod(0o755)
    done = shell.run("launch", "claude", "--bin", str(broken), *OWN)
    assert done.returncode == 126
    assert done.stderr == f"millstream: cannot run {broken}: No such file or directory\n"


@pytest.mark.parametrize("command", [("launch", "claude", "--bin", "/bin/true", *OWN), ("chat", "--plain", "Hi", *OWN)])
def test_state_that_cannot_be_kept_is_one_line(shell: Shell, command: tuple[str, ...]) -> None:
    (shell.home / ".local").mkdir()
    (shell.home / ".local/state").write_text("not a folder")
    done = shell.run(*command)
    assert done.returncode == 1
    assert done.stderr.startswith(f"millstream: cannot write {shell.home}/.local/state/millstream/")
    assert done.stderr.endswith(": Not a directory\n")


def test_termination_reaches_the_agent_and_then_the_gateway_ends(shell: Shell, agent: MakeAgent) -> None:
    made = agent(
        "import signal\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(40))\n"
        "print('ready', flush=True)\n"
        "signal.pause()"
    )
    command = shell.command("launch", "claude", "--bin", str(made.path), *OWN)
    with subprocess.Popen(command, env=shell.environ, cwd=shell.home, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.terminate()
        assert process.wait(LIMIT) == 40
    assert gateway.probe(_url(made)) is None


def test_a_killed_launcher_takes_its_gateway_with_it(shell: Shell, agent: MakeAgent) -> None:
    made = agent("print('ready', flush=True)\nsys.stdin.read()")
    command = shell.command("launch", "claude", "--bin", str(made.path), *OWN)
    with subprocess.Popen(
        command, env=shell.environ, cwd=shell.home, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.kill()
        process.wait(LIMIT)
        while gateway.probe(_url(made)) is not None:
            continue


def test_a_gateway_that_does_not_start_shows_its_last_words(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(shell.home))
    with pytest.raises(TyperException, match=r"did not start \(exit status 2\); its log is .*gateway-\d+\.log"):
        gateway.Started(["--set", "server.prot=1"], shell.environ)
    assert "  millstream: --set server.prot: server.prot is not a setting" in capfd.readouterr().err


def test_an_agent_does_not_hang_on_a_gateway_that_died_and_its_user_is_told_why(shell: Shell, agent: MakeAgent) -> None:
    made = agent(
        "import glob, signal\n"
        "[record] = glob.glob(os.environ['HOME'] + '/**/launch/*/gateway.json', recursive=True)\n"
        "os.kill(json.load(open(record))['pid'], signal.SIGKILL)\n"
        "signal.pause()"
    )
    shell.environ["XDG_STATE_HOME"] = str(shell.home / "state")
    done = shell.run("launch", "claude", "--bin", str(made.path), *OWN)
    assert done.returncode == 128 + signal.SIGTERM
    assert "millstream: the gateway ended too early; its log is " in done.stderr
