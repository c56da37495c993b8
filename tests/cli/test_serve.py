"""``millstream serve`` as a process: what it prints, when it refuses to start, how it ends."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Serve, Shell

LIMIT = 60.0
OTHER_MODEL = ("--default-model", "replay/hello")
"""So that no model has to be fetched."""


def _health(port: int) -> dict[str, object]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    connection.request("GET", "/health")
    found: dict[str, object] = json.loads(connection.getresponse().read())
    connection.close()
    return found


def test_the_address_alone_is_printed_for_scripts(serve: Serve) -> None:
    assert _health(serve(*OTHER_MODEL).port)["status"] == "ok"


def test_the_greeting_has_the_address_and_three_things_to_try(shell: Shell) -> None:
    with subprocess.Popen(
        shell.command("serve", *OTHER_MODEL), env=shell.environ, text=True, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        while "Ctrl-C" not in lines[-1]:
            lines.append(process.stdout.readline())
        process.terminate()
        assert process.wait(LIMIT) == 0
    text = "".join(lines)
    url = lines[0].split()[2]
    assert url.startswith("http://127.0.0.1:")
    assert f"curl -N {url}/v1/messages" in text
    assert f'OpenAI(base_url="{url}/v1"' in text
    assert f"\n  {sys.executable} -m millstream launch claude\n" in text
    assert "\x1b" not in text
    assert max(len(line) for line in lines if sys.executable not in line and "too small" not in line) <= 80


def test_a_greeting_that_nobody_reads_ends_nothing(shell: Shell) -> None:
    port = _free_port()
    command = shell.command("serve", "--port", str(port), *OTHER_MODEL, "--until-eof")
    with subprocess.Popen(command, env=shell.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.close()
        while process.poll() is None:
            try:
                assert _health(port)["status"] == "ok"
                break
            except ConnectionRefusedError:
                continue
        process.stdin.close()
        assert process.wait(LIMIT) == 0


def test_a_gateway_for_a_parent_program_ends_with_its_parent(shell: Shell) -> None:
    command = shell.command("serve", *OTHER_MODEL, "--address-only", "--until-eof")
    with subprocess.Popen(command, env=shell.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline()
        process.stdin.close()
        assert process.wait(LIMIT) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_in_good_order(serve: Serve, number: signal.Signals) -> None:
    gateway = serve(*OTHER_MODEL)
    gateway.process.send_signal(number)
    assert gateway.process.wait(LIMIT) == 0


def test_a_port_in_use_is_named_with_the_way_out(shell: Shell, serve: Serve) -> None:
    port = serve(*OTHER_MODEL).port
    done = shell.run("serve", "--port", str(port), *OTHER_MODEL)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr
    assert "--port" in done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_public_address_without_a_key_is_refused(shell: Shell, host: str) -> None:
    done = shell.run("serve", "--host", host, *OTHER_MODEL)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "server.api_key_file" in done.stderr


def test_a_public_address_with_a_key_variable_that_is_not_set_is_refused(shell: Shell) -> None:
    done = shell.run("serve", "--host", "0.0.0.0", "--set", "server.api_key_env=GATEWAY_KEY", *OTHER_MODEL)
    assert done.returncode == 2
    assert "GATEWAY_KEY is not set" in done.stderr


def test_the_key_of_the_gateway_is_asked_for_and_shown_in_the_examples_by_variable(shell: Shell) -> None:
    shell.environ["GATEWAY_KEY"] = "let-me-in-please"
    command = shell.command("serve", "--host", "0.0.0.0", "--set", "server.api_key_env=GATEWAY_KEY", *OTHER_MODEL)
    with subprocess.Popen(command, env=shell.environ, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        rest = ""
        while "Ctrl-C" not in rest:
            rest += process.stdout.readline()
        port = int(first.split()[2].rpartition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
        connection.request("GET", "/v1/models")
        assert connection.getresponse().status == 401
        connection.close()
        connection.request("GET", "/v1/models", headers={"x-api-key": "let-me-in-please"})
        assert connection.getresponse().status == 200
        connection.close()
        process.terminate()
    assert first.split()[2].startswith("http://127.0.0.1:")
    assert "$GATEWAY_KEY" in rest
    assert "let-me-in-please" not in first + rest


def test_a_model_file_that_is_not_there_is_told_and_the_rest_served(shell: Shell) -> None:
    command = shell.command("serve", "--set", "embedded.model=/nowhere.gguf", "--address-only")
    with subprocess.Popen(
        command, env=shell.environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline() == "millstream: embedded.model: there is no file /nowhere.gguf\n"
        assert _health(int(process.stdout.readline().rpartition(":")[2]))["status"] == "ok"
        process.terminate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_second_interrupt_ends_it_at_once_without_a_traceback(shell: Shell) -> None:
    command = shell.command("serve", *OTHER_MODEL, "--address-only")
    with subprocess.Popen(
        command, env=shell.environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=LIMIT)
    assert process.returncode in {0, 130}
    assert "Traceback" not in told


def test_what_a_second_interrupt_cuts_off_is_in_the_log(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        upstream.settimeout(LIMIT)
        settings = {"dialect": "openai_chat", "base_url": f"http://127.0.0.1:{upstream.getsockname()[1]}/v1"}
        options = [
            option for name, value in settings.items() for option in ("--set", f"providers.silent.{name}={value}")
        ]
        command = shell.command("serve", *OTHER_MODEL, *options, "--address-only")
        with subprocess.Popen(
            command, env=shell.environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            port = int(process.stdout.readline().rpartition(":")[2])
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
            body = {"model": "silent/m", "messages": [{"role": "user", "content": "Hello."}], "stream": True}
            client.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
            asked, _ = upstream.accept()
            with asked:
                assert process.stderr is not None
                process.send_signal(signal.SIGINT)
                while "stopping" not in process.stderr.readline():
                    pass
                process.send_signal(signal.SIGINT)
                _, told = process.communicate(timeout=LIMIT)
            client.close()
    [line] = [json.loads(line) for line in told.splitlines() if line[:1] == "{" and '"request"' in line]
    assert line["model"] == "silent/m"
