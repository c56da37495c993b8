"""A scripted upstream on a real socket: the scenarios of ``replay/NAME``, with real cuts, resets and stalls.

    async with replay_server(Path("overloaded.toml")) as upstream:
        client = AsyncOpenAI(base_url=upstream.url + "/v1", api_key="any")

Speaks the paths of all four APIs, with and without ``/v1``. docs/replay.md has the scenarios' reference.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from millstream.dialects.base import Dialect
from millstream.providers.replay.library import Library, load
from millstream.providers.replay.player import Player
from millstream.providers.replay.reading import ScenarioError, scenario_of
from millstream.providers.replay.recording import is_recording
from millstream.providers.replay.scenario import Scenario
from millstream.registry import dialects
from millstream.testing.connection import Connection, ReplayServer, Stage

__all__ = ["ReplayServer", "Scenario", "ScenarioError", "Source", "load", "replay_server", "scenario_of", "serve"]

Source = Scenario | Path
"""A scenario, a file of one, a recording, or a folder of all these, from which a request's model chooses."""


@asynccontextmanager
async def replay_server(
    source: Source, *, host: str = "127.0.0.1", port: int = 0, folder: Path | None = None
) -> AsyncIterator[ReplayServer]:
    """Serve ``source`` until the end of the ``async with``; ``folder`` is where a ``Scenario``'s own files are.

    Raises ``ScenarioError`` for a file that cannot be used, ``OSError`` if the port is taken.
    """
    known = dialects()
    stage = await asyncio.to_thread(_stage, source, folder, known)
    state = ReplayServer()
    tasks: set[asyncio.Task[None]] = set()
    connections: set[Connection] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(state, stage, known, tasks, connections), host, port)
    bound = server.sockets[0].getsockname()
    state.url = f"http://[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"http://{bound[0]}:{bound[1]}"
    try:
        yield state
    finally:
        server.close()
        for connection in list(connections):
            connection.abort()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def serve(source: Source, *, host: str = "127.0.0.1", port: int = 0, ready: Callable[[str], None] = print) -> None:
    """Serve ``source`` until Ctrl-C; ``ready`` gets the URL. Raises as ``replay_server``."""

    async def run() -> None:
        async with replay_server(source, host=host, port=port) as state:
            ready(state.url)
            await asyncio.Event().wait()

    with suppress(KeyboardInterrupt):
        asyncio.run(run())


class _One:
    """The same scenario whatever the model."""

    def __init__(self, player: Player) -> None:
        self._player = player

    def player(self, model: str) -> Player:
        return self._player

    def models(self) -> list[str]:
        return [self._player.scenario.model]


class _Many:
    """The scenario that the model names."""

    def __init__(self, library: Library, make: Callable[[Scenario, Path], Player]) -> None:
        self._library = library
        self._make = make
        self._players: dict[tuple[str, int, int], Player] = {}

    def player(self, model: str) -> Player:
        found = self._library.find(model)
        if found.version not in self._players:
            self._players[found.version] = self._make(found.scenario, found.folder)
        return self._players[found.version]

    def models(self) -> list[str]:
        return self._library.names()


def _stage(source: Source, folder: Path | None, known: Mapping[str, Dialect]) -> Stage:
    def make(scenario: Scenario, beside: Path) -> Player:
        return Player(scenario, beside, known, lambda: asyncio.get_running_loop().time())

    if isinstance(source, Scenario):
        return _One(make(source, folder or Path()))
    if source.is_dir() and not is_recording(source):
        return _Many(Library(source), make)
    return _One(make(load(source), source.parent))
