"""Gateways as processes: find one that runs, start one, wait until it answers, stop what was started here."""

from __future__ import annotations

import http.client
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import platformdirs
from typer.exceptions import TyperException

from millstream import __version__
from millstream.config import Config

START_LIMIT = 60.0
"""Seconds a gateway may take from its start to its first answer. A model is fetched before, without a limit."""
STOP_LIMIT = 5.0
PROBE_LIMIT = 2.0
LOG_LINES_SHOWN = 12
_LOGS_KEPT_SECONDS = 7 * 24 * 3600
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  # recognised here, never bound


class Health(msgspec.Struct, frozen=True):
    """What ``GET /health`` of a millstream says."""

    version: str
    uptime_s: float
    open_streams: int
    config: str


def url_of(host: str, port: int) -> str:
    """Where to call a gateway that listens on ``host``."""
    name = _ANY_ADDRESS.get(host, host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def probe(url: str, timeout: float = PROBE_LIMIT) -> Health | None:
    """The health of the millstream at ``url``, or None if none answers there. No proxy is asked."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=timeout)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        return msgspec.json.decode(answer.read(64 * 1024), type=Health) if answer.status == 200 else None
    except (OSError, http.client.HTTPException, msgspec.MsgspecError):
        return None
    finally:
        connection.close()


def log_folder() -> Path:
    return platformdirs.user_state_path("millstream") / "logs"


@contextmanager
def telling_of_state() -> Generator[None]:
    """Turns an ``OSError`` about a file that we keep for ourselves into a ``TyperException`` that names it."""
    try:
        yield
    except OSError as error:
        raise TyperException(f"cannot write {error.filename or log_folder().parent}: {error.strerror}") from error


class Started:
    """A gateway of our own on a free port. It ends with ``stop()``, and by itself if this process dies."""

    def __init__(
        self, arguments: Sequence[str], environ: Mapping[str, str], lifeline: tuple[int, int] | None = None
    ) -> None:
        """``arguments`` are options of ``serve``. ``lifeline`` is a pipe whose end ends the gateway; both its ends are
        ours from here on, the second until ``let_go``. Raises ``TyperException`` if the gateway does not come up."""
        folder = log_folder()
        with telling_of_state():
            folder.mkdir(parents=True, exist_ok=True)
        _forget_old_logs(folder)
        self.log = folder / f"gateway-{os.getpid()}.log"
        command = [sys.executable, "-P", "-m", "millstream", "serve", *arguments]
        command += ["--host", "127.0.0.1", "--port", "0", "--address-only", "--until-eof"]
        stdin, self._lifeline = lifeline or os.pipe()
        self._addresses, stdout = os.pipe()
        with telling_of_state():
            log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            # A session of its own: Ctrl-C at the terminal is the client's, not the gateway's.
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                command, stdin=stdin, stdout=stdout, stderr=log, env=dict(environ), start_new_session=True
            )
        finally:
            for end in (stdin, stdout, log):
                os.close(end)
        try:
            self.url = self._await_address(time.monotonic() + START_LIMIT)
        except BaseException:
            self.stop()
            raise

    def _await_address(self, deadline: float) -> str:
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self._addresses], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise self._failed(f"the gateway gave no address within {START_LIMIT:.0f} s")
            piece = os.read(self._addresses, 4096)
            if not piece:
                status = self._process.wait(STOP_LIMIT)
                raise self._failed(f"the gateway did not start (exit status {status})")
            line += piece
        url = line.decode().strip()
        while probe(url) is None:
            if self.died or time.monotonic() > deadline:
                raise self._failed(f"the gateway at {url} does not answer /health")
        return url

    def _failed(self, what: str) -> TyperException:
        self.show_log()
        return TyperException(f"{what}; its log is {self.log}")

    @property
    def died(self) -> bool:
        return self._process.poll() is not None

    @property
    def pid(self) -> int:
        return self._process.pid

    def show_log(self) -> None:
        show_log(self.log)

    def let_go(self, *, ended: bool) -> None:
        """Leave a gateway to the others who hold its lifeline, or bury one that has ``ended``."""
        os.close(self._addresses)
        if ended:
            self._process.wait()
            self._forget_empty_log()
        else:
            self._process.returncode = 0  # it is nobody's child any more: nothing is left to wait for

    def stop(self) -> None:
        if not self.died:
            self._process.terminate()
            try:
                self._process.wait(STOP_LIMIT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        os.close(self._lifeline)
        os.close(self._addresses)
        self._forget_empty_log()

    def _forget_empty_log(self) -> None:
        if self.log.stat().st_size == 0:
            self.log.unlink()


def show_log(log: Path) -> None:
    """The last lines of ``log``, on standard error."""
    for line in log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]:
        sys.stderr.write(f"  {line}\n")


@contextmanager
def found_or_started(
    config: Config, fingerprint: str, file: Path | None, flags: Sequence[str], tell: Callable[[str], None] | None = None
) -> Generator[str]:
    """The URL of a gateway with these settings: one that runs already and is left alone, or one for this block only.

    ``file`` and ``flags`` are given to one that is started. ``tell`` hears which it is. Where our own one ended before
    the block did, its last log lines go to standard error.
    """
    running = url_of(config.server.host, config.server.port)
    health = probe(running)
    if health is not None and (health.version, health.config) == (__version__, fingerprint):
        if tell is not None:
            tell(f"using the gateway at {running}")
        yield running
        return
    arguments = ["--config", str(file)] if file is not None else []
    for flag in flags:
        arguments += ["--set", flag]
    own = Started(arguments, os.environ)
    try:
        if tell is not None:
            tell(f"gateway at {own.url}, log in {own.log}")
        yield own.url
        if own.died:
            own.show_log()
            sys.stderr.write(f"millstream: the gateway ended too early; its log is {own.log}\n")
    finally:
        own.stop()


def _forget_old_logs(folder: Path) -> None:
    oldest = time.time() - _LOGS_KEPT_SECONDS
    for log in folder.glob("gateway-*.log"):
        with suppress(OSError):
            if log.stat().st_mtime < oldest:
                log.unlink()
