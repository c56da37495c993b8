"""Bytes to and from upstreams over HTTP: the one module that knows aiohttp.

Chosen by measurement (see docs/decisions/0001-aiohttp-upstream.md). Library exceptions become ``UpstreamFault`` here
and nowhere else.
"""

from __future__ import annotations

import asyncio
import io
import ipaddress
import os
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from millstream.core.errors import Kind, UpstreamFault
from millstream.dialects.base import Headers, UpstreamRequest

_POOL_KEEPALIVE_S: Final = 30.0
_ONE_WRITE_BYTES: Final = 1024 * 1024
"""A body up to this size is written at once, a larger one in pieces between which other streams go on."""

_HOP_HEADERS: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding"})


class HttpReply:
    """One upstream answer whose head has arrived. Implements ``providers.base.Reply``.

    The idle limit costs nothing per read: one timer per stream looks, each time it runs out, since when a read has been
    waiting. The time between two reads is not the upstream's: a slow client makes them rare.
    """

    def __init__(self, response: aiohttp.ClientResponse, name: str, idle_timeout: float) -> None:
        self.status = response.status
        self.headers: Headers = {
            key.lower(): value for key, value in response.headers.items() if key.lower() not in _HOP_HEADERS
        }
        self._response = response
        self._name = name
        self._idle_timeout = idle_timeout
        self._loop = asyncio.get_running_loop()
        self._waiting_since: float | None = None
        self._timed_out = False
        self._timer = self._loop.call_later(idle_timeout, self._look)

    async def read(self) -> bytes:
        """The next bytes as they came; ``b""`` at a clean end. Raises ``UpstreamFault`` on a cut or a silence."""
        self._waiting_since = self._loop.time()
        try:
            data = await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            self.close()
            raise self._fault(error) from error
        self._waiting_since = None
        if not data:
            self._timer.cancel()
            if self._timed_out:
                raise self._fault(TimeoutError())
        return data

    async def read_all(self, limit: int) -> bytes:
        """The whole body. Raises ``UpstreamFault`` if it is cut, or longer than ``limit`` bytes."""
        pieces: list[bytes] = []
        size = 0
        while data := await self.read():
            pieces.append(data)
            size += len(data)
            if size > limit:
                self.close()
                raise UpstreamFault(f"{self._name}'s answer is longer than {limit} bytes", Kind.MALFORMED)
        return b"".join(pieces)

    def close(self) -> None:
        """Let go at once: an answer still under way is cancelled at the upstream by closing its connection."""
        self._timer.cancel()
        self._response.close()

    def _look(self) -> None:
        since = self._waiting_since
        rest = self._idle_timeout if since is None else since + self._idle_timeout - self._loop.time()
        if rest > 0:
            self._timer = self._loop.call_later(rest, self._look)
            return
        self._timed_out = True
        self._response.close()

    def _fault(self, error: Exception) -> UpstreamFault:
        if self._timed_out:
            return UpstreamFault(f"{self._name} sent nothing for {self._idle_timeout:g} s", Kind.TIMEOUT)
        return UpstreamFault(f"{self._name} broke off its answer ({_reason(error)})", Kind.TRUNCATED)


@dataclass(frozen=True, slots=True)
class Waits:
    """How long, in seconds, to wait for a connection, for an answer's head, and between two pieces of an answer."""

    connect: float = 10.0
    head: float = 600.0
    idle: float = 300.0


class HttpTransport:
    """One provider's HTTP endpoint with its pool of kept-alive connections. Implements ``providers.base.Transport``.

    ``HTTPS_PROXY`` and its like are honoured, except for upstreams on this machine.
    """

    def __init__(self, name: str, base_url: str, headers: Headers, waits: Waits) -> None:
        self._name = name
        self._base_url = base_url
        self._headers = {"accept-encoding": "identity", "content-type": "application/json", **headers}
        self._waits = waits
        self._session: aiohttp.ClientSession | None = None

    async def open(self, request: UpstreamRequest, *, stream: bool) -> HttpReply:
        """Send ``request``; returns once the answer's head is here.

        Raises ``UpstreamFault``: UNREACHABLE if no connection came about or it closed before an answer, TIMEOUT if the
        head took longer than the limit.
        """
        accept = "text/event-stream, application/json" if stream else "application/json"
        headers = {"accept": accept, **self._headers, **request.headers}
        body = request.body if len(request.body) <= _ONE_WRITE_BYTES else io.BytesIO(request.body)
        try:
            async with asyncio.timeout(self._waits.head):
                response = await self._pool().post(
                    self._base_url + request.path, data=body, headers=headers, allow_redirects=False
                )
        except aiohttp.ConnectionTimeoutError as error:
            wait = self._waits.connect
            raise UpstreamFault(f"could not connect to {self._name} within {wait:g} s", Kind.UNREACHABLE) from error
        except TimeoutError as error:
            wait = self._waits.head
            raise UpstreamFault(f"{self._name} did not answer within {wait:g} s", Kind.TIMEOUT) from error
        except (aiohttp.ClientError, OSError) as error:
            message = f"could not reach {self._name} at {self._base_url} ({_reason(error)})"
            raise UpstreamFault(message, Kind.UNREACHABLE) from error
        return HttpReply(response, self._name, self._waits.idle)

    async def aclose(self) -> None:
        """Close every connection of the pool."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._waits.connect)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_POOL_KEEPALIVE_S),
                timeout=timeout,
                trust_env=not _is_loopback(self._base_url),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent",),
                headers={"user-agent": "millstream"},
            )
        return self._session


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _reason(error: Exception) -> str:
    """Why, in a few words, without addresses of proxies or other detail that may hold a secret."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name does not resolve"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        return "its certificate is not trusted"
    if isinstance(error, aiohttp.ClientConnectorError):
        return os.strerror(error.os_error.errno).lower() if error.os_error.errno else "no connection"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the connection closed before the end"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
