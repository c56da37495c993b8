"""What changes in Redis, as it changes: a connection that hears of it, for those who wait."""

from __future__ import annotations

import asyncio

from millstream.sessions.redis_line import connection

_RETRY_S = 0.5
_PING_AFTER_S = 10.0
_MOST_UNHEARD = 16
"""Messages for nobody, after which a channel is left: who reads a stream comes back between two of them."""

_MOST_CHANNELS = 4096


class News:
    """Channels are their names. Whoever waits is also told, without words, when something may have been missed, and
    looks for himself."""

    def __init__(self, url: str, patience: float) -> None:
        self._connection = connection(url, patience)
        self._patience = patience
        self._waiters: dict[bytes, set[asyncio.Future[bytes | None]]] = {}
        self._heard: dict[bytes, int] = {}
        """The channels that were asked for, and how many messages in a row were for nobody."""
        self._wanted: list[tuple[str, bytes]] = []
        self._wants = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    def waiter(self, channel: bytes) -> asyncio.Future[bytes | None]:
        """Set at the channel's next message; to be given back with ``leave``."""
        waiter: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(channel, set()).add(waiter)
        if channel not in self._heard:
            if len(self._heard) >= _MOST_CHANNELS:
                for idle in [name for name in self._heard if name not in self._waiters]:
                    self._forget(idle)
            self._heard[channel] = 0
            self._want("SUBSCRIBE", channel)
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._listen())
        return waiter

    def leave(self, channel: bytes, waiter: asyncio.Future[bytes | None]) -> None:
        waiters = self._waiters.get(channel)
        if waiters is not None:
            waiters.discard(waiter)
            if not waiters:
                del self._waiters[channel]

    async def aclose(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait({self._listening})
        for channel in list(self._waiters):
            self._tell(channel, None)
        await self._connection.disconnect(nowait=True)

    async def _listen(self) -> None:
        """As long as somebody waits: connect, hear, and connect again."""
        from redis.exceptions import RedisError

        while self._waiters:
            self._heard = dict.fromkeys(self._waiters, 0)
            self._wanted = [("SUBSCRIBE", channel) for channel in self._heard]
            self._wants.set()
            try:
                async with asyncio.timeout(self._patience):
                    await self._connection.connect()  # type: ignore[no-untyped-call]  # redis-py left it out
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._ask())
                    group.create_task(self._hear())
            except* (RedisError, OSError):
                await self._connection.disconnect(nowait=True)
            for channel in list(self._waiters):
                self._tell(channel, None)
            await asyncio.sleep(_RETRY_S)

    async def _ask(self) -> None:
        while True:
            await self._wants.wait()
            self._wants.clear()
            wanted, self._wanted = self._wanted, []
            if wanted:
                line = self._connection
                await line.send_packed_command(line.pack_commands(wanted), check_health=False)

    async def _hear(self) -> None:
        from redis.exceptions import ConnectionError as Unreachable

        asked = False
        while True:
            said = await self._connection.read_response(timeout=self._patience if asked else _PING_AFTER_S)
            if said is None:
                if asked:
                    raise Unreachable("it is silent")
                await self._connection.send_command("PING", check_health=False)
                asked = True
                continue
            asked = False
            if said[0] == b"message":
                self._pass_on(said[1], said[2])
            elif said[0] == b"subscribe":
                self._tell(said[1], None)  # what was said before was not heard

    def _pass_on(self, channel: bytes, message: bytes) -> None:
        if channel in self._waiters:
            self._heard[channel] = 0
            self._tell(channel, message)
        elif channel in self._heard:
            self._heard[channel] += 1
            if self._heard[channel] > _MOST_UNHEARD:
                self._forget(channel)

    def _forget(self, channel: bytes) -> None:
        del self._heard[channel]
        self._want("UNSUBSCRIBE", channel)

    def _want(self, what: str, channel: bytes) -> None:
        self._wanted.append((what, channel))
        self._wants.set()

    def _tell(self, channel: bytes, message: bytes | None) -> None:
        for waiter in self._waiters.pop(channel, ()):
            if not waiter.done():
                waiter.set_result(message)
