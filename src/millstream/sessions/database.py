"""SQLite files of ours: how they are opened, by whom they can be read, how their tables are made, and the thread that
uses one."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from millstream.sessions.base import StoreError

_BUSY_S = 10.0
_RETRY_S = 0.01
_opening = threading.Lock()
_MOST_AT_ONCE = 256
"""Questions of one transaction: those that come later should not wait for too many."""

T = TypeVar("T")


def open_database(path: Path, schema: str, version: int) -> sqlite3.Connection:
    """A connection in autocommit mode to the file at ``path``, which only its owner can read; made with ``schema`` if
    it is new. Raises ``sqlite3.Error`` or ``OSError``, also for a file of another ``version``."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _opening:
        _make_private(path)
        database = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    try:
        _use_wal(database)
        database.execute("PRAGMA synchronous = NORMAL")
        _migrate(database, schema, version)
    except BaseException:
        database.close()
        raise
    return database


def _make_private(path: Path) -> None:
    """SQLite gives the files beside it the rights of this one. A file that is there is left alone: to close it would
    let go of the locks that this process has on it (https://www.sqlite.org/howtocorrupt.html, 2.2)."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return


def _use_wal(database: sqlite3.Connection) -> None:
    """Where two do this to a new file at once, one is told that it is busy, whatever time limit it has set."""
    end = time.monotonic() + _BUSY_S
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(_RETRY_S)
        else:
            return


def _migrate(database: sqlite3.Connection, schema: str, version: int) -> None:
    with database:
        database.execute("BEGIN IMMEDIATE")
        (found,) = database.execute("PRAGMA user_version").fetchone()
        if found == 0:
            for statement in _statements(schema):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {version}")
        elif found != version:
            raise sqlite3.DatabaseError(f"it is of version {found}, and this millstream knows {version} only")


def _statements(script: str) -> list[str]:
    """``executescript`` would commit before it begins."""
    found: list[str] = []
    rest = ""
    for line in script.splitlines():
        rest += line + "\n"
        if sqlite3.complete_statement(rest):
            found.append(rest)
            rest = ""
    return found


class DatabaseThread:
    """A connection of its own and the thread that uses it. Questions that wait are answered in one transaction, which
    ``begin`` begins. ``refusals`` are answers too: whoever asks for what cannot be finds out before anything is
    written, and spoils nothing for the others. ``what`` is the file's name in errors."""

    def __init__(
        self, path: Path, what: str, schema: str, version: int, *, begin: str, refusals: type[Exception]
    ) -> None:
        self._path = path
        self._what = what
        self._schema = schema
        self._version = version
        self._begin = begin
        self._refusals = refusals
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=what)
        self._connection: sqlite3.Connection | None = None
        self._waiting: deque[tuple[Callable[[sqlite3.Connection], Any], asyncio.Future[Any]]] = deque()
        self._answering: asyncio.Future[None] | None = None

    async def ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise StoreError(f"the {self._what} {self._path} is closed")
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._answering is None:
            self._answer_those_who_wait()
        return await answer

    def _answer_those_who_wait(self, _: object = None) -> None:
        self._answering = None
        if self._waiting:
            loop = asyncio.get_running_loop()
            self._answering = loop.run_in_executor(self._thread, self._answer_all, loop)
            self._answering.add_done_callback(self._answer_those_who_wait)

    async def aclose(self) -> None:
        self._closed = True
        while self._answering is not None:
            await asyncio.wait({self._answering})
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _answer_all(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            some = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_AT_ONCE))]
            answers = self._answers([question for question, _ in some])
            loop.call_soon_threadsafe(_deliver, [future for _, future in some], answers)

    def _answers(self, questions: Sequence[Callable[[sqlite3.Connection], Any]]) -> Sequence[Any]:
        try:
            if self._connection is None:
                self._connection = open_database(self._path, self._schema, self._version)
            database = self._connection
            database.execute(self._begin)
            try:
                answers = [self._answer(question, database) for question in questions]
                database.execute("COMMIT")
            except BaseException:
                database.rollback()
                raise
        except (sqlite3.Error, OSError) as error:
            told = StoreError(f"the {self._what} {self._path} cannot be used: {error}")
            return [told] * len(questions)
        return answers

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _answer(self, question: Callable[[sqlite3.Connection], Any], database: sqlite3.Connection) -> Any:
        try:
            return question(database)
        except self._refusals as refusal:
            return refusal


def _deliver(futures: Sequence[asyncio.Future[Any]], answers: Sequence[Any]) -> None:
    for future, answer in zip(futures, answers, strict=True):
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
