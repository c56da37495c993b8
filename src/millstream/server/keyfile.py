"""The file of the gateway's own keys: written by ``millstream keys``, read by every gateway that runs."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from millstream.config import Config, ConfigError, KeyConfig, state_path
from millstream.policy.caller import Limits
from millstream.policy.keys import KeyRecord, KeyRing
from millstream.telemetry import logs

_LOOK_EVERY_S = 1.0


class _Content(msgspec.Struct):
    keys: list[KeyRecord] = []


def keys_path(config: Config) -> Path:
    """Where the keys are."""
    named = config.auth.keys_file
    return Path(named).expanduser() if named is not None else state_path().with_name("keys.json")


def read_keys(path: Path) -> list[KeyRecord]:
    """None where there is no file. Raises ``ConfigError``."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Content).keys
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"auth.keys_file: cannot read {path}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise ConfigError(f"auth.keys_file: {path} is not a file of keys: {error}") from error


def settings_key(name: str, key: KeyConfig, sha256: str, hint: str = "") -> KeyRecord:
    """One that the settings have, as if the file had it."""
    return KeyRecord(
        name=name,
        sha256=sha256,
        hint=hint,
        user=key.user,
        models=key.models,
        requests_per_minute=key.requests_per_minute,
        tokens_per_minute=key.tokens_per_minute,
        budget=key.budget,
        period=key.period,
        admin=key.admin,
    )


@contextmanager
def changed_keys(path: Path) -> Generator[list[KeyRecord]]:
    """What the block does to the list is written down at its end, whole or not at all, for its owner only to read.

    Others who change it wait. Raises ``ConfigError``.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(f"auth.keys_file: cannot write {path}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = read_keys(path)
        yield keys
        _write(path, keys)
    finally:
        os.close(lock)


def _write(path: Path, keys: Sequence[KeyRecord]) -> None:
    data = msgspec.json.format(msgspec.json.encode(_Content(list(keys))))
    try:
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # of mode 0600
        try:
            with os.fdopen(number, "wb") as file:
                file.write(data + b"\n")
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigError(f"auth.keys_file: cannot write {path}: {error.strerror}") from error


class WatchedKeys:
    """The keys in force: those of the file, read again soon after it has changed, and ``fixed`` ones. ``clock`` is
    monotonic. Raises ``ConfigError`` for a file that cannot be read at first; later the keys stay as they were."""

    def __init__(self, path: Path, fixed: Sequence[KeyRecord], limits: Limits, clock: Callable[[], float]) -> None:
        self._path = path
        self._fixed = fixed
        self._limits = limits
        self._clock = clock
        self._mark = self._look()
        self._looked = clock()
        self._ring = self._read()

    @property
    def ring(self) -> KeyRing:
        now = self._clock()
        if now - self._looked >= _LOOK_EVERY_S:
            self._looked = now
            self._refresh()
        return self._ring

    def _refresh(self) -> None:
        mark = self._look()
        if mark == self._mark:
            return
        try:
            self._ring = self._read()
        except ConfigError as error:
            logs.logger.error("%s; the keys stay as they were", error)
        self._mark = mark

    def _read(self) -> KeyRing:
        return KeyRing([*read_keys(self._path), *self._fixed], self._limits)

    def _look(self) -> tuple[int, int, int] | None:
        """The same as long as the file is."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
