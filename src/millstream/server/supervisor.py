"""Several processes at one address, and the one that looks after them: it holds the sockets, starts a worker on each,
starts another where one dies, takes new settings on SIGHUP and lets all streams end on SIGTERM.

The sockets are this process's for as long as it lives. So what is queued at one outlives the worker that served it, and
the next one finds it there.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from millstream import registry
from millstream.config import Config, ConfigError
from millstream.server import worker
from millstream.server.credentials import credentials_required
from millstream.server.figures import Figures, together
from millstream.server.process import WorkerProcess
from millstream.server.run import GRACE_S, address_of, listen
from millstream.server.settings import routes
from millstream.telemetry import logs

_STARTS = 5
"""A worker that ends this often in a row before it serves will not do so the next time either."""

_SETTLED_S = 10.0
_BACKOFF_S = 0.1
_MAX_BACKOFF_S = 5.0
_CUT_S = 2.0


def supervise(
    load: Callable[[], Config], environ: Mapping[str, str], workers: int, ready: Callable[[str], None]
) -> int:
    """Serve with ``workers`` processes until SIGINT or SIGTERM; the exit status, 1 where workers would not start.

    ``load`` reads the settings, now and on SIGHUP. ``ready`` is called with the address once all take requests. Raises
    ``ConfigError``.
    """
    if sys.platform == "win32":
        raise ConfigError("--workers: one process is all there is on Windows")
    config = checked(load(), environ)
    _configure_log(config, environ)
    listeners = _listeners(config.server.host, config.server.port, workers)
    address = address_of(config.server.host, listeners[0])

    def load_again() -> Config:
        return checked(load(), environ)

    return asyncio.run(Supervisor(listeners, config, load_again, environ, lambda: ready(address)).run())


def checked(config: Config, environ: Mapping[str, str]) -> Config:
    """``config``, if several processes can serve it. Raises ``ConfigError``."""
    credentials_required(config, environ)
    providers = registry.providers(config, environ)
    table = routes(config, providers)
    for setting, name in [("default_model", table.default), *((f"aliases.{alias}", alias) for alias in config.aliases)]:
        if providers[table.resolve(name).provider].kind == "embedded":
            raise ConfigError(
                f"{setting}: the embedded model is served by one process alone: name another model here "
                "(a provider's key makes its own the default), or leave --workers out"
            )
    if config.sessions.store == "memory":
        raise ConfigError('sessions.store: "memory" is one process\'s own; with --workers, use "sqlite" or "redis"')
    return config


def _listeners(host: str, port: int, workers: int) -> list[socket.socket]:
    """One for each worker, where the kernel spreads connections over them; elsewhere the same for all."""
    if not sys.platform.startswith("linux"):
        return [listen(host, port)] * workers
    if port:
        # Another program's shared sockets would let us in beside it, and get half of our connections.
        listen(host, port).close()
    first = listen(host, port, shared=True)
    found = [first]
    try:
        while len(found) < workers:
            found.append(listen(host, first.getsockname()[1], shared=True))
    except ConfigError:
        for listener in found:
            listener.close()
        raise
    return found


def _configure_log(config: Config, environ: Mapping[str, str]) -> None:
    logs.configure(config.log.format, debug=bool(environ.get("MILLSTREAM_DEBUG")))


@dataclass
class _Place:
    """One socket and who serves it. ``changing`` is held while somebody else is put there; ``brief`` counts the lives
    in a row that were short."""

    number: int
    listener: socket.socket
    process: WorkerProcess | None = None
    brief: int = 0
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)


class Supervisor:
    """``run`` it once; it closes ``listeners`` at its end. ``load`` gives fresh settings, or raises ``ConfigError``."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        config: Config,
        load: Callable[[], Config],
        environ: Mapping[str, str],
        ready: Callable[[], None],
    ) -> None:
        self._config = config
        self._load = load
        self._environ = environ
        self._ready = ready
        self._places = [_Place(number, listener) for number, listener in enumerate(listeners, 1)]
        self._processes: set[WorkerProcess] = set()
        self._dead = Figures(processes=0)
        self._stopping = asyncio.Event()
        self._cutting = asyncio.Event()
        self._reloading = asyncio.Event()
        self._terminal = os.isatty(2)
        self._status = 0

    async def run(self) -> int:
        """The exit status."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._stop)
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        work = asyncio.create_task(self._work())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        work.cancel()
        failure = (await asyncio.gather(work, return_exceptions=True))[0]
        await self._end()
        if isinstance(failure, Exception):
            raise failure
        return self._status

    def _stop(self) -> None:
        (self._cutting if self._stopping.is_set() else self._stopping).set()

    def _hang_up(self) -> None:
        # Of a terminal that is closed, the same signal tells that its user has left.
        if self._terminal and not os.isatty(2):
            self._stop()
        else:
            self._reloading.set()

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            await asyncio.gather(*(self._fill(place, group) for place in self._places))
            if not self._stopping.is_set():
                self._ready()
            while True:
                await self._reloading.wait()
                self._reloading.clear()
                await self._reload(group)

    async def _fill(self, place: _Place, group: asyncio.TaskGroup) -> None:
        """Put a worker where there is none."""
        for _ in range(_STARTS):
            if place.brief:
                await asyncio.sleep(min(_BACKOFF_S * 2 ** (place.brief - 1), _MAX_BACKOFF_S))
            process = await self._started(place, self._config)
            if process.serves:
                self._put(place, process, group)
                return
            place.brief += 1
            if process.status == worker.EXIT_CONFIG:
                break  # it has said why
        self._status = 1
        logs.logger.error("worker %d does not start (%s); giving up", place.number, process.end)
        self._stopping.set()

    def _put(self, place: _Place, process: WorkerProcess, group: asyncio.TaskGroup) -> None:
        place.process = process
        group.create_task(self._watch(place, process, group))

    async def _watch(self, place: _Place, process: WorkerProcess, group: asyncio.TaskGroup) -> None:
        await process.ended()
        self._processes.discard(process)
        self._dead = together([self._dead, process.last_figures.of_the_dead()])
        async with place.changing:
            if place.process is not process:
                return  # another has taken its place
            if process.age > _SETTLED_S:
                place.brief = 0
            logs.logger.warning("worker %d ended (%s); starting another", place.number, process.end)
            await self._fill(place, group)
            place.brief += 1

    async def _reload(self, group: asyncio.TaskGroup) -> None:
        """Workers with fresh settings take the places of all, or, where that cannot be, of none."""
        try:
            config = self._load()
        except ConfigError as error:
            logs.logger.error("not reloaded, the settings in force stay: %s", error)
            return
        async with AsyncExitStack() as stack:
            for place in self._places:
                await stack.enter_async_context(place.changing)
            fresh = await asyncio.gather(*(self._started(place, config) for place in self._places))
            if not all(process.serves for process in fresh):
                ends = ", ".join(process.end for process in fresh if not process.serves)
                logs.logger.error("not reloaded, the workers in force stay: new ones did not start (%s)", ends)
                for process in fresh:
                    await self._kill(process)
                return
            before = [place.process for place in self._places if place.process is not None]
            self._take_over(config)
            for place, process in zip(self._places, fresh, strict=True):
                place.brief = 0
                self._put(place, process, group)
            for process in before:
                process.tell(worker.HAND_OVER)

    def _take_over(self, config: Config) -> None:
        old, new = self._config.server, config.server
        self._config = config
        _configure_log(config, self._environ)
        if (old.host, old.port) != (new.host, new.port):
            logs.logger.warning("server.host and server.port are those of the start until the next one")
        logs.logger.info("reloaded: %d workers with the new settings", len(self._places))

    async def _started(self, place: _Place, config: Config) -> WorkerProcess:
        process = WorkerProcess(config, place.listener.fileno(), place.number, self._figures)
        self._processes.add(process)
        await process.start()
        if not process.serves:
            self._processes.discard(process)
        return process

    async def _figures(self, scraped: bool) -> Figures:
        """Of all processes there are and were. A figure that was once told does not become less."""
        living = list(self._processes)
        await asyncio.gather(*(process.tell_figures(scraped) for process in living))
        parts = [self._dead, *(process.last_figures for process in self._processes)]
        return together(parts if scraped else map(Figures.without_families, parts))

    async def _kill(self, process: WorkerProcess) -> None:
        process.kill()
        await process.ended()
        self._processes.discard(process)

    async def _end(self) -> None:
        """Let every worker's streams end, those of former settings too."""
        for process in self._processes:
            process.tell(worker.STOP)
        for place in self._places:
            place.listener.close()  # else new clients would wait in a queue that nobody serves any more
        ends = asyncio.create_task(self._all_ended())
        cut = asyncio.create_task(self._cutting.wait())
        limit = self._config.server.drain + 2 * GRACE_S
        waiting: set[asyncio.Task[object]] = {ends, cut}
        await asyncio.wait(waiting, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        cut.cancel()
        for process in self._processes:
            process.tell(worker.CUT)
        await asyncio.wait({ends}, timeout=_CUT_S)
        for process in self._processes:
            if process.status is None:
                logs.logger.error("worker %d had to be killed", process.number)
                self._status = 1
                process.kill()
        await ends

    async def _all_ended(self) -> None:
        await asyncio.gather(*(process.ended() for process in self._processes))
