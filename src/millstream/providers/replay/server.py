"""Scenarios and recordings on a real socket: an upstream at an address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from millstream.dialects.base import Dialect
from millstream.providers.replay.connection import Connection, ReplayServer, Stage
from millstream.providers.replay.library import Library, load
from millstream.providers.replay.player import Player
from millstream.providers.replay.recording import is_recording
from millstream.providers.replay.scenario import Scenario

Source = Scenario | Path
"""A scenario, a file of one, a recording, or a folder of all these, from which a request's model chooses."""


@asynccontextmanager
async def serving(
    source: Source,
    known: Mapping[str, Dialect],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    folder: Path | None = None,
    speed: float = 1.0,
) -> AsyncIterator[ReplayServer]:
    """Serve ``source`` in every one of the ``known`` dialects until the end of the ``async with``; ``folder`` is where
    a ``Scenario``'s own files are, ``speed`` how many times as fast as it says everything comes.

    Raises ``ScenarioError`` for a file that cannot be used, ``OSError`` if the port is taken.
    """
    stage = await asyncio.to_thread(_stage, source, folder, known, speed)
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


def _stage(source: Source, folder: Path | None, known: Mapping[str, Dialect], speed: float) -> Stage:
    def make(scenario: Scenario, beside: Path) -> Player:
        return Player(scenario, beside, known, lambda: asyncio.get_running_loop().time(), speed=speed)

    if isinstance(source, Scenario):
        return _One(make(source, folder or Path()))
    if source.is_dir() and not is_recording(source):
        return _Many(Library(source), make)
    return _One(make(load(source), source.parent))
