"""Programs started for a judgement, and stopped after it: the gateway, its scripted upstream, a judge that serves."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_START_S = 60.0
_STOP_S = 10.0
_POLL_S = 0.05
_PAUSE_MS = 20  # between events: a judge that writes all at once never sees that its client stopped reading
_KEPT = "MILLSTREAM_DATA_DIR"
_UPSTREAM = """
import sys
from pathlib import Path
from millstream.testing.upstream import serve
serve(Path(sys.argv[1]), ready=lambda url: print(url, flush=True))
"""


class NotRunning(Exception):
    """A program did not come up. The message is one line with what it said last, and where the rest is."""


@contextmanager
def gateway(config: str, log: Path, *, store: str = "memory") -> Iterator[str]:
    """A gateway with only ``config`` (TOML) for its settings and its sessions in ``store``; gives its URL.

    Raises ``NotRunning``.
    """
    settings = log.with_suffix(".toml")
    settings.write_text(config, encoding="utf-8")
    serve = (
        "serve",
        "--config",
        str(settings),
        "--port",
        "0",
        "--address-only",
        "--until-eof",
        "--set",
        f"sessions.store={store}",
    )
    with _program([sys.executable, "-m", "millstream", *serve], log) as process:
        yield _address(process, "the gateway", log)


@contextmanager
def upstream(scenario: Path, log: Path) -> Iterator[str]:
    """A scripted upstream; gives its URL. Raises ``NotRunning``."""
    with _program([sys.executable, "-c", _UPSTREAM, str(scenario)], log) as process:
        yield _address(process, "the scripted upstream", log)


@contextmanager
def llmock(program: Path, log: Path) -> Iterator[str]:
    """An ``llmock`` that serves; gives its URL. Raises ``NotRunning``."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    command = [str(program), "serve", "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    command += ["--stream-chunk-delay-ms", str(_PAUSE_MS)]
    with _program(command, log) as process:
        url = f"http://127.0.0.1:{port}"
        end = time.monotonic() + _START_S
        while not _is_healthy(url):
            if process.poll() is not None or time.monotonic() > end:
                raise NotRunning(_last_words("llmock", log))
            time.sleep(_POLL_S)
        yield url


def call(url: str, body: object = None, headers: Mapping[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
    """POST ``body``, or GET without one: status, headers (lower case) and everything that came until the end.

    Raises ``OSError`` and ``http.client.HTTPException``, also where a body breaks off.
    """
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=_START_S)
    try:
        if body is None:
            connection.request("GET", f"/{path}", headers=dict(headers or {}))
        else:
            sent = {"content-type": "application/json", **(headers or {})}
            connection.request("POST", f"/{path}", json.dumps(body), sent)
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def _is_healthy(url: str) -> bool:
    try:
        return call(f"{url}/health")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def _address(process: subprocess.Popen[str], name: str, log: Path) -> str:
    line = process.stdout.readline().strip() if process.stdout is not None else ""
    if not line.startswith("http://"):
        raise NotRunning(_last_words(name, log))
    return line


@contextmanager
def _program(command: list[str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """Without the user's own settings. Its standard error goes to ``log``, and it ends with the ``with`` block."""
    environ = {name: value for name, value in os.environ.items() if name == _KEPT or not name.startswith("MILLSTREAM_")}
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environ, text=True
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _last_words(name: str, log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return f"{name} did not start: {lines[-1] if lines else 'it said nothing'} (see {log})"
