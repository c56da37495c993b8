"""A tool that is at work until the test says otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from millstream.testing.gateway import GatewayThread
from millstream.tools.base import Progress, ToolContext


class Gate:
    """Where the tool ``survey`` stands until it may go on."""

    def __init__(self) -> None:
        self._open = asyncio.Event()

    async def work(self, arguments: Mapping[str, Any], context: ToolContext) -> str:
        context.progress(Progress(1, 4, "at the weir"))
        await self._open.wait()
        self._open.clear()
        return "1.4 m at the weir"

    def open(self, gateway: GatewayThread) -> None:
        gateway.call(self._open.set)
