"""Processes pinned to a core, and what the kernel says of them. Linux only."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

SUBJECT_CORE = 0
LOAD_CORE = 1
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_STOP_S = 5.0


class NotRunning(Exception):
    """A program did not come up, or ended too early. The message says what it wrote."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def on_core(core: int, command: Sequence[str], *, realtime: bool) -> list[str]:
    """``command`` pinned; ``realtime`` puts it before what else runs on this machine, which takes root."""
    first = ["chrt", "--rr", "1"] if realtime else []
    return [*first, "taskset", "--cpu-list", str(core), *command]


class Process:
    """A program with its children, until the end of the ``with`` block."""

    def __init__(self, command: Sequence[str], log: Path, environ: Mapping[str, str] | None = None) -> None:
        self._log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # closed by our end, whatever way it comes: `serve --until-eof` watches it
                stdout=output,
                stderr=output,
                env=environ,
                start_new_session=True,
            )
        self.pid = self._popen.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._signal(signal.SIGTERM)
        try:
            self._popen.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._popen.wait()
        if self._popen.stdin is not None:
            self._popen.stdin.close()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def await_port(self, port: int, path: str | None, limit: float = 30.0) -> None:
        """Until it takes connections, and answers 200 to ``GET path`` if one is given. Raises ``NotRunning``."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if self._popen.poll() is not None:
                raise NotRunning(f"exit status {self._popen.returncode}: {self._log_end()}")
            if _answers(port, path):
                return
            time.sleep(0.02)
        raise NotRunning(f"no answer within {limit:.0f} s: {self._log_end()}")

    def await_words(self, pattern: str, limit: float = 30.0) -> str:
        """The first group of ``pattern`` where it is found in what the program wrote. Raises ``NotRunning``."""
        end = time.monotonic() + limit
        while time.monotonic() < end and self._popen.poll() is None:
            if found := re.search(pattern, self._log.read_text(errors="replace")):
                return found[1]
            time.sleep(0.02)
        raise NotRunning(f"{pattern!r} was not in what it wrote: {self._log_end()}")

    def _log_end(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it wrote nothing"


def _answers(port: int, path: str | None) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.connect()
        if path is None:
            return True
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stat(pid: int) -> list[str]:
    """The fields of ``/proc/PID/stat`` after the name, which may hold blanks: the parent's id is the second."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def tree(root: int) -> list[int]:
    """``root`` and all that descend from it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(_stat(int(entry.name))[1])
            except (OSError, IndexError):
                continue
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def core_busy_seconds(core: int) -> float:
    """Time the core was not idle, since the machine started; what a hypervisor took away included."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) for field in fields[:8])
            return (user + nice + system + irq + softirq + steal) / _TICKS_PER_S
    raise ValueError(f"this machine has no core {core}")
