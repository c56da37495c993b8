"""An upstream whose every byte, and the moment it leaves, is the test's own choice."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self

from raw_http import LAST_CHUNK, Body, Cut, Head, chunk, read_head

STREAM = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}


class Call:
    """One request that the gateway made, and the answer to it, under way."""

    def __init__(self, head: Head, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.method, self.path = head.first[0], head.first[1]
        self.headers = head.headers
        self.body = body
        self.at = asyncio.get_running_loop().time()
        self._reader = reader
        self._writer = writer
        self._open = False
        """A chunked body has begun and has not ended."""

    async def head(self, status: int = 200, headers: Mapping[str, str] = STREAM) -> None:
        """The head of a chunked answer."""
        await self._write(_head(status, {**headers, "transfer-encoding": "chunked"}))
        self._open = True

    async def send(self, data: bytes) -> None:
        """``data`` as one chunk. Nothing gives none: an empty chunk would be the end."""
        if data:
            await self._write(chunk(data))

    async def end(self) -> None:
        """A clean end of the body."""
        self._open = False
        await self._write(LAST_CHUNK)

    async def stream(self, *pieces: bytes, headers: Mapping[str, str] = STREAM) -> None:
        """A whole stream, one chunk per piece."""
        await self.head(headers=headers)
        for piece in pieces:
            await self.send(piece)
        await self.end()

    async def answer(self, status: int, body: bytes, headers: Mapping[str, str] = JSON) -> None:
        """A whole answer."""
        await self._write(_head(status, {**headers, "content-length": str(len(body))}) + body)

    def cut(self) -> None:
        """Close the connection in the middle of whatever it was saying."""
        self._writer.close()

    def reset(self) -> None:
        """As ``cut``, but hard: what was not read yet may be lost to the other side."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self._writer.transport.abort()

    async def gone(self) -> float:
        """Waits until the gateway closes the connection; the loop's time when that was noticed."""
        try:
            while await self._reader.read(2**16):
                pass
        except ConnectionError:
            pass
        return asyncio.get_running_loop().time()

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


Answer = Callable[[Call], Awaitable[None]]


class RawUpstream:
    """A server of chat calls. ``answers`` are used up one per request, the last one stays. Use it with ``async with``.

    What an answer raises is raised again where the server's block ends: an assertion in it fails the test.
    """

    def __init__(self, *answers: Answer, listener: socket.socket | None = None) -> None:
        self.answers = list(answers)
        self.calls: list[Call] = []
        self.connections = 0
        """How many there were in all."""
        self._listener = listener
        self._tasks: set[asyncio.Task[None]] = set()
        self._errors: list[Exception] = []
        self._arrived: asyncio.Condition

    @property
    def open(self) -> int:
        """How many connections there are now."""
        return len(self._tasks)

    @property
    def url(self) -> str:
        host, port = self._server.sockets[0].getsockname()
        return f"http://{host}:{port}"

    async def __aenter__(self) -> Self:
        self._arrived = asyncio.Condition()
        if self._listener is not None:
            self._server = await asyncio.start_server(self._accept, sock=self._listener)
        else:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        if error is None and self._errors:
            raise self._errors[0]

    async def arrived(self, number: int = 1) -> Call:
        """Waits for the ``number``-th request."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.calls) >= number)
        return self.calls[number - 1]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (Cut, ConnectionError, asyncio.CancelledError):
            return
        except Exception as error:
            self._errors.append(error)
        finally:
            self._tasks.discard(task)
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await read_head(reader)
            call = Call(head, await Body(reader, head.headers).rest(), reader, writer)
            async with self._arrived:
                self.calls.append(call)
                self._arrived.notify_all()
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            await answer(call)
            if call._open or writer.is_closing():
                return


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode("latin-1")
