"""From a URL to an open socket: names, both families of addresses, TLS, and the proxies that the environment names.

A proxy gets ``CONNECT`` for an https upstream and the whole URL for an http one
(https://www.rfc-editor.org/rfc/rfc9110#name-connect, https://www.rfc-editor.org/rfc/rfc9112#name-absolute-form).
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
import ssl
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar, cast
from urllib.parse import SplitResult, unquote, urlsplit

import aiohappyeyeballs

from millstream.providers.transport.connection import Broken, Connection

P = TypeVar("P", bound=asyncio.Protocol)

_NEXT_ADDRESS_S: Final = 0.25
_PROXY_HEAD_BYTES: Final = 64 * 1024
_DNS_S: Final = 10.0


class UnsupportedProxy(Exception):
    """The environment names a proxy of a kind that is not spoken here."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    host: str
    port: int
    tls: bool


@dataclass(frozen=True, slots=True)
class Proxy:
    """``authorization`` is the header's value, if the proxy asks for one."""

    endpoint: Endpoint
    authorization: str | None


def endpoint_of(url: str) -> Endpoint:
    return _endpoint(urlsplit(url))


def proxy_for(target: Endpoint) -> Proxy | None:
    """What ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` say of ``target``; upstreams on this machine
    have none. Raises ``UnsupportedProxy``."""
    if is_loopback(target.host) or urllib.request.proxy_bypass(f"{target.host}:{target.port}"):
        return None
    named = urllib.request.getproxies()
    url = named.get("https" if target.tls else "http") or named.get("all")
    if not url:
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https"):
        raise UnsupportedProxy(f"a proxy of type {parts.scheme} is not supported; name an http proxy")
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    return Proxy(_endpoint(parts), authorization)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _endpoint(parts: SplitResult) -> Endpoint:
    tls = parts.scheme == "https"
    return Endpoint(parts.hostname or "", parts.port or (443 if tls else 80), tls)


class Connector:
    """Opens connections to one upstream."""

    def __init__(self, target: Endpoint, proxy: Proxy | None) -> None:
        self._target = target
        self._proxy = proxy
        self._context: ssl.SSLContext | None = None
        self._addresses: list[aiohappyeyeballs.AddrInfoType] = []
        self._addresses_until = 0.0

    async def connect(self, make: Callable[[], Connection]) -> Connection:
        """A fresh connection. Raises ``Broken``, and ``OSError`` (``ssl.SSLError``, ``socket.gaierror``)."""
        proxy = self._proxy
        if proxy is None or not self._target.tls:
            first = self._target if proxy is None else proxy.endpoint
            _, connection = await self._dial(first, make)
            return connection
        tunnel = await self._tunnel(proxy)
        connection = make()
        name = self._target.host
        loop = asyncio.get_running_loop()
        transport = await loop.start_tls(tunnel, connection, self._tls_context(), server_hostname=name)
        if transport is None:
            raise Broken("it closed the connection")
        connection.connection_made(transport)
        return connection

    async def _tunnel(self, proxy: Proxy) -> asyncio.Transport:
        transport, talk = await self._dial(proxy.endpoint, _Tunnel)
        try:
            await talk.ask(self._target, proxy.authorization)
        except BaseException:
            transport.abort()
            raise
        return transport

    async def _resolved(self, endpoint: Endpoint) -> list[aiohappyeyeballs.AddrInfoType]:
        loop = asyncio.get_running_loop()
        if loop.time() >= self._addresses_until:
            found = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
            self._addresses = [(family, kind, protocol, "", address) for family, kind, protocol, _, address in found]
            self._addresses_until = loop.time() + _DNS_S
        return self._addresses

    async def _dial(self, endpoint: Endpoint, make: Callable[[], P]) -> tuple[asyncio.Transport, P]:
        """Addresses are tried as https://www.rfc-editor.org/rfc/rfc8305 says. Where there is but one, the event loop
        connects by itself, in fewer of its turns."""
        addresses = await self._resolved(endpoint)
        create = partial(
            asyncio.get_running_loop().create_connection,
            make,
            ssl=self._tls_context() if endpoint.tls else None,
            server_hostname=endpoint.host if endpoint.tls else None,
        )
        try:
            if len(addresses) == 1 and addresses[0][0] == socket.AF_INET:
                host, port = addresses[0][4]
                return await create(host=host, port=port)
            sock = await aiohappyeyeballs.start_connection(
                addresses, happy_eyeballs_delay=_NEXT_ADDRESS_S, interleave=1
            )
        except OSError:
            self._addresses_until = 0.0
            raise
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return await create(sock=sock)

    def _tls_context(self) -> ssl.SSLContext:
        """Made at its first use: reading the certificates takes longer than the rest of the start."""
        if self._context is None:
            self._context = ssl.create_default_context()
            self._context.set_alpn_protocols(["http/1.1"])
        return self._context


class _Tunnel(asyncio.Protocol):
    """The talk with a proxy before the upstream can be heard through it."""

    def __init__(self) -> None:
        self._said = b""
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    async def ask(self, target: Endpoint, authorization: str | None) -> None:
        """Raises ``Broken`` if the proxy refuses."""
        assert self._transport is not None  # noqa: S101  # connected
        host = f"[{target.host}]" if ":" in target.host else target.host
        lines = [f"CONNECT {host}:{target.port} HTTP/1.1", f"Host: {host}:{target.port}"]
        if authorization is not None:
            lines.append(f"Proxy-Authorization: {authorization}")
        self._transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        await self._done
        status = self._said.split(b" ", 2)[1:2]
        if status != [b"200"]:
            said = self._said.partition(b"\r\n")[0].decode("latin-1")
            raise Broken(f"the proxy does not connect: {said[:100]}")

    def data_received(self, data: bytes) -> None:
        self._said += data
        if b"\r\n\r\n" in self._said or len(self._said) > _PROXY_HEAD_BYTES:
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(exc or Broken("the proxy closed the connection"))

    def _finish(self, error: Exception | None = None) -> None:
        if self._done.done():
            return
        if error is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(error)
