"""All MCP servers of a gateway, and the tasks that own them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from millstream.tools.mcp.settings import ServerSettings
from millstream.tools.mcp.source import McpSource

if TYPE_CHECKING:
    from millstream.tools.mcp.oauth import Login


class McpSources:
    """``async with`` around the gateway's life. Nothing starts before a source is used; all has ended on leaving.

    ``login`` is there only where a person can be brought to a server's page.
    """

    def __init__(self, servers: Mapping[str, ServerSettings], login: Login | None = None) -> None:
        self._group: asyncio.TaskGroup | None = None
        self.sources = tuple(McpSource(name, settings, self._spawn, login) for name, settings in servers.items())

    async def __aenter__(self) -> Self:
        self._group = await asyncio.TaskGroup().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._group is None:
            return
        await asyncio.gather(*(source.aclose() for source in self.sources))
        await self._group.__aexit__(None, None, None)  # what went wrong in the block is not the servers' affair

    def _spawn(self, work: Coroutine[Any, Any, None], **how: Any) -> asyncio.Task[None]:
        if self._group is None:
            work.close()
            raise RuntimeError("MCP servers are used outside `async with McpSources(…)`")
        return self._group.create_task(work, **how)
