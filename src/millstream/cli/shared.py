"""One gateway for all launches of the same settings: whoever comes first starts it, whoever leaves last ends it.

What is known of such a gateway is in a folder that only the user can read: its address, its log, and a named pipe. Each
launch holds the pipe's writing end, the gateway reads it and ends when nobody holds it any more, so that none is left
over however its launches ended. Whether there are others is told by locks, which the system lets go of with its holder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import select
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import platformdirs

from millstream import __version__
from millstream.cli import gateway
from millstream.cli.known import Known


class Record(msgspec.Struct, frozen=True):
    """A running gateway, as its folder has it."""

    url: str
    log: str
    pid: int


@dataclass(frozen=True, slots=True)
class Lease:
    """A gateway to use. ``lifeline`` has no reader any more once the gateway has ended; None for one that is not ours
    to watch."""

    url: str
    lifeline: int | None = None


def identity(names: Known, file: Path | None, flags: Sequence[str]) -> str:
    """The same for two launches that may share a gateway: same version, settings and keys. It comes of secrets."""
    upstreams = [(name, p.key, p.base_url, sorted(p.headers.items())) for name, p in sorted(names.providers.items())]
    place = str(file.absolute()) if file is not None else None
    told = msgspec.json.encode([__version__, names.fingerprint, names.server_key, upstreams, place, list(flags)])
    return hashlib.sha256(told).hexdigest()[:24]


@contextmanager
def joined(
    names: Known, address: str, file: Path | None, flags: Sequence[str], tell: Callable[[str], None]
) -> Generator[Lease]:
    """The gateway at ``address`` if it has these settings, which is left alone; else the one that launches share.

    ``file`` and ``flags`` are given to one that is started. Where it ended before the block did, its last log lines
    go to standard error. Raises ``TyperException`` if none can be started.
    """
    health = gateway.probe(address)
    if health is not None and (health.version, health.config) == (__version__, names.fingerprint):
        tell(f"using the gateway at {address}")
        yield Lease(address)
        if gateway.probe(address) is None:
            sys.stderr.write(f"millstream: the gateway at {address} does not answer any more; see its own output\n")
        return
    place = _Place(platformdirs.user_state_path("millstream") / "launch" / identity(names, file, flags))
    with gateway.telling_of_state():
        record, lifeline, members, started = place.enter(_arguments(file, flags))
    try:
        tell(f"gateway at {record.url}, log in {record.log}")
        yield Lease(record.url, lifeline)
        if _dead(lifeline, 0):
            gateway.show_log(Path(record.log))
            sys.stderr.write(f"millstream: the gateway ended too early; its log is {record.log}\n")
    finally:
        place.leave(record, lifeline, members, started)


def _arguments(file: Path | None, flags: Sequence[str]) -> list[str]:
    found = ["--config", str(file)] if file is not None else []
    return found + [part for flag in flags for part in ("--set", flag)]


@dataclass(frozen=True, slots=True)
class _Place:
    """The folder of one shared gateway."""

    folder: Path

    def enter(self, arguments: Sequence[str]) -> tuple[Record, int, int, gateway.Started | None]:
        """The gateway, the end of its pipe, the lock that counts us in, and the process if it is our child."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock():
            members = os.open(self.folder / "members", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                # Where nobody is in, what is written here is of launches that were killed: it is ending or gone.
                found = None if _alone(members) else self._running()
                record, lifeline, started = found or self._start(arguments)
            except BaseException:
                os.close(members)
                raise
            fcntl.flock(members, fcntl.LOCK_SH)
            return record, lifeline, members, started

    def leave(self, record: Record, lifeline: int, members: int, started: gateway.Started | None) -> None:
        with self._lock():
            last = _alone(members)
            os.close(members)
            if last:
                for name in ("gateway.json", "pipe"):
                    (self.folder / name).unlink(missing_ok=True)
        if last:
            _end(record, lifeline)
        os.close(lifeline)
        if started is not None:
            started.let_go(ended=last)

    @contextmanager
    def _lock(self) -> Generator[None]:
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _running(self) -> tuple[Record, int, None] | None:
        try:
            record = msgspec.json.decode((self.folder / "gateway.json").read_bytes(), type=Record)
            lifeline = os.open(self.folder / "pipe", os.O_WRONLY | os.O_NONBLOCK)
        except (OSError, msgspec.MsgspecError):
            return None
        if gateway.probe(record.url) is None:
            os.close(lifeline)
            return None
        return record, lifeline, None

    def _start(self, arguments: Sequence[str]) -> tuple[Record, int, gateway.Started]:
        pipe = self.folder / "pipe"
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe, 0o600)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        lifeline = os.open(pipe, os.O_WRONLY)
        os.set_blocking(reader, True)
        try:
            started = gateway.Started(arguments, os.environ, lifeline=(reader, lifeline))
        except BaseException:
            pipe.unlink(missing_ok=True)
            raise
        record = Record(started.url, str(started.log), started.pid)
        (self.folder / "gateway.json").write_bytes(msgspec.json.encode(record))
        return record, lifeline, started


def _alone(members: int) -> bool:
    """No other launch is counted in. Afterwards, we are the only one who could be."""
    try:
        fcntl.flock(members, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _dead(lifeline: int, seconds: float) -> bool:
    events = select.poll()
    events.register(lifeline, 0)
    return bool(events.poll(seconds * 1000))


def _end(record: Record, lifeline: int) -> None:
    """Whoever reads the pipe is the process of the record, so its number is not another's by now."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if _dead(lifeline, 0):
            break
        with suppress(ProcessLookupError):
            os.kill(record.pid, number)
        _dead(lifeline, gateway.STOP_LIMIT)
