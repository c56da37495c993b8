"""A scripted upstream on a real socket: the scenarios of ``replay/NAME``, with real cuts, resets and stalls.

    async with replay_server(Path("overloaded.toml")) as upstream:
        client = AsyncOpenAI(base_url=upstream.url + "/v1", api_key="any")

Speaks the paths of all four APIs, with and without ``/v1``. docs/replay.md has the scenarios' reference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

from millstream.providers.replay.connection import ReplayServer
from millstream.providers.replay.library import load
from millstream.providers.replay.reading import ScenarioError, scenario_of
from millstream.providers.replay.scenario import Scenario
from millstream.providers.replay.server import Source, serving
from millstream.registry import dialects

__all__ = ["ReplayServer", "Scenario", "ScenarioError", "Source", "load", "replay_server", "scenario_of", "serve"]


def replay_server(
    source: Source, *, host: str = "127.0.0.1", port: int = 0, folder: Path | None = None
) -> AbstractAsyncContextManager[ReplayServer]:
    """Serve ``source`` until the end of the ``async with``; ``folder`` is where a ``Scenario``'s own files are.

    Raises ``ScenarioError`` for a file that cannot be used, ``OSError`` if the port is taken.
    """
    return serving(source, dialects(), host=host, port=port, folder=folder)


def serve(source: Source, *, host: str = "127.0.0.1", port: int = 0, ready: Callable[[str], None] = print) -> None:
    """Serve ``source`` until Ctrl-C; ``ready`` gets the URL. Raises as ``replay_server``."""

    async def run() -> None:
        async with replay_server(source, host=host, port=port) as state:
            ready(state.url)
            await asyncio.Event().wait()

    with suppress(KeyboardInterrupt):
        asyncio.run(run())
