"""A Redis server, or one that speaks its protocol (Valkey): how it is reached, asked, and given up on.

What is asked are Lua scripts: each runs as one step, whatever others do. What waits goes out together, so that many
questions cost one round trip.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from millstream.sessions.base import StoreError

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

PATIENCE_S = 5.0
"""How long a server that cannot be reached, or does not answer, is tried: one that is restarted is back by then."""

_RETRY_S = (0.02, 0.5)
_OLDEST = "a Redis server of version 6 or newer"
Argument = bytes | str | int | float
"""What a command is made of."""

_Question = tuple[str, "Script", Sequence[Argument], asyncio.Future[Any]]


class Script:
    """Lua that a server runs as one step. https://redis.io/docs/latest/develop/programmability/eval-intro/"""

    def __init__(self, text: str) -> None:
        self.text = text
        self.name = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def connection(url: str, patience: float = PATIENCE_S) -> AbstractConnection:
    """Not connected yet, and waits for answers without end. Raises ``ValueError`` for a URL that is none, and
    ``ImportError`` without the extra ``redis``."""
    from redis.asyncio import ConnectionPool
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    over_network: dict[str, Any] = {} if url.startswith("unix:") else {"socket_keepalive": True}
    pool = ConnectionPool.from_url(
        url,
        protocol=2,
        socket_timeout=None,  # whoever uses it sets the time: its own way may swallow a cancellation (Python 3.11)
        socket_connect_timeout=patience,
        retry=Retry(NoBackoff(), 0),  # done here, where it is known what may be asked twice
        **over_network,
    )
    made: AbstractConnection = pool.connection_class(**pool.connection_kwargs)
    return made


class RedisLine:
    """One connection, and what waits to be asked on it. ``what`` is the store's name in errors; ``most_at_once`` are
    the questions of one round trip."""

    def __init__(self, url: str, what: str, *, most_at_once: int = 256, patience: float = PATIENCE_S) -> None:
        self._connection = connection(url, patience)
        self._what = what
        self._most_at_once = most_at_once
        self._patience = patience
        self._waiting: deque[_Question] = deque()
        self._asking: asyncio.Task[None] | None = None
        self._reached = True
        self._closed = False

    async def ask(self, script: Script, key: str, *arguments: Argument, apart: str = "") -> Any:
        """The answer of ``script``, which is asked again where an answer got lost: it must bear that. Questions that
        are to be kept ``apart`` under the same word do not go out together, but in their order. Raises ``StoreError``.
        """
        if self._closed:
            raise StoreError(f"the {self._what} in Redis is closed")
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((apart, script, (key, *arguments), answer))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_all())
        return await answer

    async def aclose(self) -> None:
        self._closed = True
        if self._asking is not None:
            await asyncio.wait({self._asking})
        await self._connection.disconnect(nowait=True)

    async def _ask_all(self) -> None:
        while self._waiting:
            some = self._next()
            try:
                answers: Sequence[Any] = await self._answers([(script, words) for _, script, words, _ in some])
            except StoreError as error:
                answers = [error] * len(some)
            except Exception as error:
                answers = [self._failure(error)] * len(some)
            for (_, _, _, future), answer in zip(some, answers, strict=True):
                if not future.done():
                    _settle(future, answer)

    def _next(self) -> list[_Question]:
        if len(self._waiting) == 1:
            return [self._waiting.popleft()]
        some: list[_Question] = []
        left: list[_Question] = []
        words = set[str]()
        while self._waiting and len(some) < self._most_at_once:
            question = self._waiting.popleft()
            if question[0] and question[0] in words:
                left.append(question)
                continue
            words.add(question[0])
            some.append(question)
        self._waiting.extendleft(reversed(left))
        return some

    async def _answers(self, questions: Sequence[tuple[Script, Sequence[Argument]]]) -> Sequence[Any]:
        """Asked until it is answered, or ``patience`` is at its end. A server that was not there the last time is tried
        only once: nobody waits for it again and again."""
        from redis.exceptions import AuthenticationError
        from redis.exceptions import ConnectionError as Unreachable
        from redis.exceptions import TimeoutError as TooSlow

        loop = asyncio.get_running_loop()
        end = loop.time() + (self._patience if self._reached else 0)
        pause, most = _RETRY_S
        while True:
            try:
                async with asyncio.timeout(self._patience):
                    answers = await self._once(questions)
            except (Unreachable, TooSlow, OSError) as error:  # asyncio's TimeoutError is an OSError
                await self._connection.disconnect(nowait=True)
                if loop.time() + pause > end or isinstance(error, AuthenticationError):
                    self._reached = False
                    raise self._failure(error) from error
            else:
                self._reached = True
                return answers
            await asyncio.sleep(pause)
            pause = min(pause * 2, most)

    async def _once(self, questions: Sequence[tuple[Script, Sequence[Argument]]]) -> Sequence[Any]:
        answers = await self._sent([("EVALSHA", script.name, 1, *words) for script, words in questions])
        unknown = {script.text for (script, _), said in zip(questions, answers, strict=True) if _is_unknown(said)}
        if not unknown:
            return self._told(answers)
        # A script that the server does not know has done nothing.
        loaded = await self._sent([("SCRIPT", "LOAD", text) for text in unknown])
        self._told(loaded)
        again = [number for number, said in enumerate(answers) if _is_unknown(said)]
        renewed = await self._sent([("EVALSHA", questions[n][0].name, 1, *questions[n][1]) for n in again])
        for number, answer in zip(again, renewed, strict=True):
            answers[number] = answer
        return self._told(answers)

    async def _sent(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        from redis.exceptions import ConnectionError as Unreachable
        from redis.exceptions import RedisError, ResponseError

        line = self._connection
        await line.send_packed_command(line.pack_commands(commands), check_health=False)
        answers: list[Any] = []
        for _ in commands:
            try:
                answers.append(await line.read_response())
            except ResponseError as error:
                answers.append(error)
            except Unreachable:
                raise
            except RedisError as error:
                await line.disconnect(nowait=True)
                raise self._failure(error) from error
        return answers

    def _told(self, answers: list[Any]) -> list[Any]:
        from redis.exceptions import ResponseError

        return [self._failure(said) if isinstance(said, ResponseError) else said for said in answers]

    def _failure(self, error: Exception) -> StoreError:
        """The URL is left out: it may hold a password."""
        from redis.exceptions import AuthenticationError, OutOfMemoryError

        why = str(error) or "it does not answer"
        if isinstance(error, OutOfMemoryError) or "OOM" in why:
            why = f"it is full ({why})"
        elif isinstance(error, AuthenticationError):
            why = f"it wants another user or password ({why})"
        elif "unknown command" in why.lower():
            why = f"it is not {_OLDEST} ({why})"
        return StoreError(f"the {self._what} in Redis cannot be used: {why}")


def _settle(future: asyncio.Future[Any], answer: Any) -> None:
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)


def _is_unknown(answer: Any) -> bool:
    from redis.exceptions import NoScriptError

    return isinstance(answer, NoScriptError)
