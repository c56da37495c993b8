"""Real sockets: what becomes of an upstream that refuses, stalls, cuts, or is let go of."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest

from millstream.core.errors import Kind, UpstreamFault
from millstream.core.repeats import Around, Repeats
from millstream.dialects.base import UpstreamRequest
from millstream.providers.transport import HttpReply, HttpTransport, Waits
from millstream.shortcut import Shortcut

Taken = list[bytes]
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


class Sink:
    """Keeps what it is given, up to ``enough`` reads; each is ``slow`` to be taken, if given."""

    shortcut: Shortcut | None = None

    def __init__(self, enough: int = 1000, slow: Callable[[], Awaitable[None]] | None = None) -> None:
        self.taken: Taken = []
        self._enough = enough
        self._slow = slow

    @property
    def done(self) -> bool:
        return len(self.taken) >= self._enough

    def take(self, data: bytes) -> Awaitable[None] | None:
        self.taken.append(data)
        return self._slow() if self._slow is not None else None


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


def test_an_answer_is_poured_to_its_end() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
        await writer.drain()
        writer.write(chunk(b"data: 2\n\n") + b"0\r\n\r\n")

    async def main() -> None:
        async with upstream(handler) as transport:
            reply = await transport.open(REQUEST, stream=True)
            sink = Sink()
            await reply.pour(sink)
            assert b"".join(sink.taken) == b"data: 1\n\ndata: 2\n\n"
            assert await reply.read() == b""
            reply.close()

    asyncio.run(main())


def test_what_follows_when_a_sink_is_done_can_still_be_read() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM_HEAD + chunk(b"1"))
        await writer.drain()
        assert await reader.readexactly(1) == b"!"
        writer.write(chunk(b"2") + b"0\r\n\r\n")

    async def main() -> None:
        async with upstream(handler) as transport:
            reply = await transport.open(REQUEST, stream=True)
            await reply.pour(sink := Sink(enough=1))
            assert sink.taken == [b"1"]
            transport_of(reply).write(b"!")
            assert await reply.read_all(10) == b"2"
            assert sink.taken == [b"1"]
            reply.close()

    asyncio.run(main())


def transport_of(reply: HttpReply) -> asyncio.Transport:
    """The socket, for what a client never says."""
    connection = reply._connection
    assert connection is not None
    return connection._open_transport()


def test_a_cut_while_pouring_is_a_fault_after_what_came_before_it() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM_HEAD + chunk(b"data: 1\n\n"))

    async def main() -> None:
        async with upstream(handler) as transport:
            reply = await transport.open(REQUEST, stream=True)
            sink = Sink()
            with pytest.raises(UpstreamFault) as caught:
                await reply.pour(sink)
            assert caught.value.kind is Kind.TRUNCATED
            assert sink.taken == [b"data: 1\n\n"]

    asyncio.run(main())


def test_a_silence_while_pouring_is_a_timeout() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM_HEAD + chunk(b"data: 1\n\n"))
        await reader.read()

    async def main() -> None:
        async with upstream(handler, Waits(idle=0.05)) as transport:
            reply = await transport.open(REQUEST, stream=True)
            with pytest.raises(UpstreamFault) as caught:
                await reply.pour(Sink())
            assert caught.value.kind is Kind.TIMEOUT

    asyncio.run(main())


def test_a_slow_reader_stops_the_reading_of_the_socket() -> None:
    go_on = asyncio.Event()
    piece = b"x" * 65536
    total = 64 * 1024 * 1024

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.transport.set_write_buffer_limits(0)
        writer.write(STREAM_HEAD)
        for _ in range(total // len(piece)):
            writer.write(chunk(piece))
            try:
                async with asyncio.timeout(0.2):
                    await writer.drain()
            except TimeoutError:
                go_on.set()
                await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def main() -> None:
        async with upstream(handler) as transport:
            reply = await transport.open(REQUEST, stream=True)
            sink = Sink(slow=slow)
            await reply.pour(sink)
            assert sum(map(len, sink.taken)) == total
            reply.close()

    async def slow() -> None:
        async with asyncio.timeout(10):
            await go_on.wait()

    asyncio.run(main())


def test_a_shortcut_is_offered_what_follows_a_read_that_was_one_chunk() -> None:
    """The third read is within a chunk, and only looks like one."""
    frames = [b'{"t":"%d"}' % number for number in range(7)]
    reads = [
        STREAM_HEAD + chunk(frames[0]),
        b"%x\r\n." % (len(chunk(frames[1])) + 1),
        chunk(frames[1]),
        b"\r\n" + chunk(frames[2]),
        chunk(frames[3]),
        chunk(frames[4]),
        chunk(b"other"),
        chunk(frames[5]),
        chunk(frames[6]) + b"0\r\n\r\n",
    ]

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for read in reads:
            writer.write(read)
            assert await reader.readexactly(1) == b"!"

    class Answering(Sink):
        """Tells the upstream of each read, whichever way it goes."""

        def __init__(self, transport: asyncio.Transport) -> None:
            super().__init__()
            self._transport = transport
            self.written: list[bytes] = []

        def take(self, data: bytes) -> Awaitable[None] | None:
            self._transport.write(b"!")
            return super().take(data)

        def write(self, data: bytes) -> None:
            self._transport.write(b"!")
            self.written.append(data)

    async def main() -> None:
        async with upstream(handler) as transport:
            reply = await transport.open(REQUEST, stream=True)
            sink = Answering(transport_of(reply))
            loop = asyncio.get_running_loop()
            sink.shortcut = shortcut = Shortcut(Repeats(Around(b'{"t":', b"}"), None), sink, loop)
            await reply.pour(sink)
            assert sink.taken == [frames[0], b".", chunk(frames[1]), frames[2], frames[3], b"other", frames[6]]
            assert (sink.written, shortcut.taken) == ([chunk(frames[4]), chunk(frames[5])], 2)
            reply.close()

    asyncio.run(main())


def test_silence_is_counted_from_what_a_shortcut_took() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM_HEAD)
        await reader.read()

    class Taken:
        """As if a read came in ten seconds."""

        at = 0.0

        def fits(self, read: bytes, body: bytes) -> bool:
            del read, body
            return True

        def take(self, read: bytes) -> bool:
            del read
            self.at = asyncio.get_running_loop().time() + 10
            return True

    async def main() -> None:
        async with upstream(handler) as transport:
            reply = await transport.open(REQUEST, stream=True)
            connection = reply._connection
            assert connection is not None
            sink = Sink()
            sink.shortcut = cast("Shortcut", Taken())
            pouring = asyncio.create_task(reply.pour(sink))
            await asyncio.sleep(0)
            connection.data_received(chunk(b"1"))
            before = connection.heard_at
            connection.data_received(chunk(b"2"))
            assert connection.heard_at > before + 9
            assert sink.taken == [b"1"]
            reply.close()
            with pytest.raises(UpstreamFault):
                await pouring

    asyncio.run(main())


def test_what_a_sink_raises_ends_the_pouring() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM_HEAD)
        await writer.drain()
        writer.write(chunk(b"1"))
        await reader.read()

    class Broken(Sink):
        def take(self, data: bytes) -> Awaitable[None] | None:
            raise KeyError("a bug")

    async def main() -> None:
        async with upstream(handler) as transport:
            reply = await transport.open(REQUEST, stream=True)
            with pytest.raises(KeyError, match="a bug"):
                await reply.pour(Broken())
            reply.close()

    asyncio.run(main())


def test_a_kept_connection_that_the_upstream_just_closed_is_replaced_at_once() -> None:
    requests: list[int] = []
    connections = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        mine = connections
        await read_request(reader)
        requests.append(mine)
        writer.write(STREAM_HEAD + chunk(b"1") + b"0\r\n\r\n")
        if mine == 1:
            await read_request(reader)  # and closes without an answer

    async def main() -> None:
        async with upstream(handler) as transport:
            for _ in range(2):
                reply = await transport.open(REQUEST, stream=True)
                assert await reply.read_all(10) == b"1"
                reply.close()

    asyncio.run(main())
    assert requests == [1, 2]


def test_a_kept_connection_that_breaks_after_the_first_bytes_is_not_asked_again() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM_HEAD + b"0\r\n\r\n")
        await read_request(reader)
        writer.write(b"HTTP/1.1 2")

    async def main() -> None:
        async with upstream(handler) as transport:
            (await transport.open(REQUEST, stream=True)).close()
            with pytest.raises(UpstreamFault) as caught:
                await transport.open(REQUEST, stream=True)
            assert caught.value.kind is Kind.UNREACHABLE

    asyncio.run(main())


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"until the end"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b"until the end"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", b"abc"),
        (b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", b"abc"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n", gzip.compress(b"small" * 9, mtime=0)),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: deflate\r\n\r\n", zlib.compress(b"small" * 9)),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
def test_every_form_of_answer_is_read_to_its_end(head: bytes, body: bytes) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for at in range(0, len(head), 7):
            writer.write(head[at : at + 7])
            await writer.drain()
        writer.write(body)

    async def main() -> None:
        async with upstream(handler) as transport:
            reply = await transport.open(REQUEST, stream=True)
            expected = b"small" * 9 if b"encoding" in head else body
            assert await reply.read_all(100) == expected
            assert "x" not in reply.headers
            assert "content-encoding" not in reply.headers
            reply.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP"),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: %s\r\n" % (b"y" * 2000) * 200, "longer than 262144 bytes"),
    ],
)
def test_what_is_no_answer_is_unreachable_and_says_why(said: bytes, reason: str) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(said)
        await reader.read()

    async def main() -> None:
        async with upstream(handler) as transport:
            with pytest.raises(UpstreamFault, match=reason) as caught:
                await transport.open(REQUEST, stream=True)
            assert caught.value.kind is Kind.UNREACHABLE

    asyncio.run(main())


def test_an_answer_that_cannot_be_decompressed_is_a_fault() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\nnot gzip")

    async def main() -> None:
        async with upstream(handler) as transport:
            reply = await transport.open(REQUEST, stream=True)
            with pytest.raises(UpstreamFault, match="cannot be decompressed"):
                await reply.read_all(100)

    asyncio.run(main())


def test_a_connection_that_speaks_without_being_asked_is_not_used_again() -> None:
    connections = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_request(reader)
        writer.write(STREAM_HEAD + chunk(b"1") + b"0\r\n\r\n" + STREAM_HEAD + chunk(b"of somebody else"))
        await reader.read()

    async def main() -> None:
        async with upstream(handler) as transport:
            for _ in range(2):
                reply = await transport.open(REQUEST, stream=True)
                assert await reply.read_all(100) == b"1"
                reply.close()

    asyncio.run(main())
    assert connections == 2


def test_a_refusal_of_a_large_body_is_heard_before_all_of_it_is_sent() -> None:
    large = UpstreamRequest("/v1/x", b"x" * (64 * 1024 * 1024))

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        while await reader.read(2**20):
            pass

    async def main() -> None:
        async with upstream(handler) as transport:
            reply = await transport.open(large, stream=True)
            assert reply.status == 413
            reply.close()

    asyncio.run(main())


def test_a_large_body_arrives_whole() -> None:
    large = UpstreamRequest("/v1/x", bytes(range(256)) * 40_000)
    arrived: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.append((await read_request(reader)).partition(b"\r\n\r\n")[2])
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async def main() -> None:
        async with upstream(handler) as transport:
            (await transport.open(large, stream=True)).close()

    asyncio.run(main())
    assert arrived == [large.body]


def test_what_a_header_or_a_path_may_not_hold_smuggles_nothing_in() -> None:
    seen: list[bytes] = []
    request = UpstreamRequest("/v1/mo del\r\nx: y?é=1%20", b"{}", {"x-own": "1\r\nx-evil: 2"})

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async def main() -> None:
        async with upstream(handler) as transport:
            (await transport.open(request, stream=True)).close()

    asyncio.run(main())
    lines = seen[0].split(b"\r\n")
    assert lines[0] == b"POST /v1/mo%20del%0D%0Ax:%20y?%C3%A9=1%20 HTTP/1.1"
    assert b"x-own: 1  x-evil: 2" in lines


def test_the_last_piece_too_is_waited_for() -> None:
    """Some servers send nothing before they are awaited."""
    awaited: list[int] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(STREAM_HEAD)
        await writer.drain()
        writer.write(chunk(b"1") + b"0\r\n\r\n")

    async def slow() -> None:
        awaited.append(1)

    async def main() -> None:
        async with upstream(handler) as transport:
            reply = await transport.open(REQUEST, stream=True)
            await reply.pour(Sink(enough=1, slow=slow))
            reply.close()

    asyncio.run(main())
    assert awaited == [1]
