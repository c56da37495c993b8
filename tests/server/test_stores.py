"""Where replies and runs are kept, as the settings say."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from millstream.config import Config, ConfigError, SessionsConfig, fingerprint
from millstream.server.stores import journal_of, sessions_of
from millstream.sessions.journal_memory import MemoryJournal
from millstream.sessions.journal_redis import RedisJournal
from millstream.sessions.journal_sqlite import SqliteJournal
from millstream.sessions.memory import MemoryStore
from millstream.sessions.redis import RedisStore
from millstream.sessions.sqlite import SqliteStore


def test_each_store_is_one_for_replies_and_for_runs(tmp_path: Path) -> None:
    async def main() -> None:
        for settings, store, journal in (
            (SessionsConfig(store="memory"), MemoryStore, MemoryJournal),
            (SessionsConfig(path=str(tmp_path / "s.db")), SqliteStore, SqliteJournal),
            (SessionsConfig(store="redis", redis_url="redis://localhost:1/0"), RedisStore, RedisJournal),
        ):
            made = (sessions_of(Config(sessions=settings), time.time), journal_of(Config(sessions=settings), time.time))
            assert (type(made[0]), type(made[1])) == (store, journal)
            for one in made:
                await one.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("url", [None, "http://localhost", "redis://localhost:port"])
def test_a_url_that_is_none_is_named(url: str | None) -> None:
    config = Config(sessions=SessionsConfig(store="redis", redis_url=url))
    for make in (sessions_of, journal_of):
        with pytest.raises(ConfigError, match=r"sessions\.redis_url"):
            make(config, time.time)


def test_a_password_does_not_show_in_the_fingerprint() -> None:
    one, other = (Config(sessions=SessionsConfig(redis_url=f"redis://u:{word}@h/0")) for word in ("a", "b"))
    assert fingerprint(one, []) == fingerprint(other, [])
