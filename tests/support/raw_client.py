"""A client that sees when its response's head and each piece of its body come, and that can leave at any moment."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from raw_http import LAST_CHUNK, Body, Cut, Head, chunk, read_head


class RawClient:
    """One connection to ``address``. Use it with ``async with``."""

    def __init__(self, address: tuple[str, int], receive_buffer: int | None = None) -> None:
        """``receive_buffer`` makes the kernel's own buffer small, for clients that read slowly."""
        self._address = address
        self._receive_buffer = receive_buffer
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self.headers: dict[str, str] = {}
        """Of the last response, names in lower case."""
        self.body: Body

    async def __aenter__(self) -> Self:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if self._receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, self._address)
        except OSError:
            sock.close()
            raise
        limit = self._receive_buffer or 2**16
        self._reader, self._writer = await asyncio.open_connection(sock=sock, limit=limit)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    async def send(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """A whole request. A ``transfer-encoding: chunked`` among the headers is obeyed."""
        sent = {"host": f"{self._address[0]}:{self._address[1]}", **(headers or {})}
        chunked = sent.get("transfer-encoding") == "chunked"
        if not chunked and (body or method == "POST"):
            sent.setdefault("content-length", str(len(body)))
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        head = f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
        await self.send_bytes(head + (chunk(body) + LAST_CHUNK if chunked else body))

    async def send_bytes(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def head(self) -> int:
        """Waits for the response's head; its status. Raises ``Cut``."""
        head: Head = await read_head(self._reader)
        self.headers = head.headers
        self.body = Body(self._reader, head.headers)
        return int(head.first[1])

    async def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """A request and its whole answer."""
        await self.send(method, path, body, headers)
        status = await self.head()
        return status, b"" if method == "HEAD" else await self.body.rest()

    async def leave(self) -> None:
        """Close the connection, whatever is under way."""
        self._writer.transport.abort()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return

    async def closed(self) -> bytes:
        """Waits until the server closes the connection; what still came before."""
        try:
            return await self._reader.read()
        except ConnectionError:
            return b""


__all__ = ["Cut", "RawClient"]
