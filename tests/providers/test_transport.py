"""Real sockets: what becomes of an upstream that refuses, stalls, cuts, or is let go of."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from millstream.core.errors import Kind, UpstreamFault
from millstream.dialects.base import UpstreamRequest
from millstream.providers.transport import HttpTransport, Waits

REQUEST = UpstreamRequest("/v1/x", b"{}", {"x-own": "1"})
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    return head + await reader.readexactly(length)


@asynccontextmanager
async def upstream(handler: Handler, waits: Waits = Waits()) -> AsyncIterator[HttpTransport]:  # noqa: B008  # frozen
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport = HttpTransport("probe", f"http://127.0.0.1:{port}", {"authorization": "Bearer k"}, waits)
    try:
        yield transport
    finally:
        await transport.aclose()
        server.close()
        await server.wait_closed()


def test_a_request_goes_out_with_its_credential_and_comes_back_as_it_was_sent() -> None:
    seen: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(STREAM_HEAD + chunk(b"data: 1\n\n") + chunk(b"data: 2\n\n") + b"0\r\n\r\n")

    async def main() -> None:
        async with upstream(handler) as transport:
            reply = await transport.open(REQUEST, stream=True)
            assert reply.status == 200
            assert reply.headers["content-type"] == "text/event-stream"
            assert await reply.read_all(1000) == b"data: 1\n\ndata: 2\n\n"
            assert await reply.read() == b""

    asyncio.run(main())
    request = seen[0].lower()
    assert request.startswith(b"post /v1/x http/1.1")
    for header in (b"authorization: bearer k", b"x-own: 1", b"accept-encoding: identity", b"user-agent: millstream"):
        assert header in request


def test_a_finished_answers_connection_serves_the_next_request() -> None:
    connections = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        for _ in range(2):
            await read_request(reader)
            writer.write(STREAM_HEAD + chunk(b"data: 1\n\n") + b"0\r\n\r\n")

    async def main() -> None:
        async with upstream(handler) as transport:
            for _ in range(2):
                reply = await transport.open(REQUEST, stream=True)
                await reply.read_all(1000)
                reply.close()

    asyncio.run(main())
    assert connections == 1


def test_a_cut_inside_the_body_is_a_fault_and_not_an_end() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM_HEAD + chunk(b"data: 1\n\n"))

    async def main() -> None:
        async with upstream(handler) as transport:
            reply = await transport.open(REQUEST, stream=True)
            assert await reply.read() == b"data: 1\n\n"
            with pytest.raises(UpstreamFault) as caught:
                await reply.read()
            assert caught.value.kind is Kind.TRUNCATED

    asyncio.run(main())


def test_closing_a_reply_ends_the_upstreams_connection() -> None:
    closed = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
        assert await reader.read() == b""
        closed.set()

    async def main() -> None:
        async with upstream(handler) as transport:
            reply = await transport.open(REQUEST, stream=True)
            await reply.read()
            reply.close()
            reply.close()
            async with asyncio.timeout(5):
                await closed.wait()

    asyncio.run(main())


def test_cancelling_a_request_that_waits_for_its_head_ends_the_connection() -> None:
    arrived, closed = asyncio.Event(), asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        arrived.set()
        assert await reader.read() == b""
        closed.set()

    async def main() -> None:
        async with upstream(handler) as transport:
            opening = asyncio.create_task(transport.open(REQUEST, stream=True))
            await arrived.wait()
            opening.cancel()
            async with asyncio.timeout(5):
                await closed.wait()

    asyncio.run(main())


def test_an_answer_without_a_head_in_time_is_a_timeout() -> None:
    async def handler(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async def main() -> None:
        async with upstream(handler, Waits(head=0.05)) as transport:
            with pytest.raises(UpstreamFault) as caught:
                await transport.open(REQUEST, stream=True)
            assert caught.value.kind is Kind.TIMEOUT
            assert "probe did not answer within 0.05 s" in caught.value.message

    asyncio.run(main())


def test_a_silence_inside_an_answer_is_a_timeout_and_ends_the_connection() -> None:
    closed = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
        await reader.read()
        closed.set()

    async def main() -> None:
        async with upstream(handler, Waits(idle=0.05)) as transport:
            reply = await transport.open(REQUEST, stream=True)
            assert await reply.read() == b"data: 1\n\n"
            with pytest.raises(UpstreamFault) as caught:
                await reply.read()
            assert caught.value.kind is Kind.TIMEOUT
            async with asyncio.timeout(5):
                await closed.wait()

    asyncio.run(main())


def test_a_connection_closed_before_an_answer_is_unreachable() -> None:
    async def handler(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await read_request(reader)

    async def main() -> None:
        async with upstream(handler) as transport:
            with pytest.raises(UpstreamFault) as caught:
                await transport.open(REQUEST, stream=True)
            assert caught.value.kind is Kind.UNREACHABLE
            assert "it closed the connection" in caught.value.message

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "reason"),
    [("http://127.0.0.1:1", "refused"), ("http://no-such-host.invalid", "its name does not resolve")],
)
def test_an_upstream_that_is_not_there_is_named_with_the_reason(url: str, reason: str) -> None:
    async def main() -> None:
        transport = HttpTransport("gone", url, {}, Waits())
        try:
            with pytest.raises(UpstreamFault) as caught:
                await transport.open(REQUEST, stream=True)
        finally:
            await transport.aclose()
        assert caught.value.kind is Kind.UNREACHABLE
        assert "gone" in caught.value.message
        assert reason in caught.value.message.lower()

    asyncio.run(main())


def test_an_answer_beyond_the_limit_is_refused() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM_HEAD + chunk(b"x" * 2000) + b"0\r\n\r\n")

    async def main() -> None:
        async with upstream(handler) as transport:
            reply = await transport.open(REQUEST, stream=False)
            with pytest.raises(UpstreamFault, match="longer than 1000 bytes"):
                await reply.read_all(1000)

    asyncio.run(main())


def test_a_redirect_is_given_back_and_not_followed_with_the_key() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")

    async def main() -> None:
        async with upstream(handler) as transport:
            reply = await transport.open(REQUEST, stream=True)
            assert reply.status == 302
            reply.close()

    asyncio.run(main())
