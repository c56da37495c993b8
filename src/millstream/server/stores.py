"""Where what outlives a request is kept, as ``[sessions]`` of the configuration has it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from millstream.config import Config, ConfigError, state_path
from millstream.sessions.base import SessionStore
from millstream.sessions.journal import Journal
from millstream.sessions.journal_memory import MemoryJournal
from millstream.sessions.journal_sqlite import SqliteJournal
from millstream.sessions.memory import MemoryStore
from millstream.sessions.sqlite import SqliteStore

T = TypeVar("T")


def sessions_of(config: Config, now: Callable[[], float]) -> SessionStore:
    """Raises ``ConfigError``."""
    sessions = config.sessions
    if sessions.store == "memory":
        return MemoryStore(now, sessions.max_bytes)
    if sessions.store == "redis":
        from millstream.sessions.redis import RedisStore

        return _in_redis(config, lambda url: RedisStore(url, now, sessions.max_bytes))
    return SqliteStore(_path(config), now, sessions.max_bytes)


def journal_of(config: Config, now: Callable[[], float]) -> Journal:
    """Raises ``ConfigError``."""
    sessions = config.sessions
    if sessions.store == "memory":
        return MemoryJournal(now, sessions.max_bytes)
    if sessions.store == "redis":
        from millstream.sessions.journal_redis import RedisJournal

        return _in_redis(config, lambda url: RedisJournal(url, now, sessions.max_bytes))
    return SqliteJournal(_path(config).with_name("journal.db"), now, sessions.max_bytes)


def _path(config: Config) -> Path:
    return Path(config.sessions.path).expanduser() if config.sessions.path is not None else state_path()


def _in_redis(config: Config, make: Callable[[str], T]) -> T:
    url = config.sessions.redis_url
    if url is None:
        raise ConfigError('sessions.redis_url: where Redis is, for example "redis://localhost:6379/0"')
    try:
        return make(url)
    except ImportError as error:
        raise ConfigError('sessions.store: "redis" needs an extra: pip install "millstream[redis]"') from error
    except (ValueError, TypeError) as error:
        raise ConfigError(f"sessions.redis_url: it cannot be used: {error}") from error
