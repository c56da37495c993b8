"""Requests to one provider: its pool of connections, the limits of time, and what failures are called."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from collections import deque
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

from millstream.core.errors import Kind, UpstreamFault
from millstream.dialects.base import Headers, UpstreamRequest
from millstream.providers.base import ReadReply, Sink
from millstream.providers.transport.connect import Connector, UnsupportedProxy, endpoint_of, proxy_for
from millstream.providers.transport.connection import Broken, Connection

_POOL_KEEPALIVE_S: Final = 30.0
_HOP_HEADERS: Final = ("connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding")
_PLAIN_PATH: Final = re.compile(r"[!-~]*")
_PATH_SAFE: Final = "".join(map(chr, range(33, 127)))


class HttpReply(ReadReply):
    """One upstream answer whose head has arrived. Implements ``providers.base.Reply``.

    The idle limit costs nothing per read: one timer per stream looks, each time it runs out, since when the upstream
    has been silent. The time between two reads is not the upstream's: a slow client makes them rare.
    """

    def __init__(self, connection: Connection, pool: Pool, name: str, idle_timeout: float) -> None:
        self.status = connection.status
        self.headers: Headers = {k: v for k, v in connection.headers.items() if k not in _HOP_HEADERS}
        self._connection: Connection | None = connection
        self._pool = pool
        self.name = name
        self._idle_timeout = idle_timeout
        self._timed_out = False
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(idle_timeout, self._look)

    @property
    def ended(self) -> bool:
        """All of it has come and was taken."""
        return self._connection is None or self._connection.reusable

    async def read(self) -> bytes:
        """The next bytes as they came; ``b""`` at a clean end. Raises ``UpstreamFault`` on a cut or a silence."""
        if self._connection is None:
            return b""
        try:
            return await self._connection.read()
        except (Broken, OSError) as error:
            raise self._fault(error) from error

    async def pour(self, sink: Sink) -> None:
        """Each read goes to ``sink`` in the callback that read it. Raises as ``read`` does."""
        if self._connection is None:
            return
        try:
            await self._connection.pour(sink)
        except (Broken, OSError) as error:
            raise self._fault(error) from error

    def close(self) -> None:
        """Let go at once: an answer still under way is cancelled at the upstream by closing its connection."""
        self._timer.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.take_back(connection)

    def _look(self) -> None:
        connection = self._connection
        if connection is None or connection.complete:
            return
        rest = self._idle_timeout
        if connection.waiting:
            rest += connection.heard_at - self._loop.time()
        if rest > 0:
            self._timer = self._loop.call_later(rest, self._look)
            return
        self._timed_out = True
        connection.close()

    def _fault(self, error: Exception) -> UpstreamFault:
        self.close()
        if self._timed_out:
            return UpstreamFault(f"{self.name} sent nothing for {self._idle_timeout:g} s", Kind.TIMEOUT)
        return UpstreamFault(f"{self.name} broke off its answer ({_reason(error)})", Kind.TRUNCATED)


@dataclass(frozen=True, slots=True)
class Waits:
    """How long, in seconds, to wait for a connection, for an answer's head, and between two pieces of an answer."""

    connect: float = 10.0
    head: float = 600.0
    idle: float = 300.0


class Pool:
    """Connections to one upstream. The one used last is used next, so that those not needed grow old and are closed."""

    def __init__(self, connector: Connector, connect_timeout: float) -> None:
        self._connector = connector
        self._connect_timeout = connect_timeout
        self._loop = asyncio.get_running_loop()
        self._open: set[Connection] = set()
        self._idle: deque[tuple[float, Connection]] = deque()
        self._sweep: asyncio.TimerHandle | None = None

    def kept(self) -> Connection | None:
        """A connection of an earlier request that is still good."""
        while self._idle:
            _, connection = self._idle.pop()
            if not connection.closing:
                return connection
        return None

    async def fresh(self) -> Connection:
        """A new connection. Raises ``TimeoutError`` and as ``Connector.connect`` does."""
        async with asyncio.timeout(self._connect_timeout):
            connection = await self._connector.connect(lambda: Connection(self._loop, self._open.discard))
        self._open.add(connection)
        return connection

    def take_back(self, connection: Connection) -> None:
        """For another request, if its answer was read to the end; else it is closed."""
        if not connection.reusable:
            connection.close()
            return
        self._idle.append((self._loop.time(), connection))
        if self._sweep is None:
            self._sweep = self._loop.call_later(_POOL_KEEPALIVE_S, self._close_old)

    def close(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        self._idle.clear()
        for connection in list(self._open):
            connection.close()

    def _close_old(self) -> None:
        before = self._loop.time() - _POOL_KEEPALIVE_S
        while self._idle and self._idle[0][0] <= before:
            self._idle.popleft()[1].close()
        self._sweep = None
        if self._idle:
            self._sweep = self._loop.call_at(self._idle[0][0] + _POOL_KEEPALIVE_S, self._close_old)


class HttpTransport:
    """One provider's HTTP endpoint. Implements ``providers.base.Transport``.

    ``HTTPS_PROXY`` and its like are honoured, except for upstreams on this machine.
    """

    def __init__(self, name: str, base_url: str, headers: Headers, waits: Waits) -> None:
        self._name = name
        self._base_url = base_url
        self._waits = waits
        self._pool: Pool | None = None
        self._target = ""
        fixed = {
            "host": urlsplit(base_url).netloc.rpartition("@")[2],
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": "millstream",
            **headers,
        }
        self._headers = {name.lower(): value for name, value in fixed.items()}

    async def open(self, request: UpstreamRequest, *, stream: bool) -> HttpReply:
        """Send ``request``; returns once the answer's head is here.

        Raises ``UpstreamFault``: UNREACHABLE if no connection came about or it closed before an answer, TIMEOUT if the
        head took longer than the limit.
        """
        connecting = True
        try:
            pool = self._pool or self._new_pool()
            head = self._head(request, stream=stream)
            until = asyncio.get_running_loop().time() + self._waits.head
            connection = pool.kept()
            if connection is not None:
                connecting = False
                connection = await self._ask_kept(connection, head, request.body, until)
            if connection is None:
                connecting = True
                fresh = await pool.fresh()
                connecting = False
                connection = await _ask(fresh, head, request.body, until)
        except UnsupportedProxy as error:
            raise UpstreamFault(f"could not reach {self._name}: {error}", Kind.UNREACHABLE, retryable=False) from error
        except (Broken, OSError) as error:
            if _is_ours(error):
                raise self._too_late(connecting=connecting) from error
            message = f"could not reach {self._name} at {self._base_url} ({_reason(error)})"
            raise UpstreamFault(message, Kind.UNREACHABLE) from error
        return HttpReply(connection, pool, self._name, self._waits.idle)

    async def aclose(self) -> None:
        """Close every connection of the pool."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    async def _ask_kept(self, connection: Connection, head: bytes, body: bytes, until: float) -> Connection | None:
        """None if the upstream was just closing this connection for its age: it has not taken the request
        (https://www.rfc-editor.org/rfc/rfc9112#name-retrying-requests), and a fresh one will do."""
        try:
            return await _ask(connection, head, body, until)
        except (Broken, OSError) as error:
            if connection.heard or _is_ours(error):
                raise
            return None

    def _too_late(self, *, connecting: bool) -> UpstreamFault:
        if connecting:
            message = f"could not connect to {self._name} within {self._waits.connect:g} s"
            return UpstreamFault(message, Kind.UNREACHABLE)
        return UpstreamFault(f"{self._name} did not answer within {self._waits.head:g} s", Kind.TIMEOUT)

    def _new_pool(self) -> Pool:
        target = endpoint_of(self._base_url)
        proxy = proxy_for(target)
        self._target = urlsplit(self._base_url).path
        if proxy is not None and not target.tls:
            self._target = self._base_url
            if proxy.authorization is not None:
                self._headers["proxy-authorization"] = proxy.authorization
        self._pool = Pool(Connector(target, proxy), self._waits.connect)
        return self._pool

    def _head(self, request: UpstreamRequest, *, stream: bool) -> bytes:
        accept = "text/event-stream, application/json" if stream else "application/json"
        headers = {**self._headers, "accept": accept, **request.headers, "content-length": str(len(request.body))}
        path = self._target + request.path
        if not _PLAIN_PATH.fullmatch(path):
            path = quote(path, safe=_PATH_SAFE)
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {_one_line(value)}" for name, value in headers.items()), "\r\n"]
        return "\r\n".join(lines).encode("latin-1", "replace")


async def _ask(connection: Connection, head: bytes, body: bytes, until: float) -> Connection:
    try:
        await connection.ask(head, body, until)
    except BaseException:
        connection.close()
        raise
    return connection


def _is_ours(error: Exception) -> bool:
    """A limit of ours was over, not one of the kernel's."""
    return isinstance(error, TimeoutError) and error.errno is None


def _one_line(value: str) -> str:
    """A line break could smuggle a header in."""
    return value.replace("\r", " ").replace("\n", " ") if "\r" in value or "\n" in value else value


def _reason(error: Exception) -> str:
    """Why, in a few words, without addresses of proxies or other detail that may hold a secret."""
    if isinstance(error, Broken):
        return str(error)
    if isinstance(error, socket.gaierror):
        return "its name does not resolve"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not trusted"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or 'no reason given').lower().replace('_', ' ')}"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return "the connection closed" if isinstance(error, ConnectionError) else type(error).__name__
