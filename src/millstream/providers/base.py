"""The seam between the pipeline and whatever answers: an HTTP server, a model in this process, a recording."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from millstream.core.errors import Kind, UpstreamFault
from millstream.dialects.base import Headers, UpstreamRequest
from millstream.shortcut import Shortcut


class Sink(Protocol):
    """Takes an answer's bytes as they come."""

    @property
    def done(self) -> bool:
        """Nothing more is wanted."""
        ...

    @property
    def shortcut(self) -> Shortcut | None:
        """For reads like the last one taken, with the framing that HTTP/1.1 gives them. None: ``take`` wants all."""
        ...

    def take(self, data: bytes) -> Awaitable[None] | None:
        """None: go on. Else to be awaited before the next call: whoever reads at the other end is slow."""
        ...


class Reply(Protocol):
    """An upstream's answer whose head is here."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Headers:
        """Names in lower case."""
        ...

    @property
    def ended(self) -> bool:
        """All of it has come and was taken. May be false where only a ``read`` would tell."""
        ...

    async def read(self) -> bytes:
        """The next bytes as they came; ``b""`` at a clean end. Raises ``UpstreamFault`` on a cut or a silence."""
        ...

    async def pour(self, sink: Sink) -> None:
        """Give ``sink`` each read as it comes, until it is done or the answer ends. Raises as ``read`` does."""
        ...

    async def read_all(self, limit: int) -> bytes:
        """The whole body. Raises ``UpstreamFault`` if it is cut, or longer than ``limit`` bytes."""
        ...

    def close(self) -> None:
        """Let go at once: an answer still under way is cancelled, not drained. May be called again."""
        ...


class Transport(Protocol):
    """Carries requests to one provider."""

    async def open(self, request: UpstreamRequest, *, stream: bool) -> Reply:
        """Send; returns once the answer's head is here. Raises ``UpstreamFault`` (UNREACHABLE, TIMEOUT)."""
        ...

    async def aclose(self) -> None: ...


class ReadReply:
    """What an answer can do that is read piece by piece: the rest of ``Reply`` on top of ``read`` and ``close``."""

    name: str
    """Whose answer it is."""

    @property
    def ended(self) -> bool:
        """All of it has come and was taken. May be false where only a ``read`` would tell."""
        return False

    async def read(self) -> bytes:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    async def pour(self, sink: Sink) -> None:
        """Give ``sink`` each read as it comes, until it is done or the answer ends. Raises as ``read`` does."""
        while not sink.done and (data := await self.read()):
            if (wait := sink.take(data)) is not None:
                await wait

    async def read_all(self, limit: int) -> bytes:
        """The whole body. Raises ``UpstreamFault`` if it is cut, or longer than ``limit`` bytes."""
        pieces: list[bytes] = []
        size = 0
        while data := await self.read():
            pieces.append(data)
            size += len(data)
            if size > limit:
                self.close()
                raise UpstreamFault(f"{self.name}'s answer is longer than {limit} bytes", Kind.MALFORMED)
        return b"".join(pieces)
