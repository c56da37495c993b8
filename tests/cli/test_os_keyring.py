"""A key's way through the keyring of a desktop (GNOME's, over D-Bus): stored, used by a gateway, and gone again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from upstream_thread import UpstreamThread

from millstream.testing.upstream import ReplayServer, scenario_of

if TYPE_CHECKING:
    from tests.cli.conftest import Serve, Shell

KEY = "gsk_0123456789abcdefWXYZ"
PROGRAMS = ("dbus-run-session", "gnome-keyring-daemon")
LIMIT = 60.0
SESSION = """
printf password | gnome-keyring-daemon --unlock --components=secrets >&2
echo "$DBUS_SESSION_BUS_ADDRESS"
exec cat
"""
"""A session of a desktop for as long as its standard input is open. The keyring ends with its bus."""


@pytest.fixture
def desktop(shell: Shell) -> Iterator[None]:
    for program in PROGRAMS:
        if shutil.which(program) is None:
            pytest.skip(f"needs {program} (Debian: gnome-keyring, dbus)")
    run = shell.home / "run"
    run.mkdir(mode=0o700)
    shell.environ["XDG_RUNTIME_DIR"] = str(run)
    with subprocess.Popen(
        ["dbus-run-session", "--", "sh", "-c", SESSION],
        env=shell.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as session:
        assert session.stdin is not None
        assert session.stdout is not None
        shell.environ["DBUS_SESSION_BUS_ADDRESS"] = session.stdout.readline().strip()
        yield
        session.stdin.close()
        session.wait(LIMIT)


def kept_by_the_keyring(shell: Shell) -> str:
    """What it has, asked without us."""
    ask = "import keyring; print(keyring.get_password('millstream', 'GROQ_API_KEY'))"
    done = subprocess.run([sys.executable, "-c", ask], env=shell.environ, capture_output=True, text=True, timeout=LIMIT)
    return done.stdout.strip()


def files_with_the_key(home: Path) -> list[Path]:
    everything = (Path(folder, name) for folder, _, names in os.walk(home) for name in names)
    return [path for path in everything if path.is_file() and KEY.encode() in path.read_bytes()]


def ask_groq(url: str) -> None:
    body = {"model": "groq/m", "max_tokens": 20, "messages": [{"role": "user", "content": "Hi"}]}
    asked = urllib.request.Request(
        f"{url}/v1/messages", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=LIMIT) as answer:
        assert json.load(answer)["content"]


def with_the_key(server: ReplayServer) -> bool:
    return any(received.headers.get("authorization") == f"Bearer {KEY}" for received in server.received)


@pytest.mark.usefixtures("desktop")
def test_a_key_in_the_keyring_of_a_desktop_is_used_and_deleted(shell: Shell, serve: Serve) -> None:
    done = shell.run("set-key", "groq", "--stdin", stdin=f"{KEY}\n")
    assert done.stdout == "The key of groq, gsk_…WXYZ, is in the system's keyring.\n", done.stderr
    assert files_with_the_key(shell.home) == []
    assert kept_by_the_keyring(shell) == KEY

    with UpstreamThread(scenario_of({"replies": [{"text": "Hello."}]}, "hello")) as upstream:
        running = serve("--set", f"providers.groq.base_url={upstream.url}/v1")
        ask_groq(running.url)
        upstream.until(with_the_key)
        running.process.terminate()
        running.process.wait(LIMIT)
    assert files_with_the_key(shell.home) == []

    done = shell.run("reset", "--only", "keys", "--yes")
    assert "GROQ_API_KEY in the system's keyring" in done.stdout
    assert kept_by_the_keyring(shell) == "None"
    assert not (shell.home / ".config/millstream/keys.toml").exists()
