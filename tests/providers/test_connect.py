"""TLS and proxies, over real sockets: who is trusted, and what a proxy is told."""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
import uvloop

from millstream.core.errors import Kind, UpstreamFault
from millstream.dialects.base import UpstreamRequest
from millstream.providers.transport import HttpTransport, Waits
from millstream.providers.transport.connect import Endpoint, endpoint_of, proxy_for

REQUEST = UpstreamRequest("/v1/x?y=1", b"{}", {})
HOST = "api.upstream.test"


@dataclass
class Site:
    """An https upstream, and a proxy that leads every name to it."""

    upstream: int = 0
    proxy: int = 0
    said: list[bytes] = field(default_factory=list)
    """The heads of what the proxy was asked."""
    asked: list[bytes] = field(default_factory=list)
    """Likewise the upstream."""


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


@asynccontextmanager
async def site(authority: trustme.CA, *, refuse: bytes | None = None, tls_proxy: bool = False) -> AsyncIterator[Site]:
    found = Site()
    handlers: list[asyncio.Task[None] | None] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.append(asyncio.current_task())
        found.asked.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(2))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
        await close(writer)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.append(asyncio.current_task())
        head = await reader.readuntil(b"\r\n\r\n")
        found.said.append(head)
        if refuse is not None or not head.startswith(b"CONNECT"):
            writer.write(refuse or b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nplain")
            await close(writer)
            return
        there, back = await asyncio.open_connection("127.0.0.1", found.upstream)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with asyncio.TaskGroup() as group:
            group.create_task(copy(reader, back))
            group.create_task(copy(there, writer))

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(2**16):
                writer.write(data)
        await close(writer)

    async def close(writer: asyncio.StreamWriter) -> None:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST, "localhost").configure_cert(context)
    upstream = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    proxy = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context if tls_proxy else None)
    found.upstream = upstream.sockets[0].getsockname()[1]
    found.proxy = proxy.sockets[0].getsockname()[1]
    async with upstream, proxy:
        yield found
        async with asyncio.timeout(5):
            await asyncio.gather(*filter(None, handlers))


async def ask(base_url: str) -> bytes:
    transport = HttpTransport("probe", base_url, {}, Waits(connect=5))
    try:
        reply = await transport.open(REQUEST, stream=True)
        body = await reply.read_all(100)
        reply.close()
    finally:
        await transport.aclose()
    return body


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_an_https_upstream_is_asked_by_its_name(authority: trustme.CA, run: type) -> None:
    async def main() -> None:
        async with site(authority) as found:
            assert await ask(f"https://localhost:{found.upstream}/base") == b"hello"
            assert found.asked[0].startswith(b"POST /base/v1/x?y=1 HTTP/1.1\r\n")
            assert b"\r\nhost: localhost:%d\r\n" % found.upstream in found.asked[0]

    run(main())


def test_a_certificate_of_nobody_is_not_trusted(authority: trustme.CA) -> None:
    async def main() -> None:
        async with site(authority) as found:
            with pytest.raises(UpstreamFault, match="its certificate is not trusted") as caught:
                await ask(f"https://localhost:{found.upstream}")
            assert caught.value.kind is Kind.UNREACHABLE

    asyncio.run(main())


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_another_name_is_not_trusted(authority: trustme.CA) -> None:
    async def main() -> None:
        async with site(authority) as found:
            with pytest.raises(UpstreamFault, match="its certificate is not trusted"):
                await ask(f"https://127.0.0.1:{found.upstream}")

    asyncio.run(main())


def test_an_upstream_that_does_not_speak_tls_is_told_so() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()
        closed.set()

    closed = asyncio.Event()

    async def main() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            with pytest.raises(UpstreamFault, match="TLS failed: wrong version number"):
                await ask(f"https://localhost:{server.sockets[0].getsockname()[1]}")
            async with asyncio.timeout(5):
                await closed.wait()

    asyncio.run(main())


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("tls_proxy", [False, True])
def test_an_https_upstream_is_reached_through_the_proxy(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, run: type, tls_proxy: bool
) -> None:
    async def main() -> None:
        async with site(authority, tls_proxy=tls_proxy) as found:
            scheme = "https" if tls_proxy else "http"
            monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://ann:s%40crt@localhost:{found.proxy}")
            assert await ask(f"https://{HOST}") == b"hello"
            head = found.said[0].split(b"\r\n")
            assert head[0] == b"CONNECT api.upstream.test:443 HTTP/1.1"
            assert b"Proxy-Authorization: Basic " + base64.b64encode(b"ann:s@crt") in head
            assert b"roxy" not in found.asked[0]

    run(main())


def test_an_http_upstream_is_asked_by_its_whole_address(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with site(authority) as found:
            monkeypatch.setenv("http_proxy", f"http://ann:secret@127.0.0.1:{found.proxy}")
            assert await ask(f"http://{HOST}/base") == b"plain"
            head = found.said[0].split(b"\r\n")
            assert head[0] == b"POST http://api.upstream.test/base/v1/x?y=1 HTTP/1.1"
            assert b"proxy-authorization: Basic " + base64.b64encode(b"ann:secret") in head

    asyncio.run(main())


def test_a_proxy_that_refuses_is_quoted(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"
        async with site(authority, refuse=refusal) as found:
            monkeypatch.setenv("HTTPS_PROXY", f"http://ann:secret@127.0.0.1:{found.proxy}")
            with pytest.raises(UpstreamFault, match="407 Proxy Authentication Required") as caught:
                await ask(f"https://{HOST}")
            assert "secret" not in caught.value.message

    asyncio.run(main())


def test_a_kind_of_proxy_that_is_not_spoken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")

    async def main() -> None:
        with pytest.raises(UpstreamFault, match="a proxy of type socks5 is not supported") as caught:
            await ask(f"https://{HOST}")
        assert not caught.value.retryable

    asyncio.run(main())


def test_upstreams_on_this_machine_and_those_excepted_have_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", "intranet.test")
    for url in ("http://127.0.0.1:1", "https://[::1]:1", "http://localhost", "https://llm.intranet.test"):
        assert proxy_for(endpoint_of(url)) is None
    proxy = proxy_for(endpoint_of("https://api.test"))
    assert proxy is not None
    assert proxy.endpoint == Endpoint("proxy.test", 3128, tls=False)
