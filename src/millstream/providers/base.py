"""The seam between the pipeline and whatever answers: an HTTP server, a model in this process, a recording."""

from __future__ import annotations

from typing import Protocol

from millstream.dialects.base import Headers, UpstreamRequest


class Reply(Protocol):
    """An upstream's answer whose head is here."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Headers:
        """Names in lower case."""
        ...

    async def read(self) -> bytes:
        """The next bytes as they came; ``b""`` at a clean end. Raises ``UpstreamFault`` on a cut or a silence."""
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
