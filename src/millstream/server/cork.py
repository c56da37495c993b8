"""Several writes of one turn of the event loop as one.

A response's head, its first piece and often its end are known within microseconds of each other. Each write by itself
is a system call that wakes the client's program.
"""

from __future__ import annotations

import asyncio
from typing import Any


class CorkedTransport:
    """A transport for uvicorn to write responses to. From ``cork`` to the loop's next turn writes are ``held``; closing
    lets them out first."""

    __slots__ = ("_loop", "held", "transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.transport = transport
        self.held: list[bytes] | None = None
        """None: writes go out at once."""

    def cork(self) -> None:
        if self.held is None:
            self.held = []
            self._loop.call_soon(self._uncork)

    def write(self, data: bytes) -> None:
        if self.held is None:
            self.transport.write(data)
        else:
            self.held.append(data)

    def close(self) -> None:
        self._uncork()
        self.transport.close()

    def _uncork(self) -> None:
        held, self.held = self.held, None
        if held and not self.transport.is_closing():
            self.transport.write(b"".join(held))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)
