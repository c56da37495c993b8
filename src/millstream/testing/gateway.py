"""A whole gateway in a thread of this process: the real server on a real socket, with its inside in reach."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from types import TracebackType
from typing import Self, TypeVar

from msgspec import structs
from starlette.types import ASGIApp

from millstream.config import Config
from millstream.pipeline import Gateway
from millstream.server.app import build
from millstream.server.run import GRACE_S, make_server
from millstream.sessions.journal import Journal
from millstream.tools.base import ToolSource

_LIMIT_S = 30.0
T = TypeVar("T")


class GatewayThread:
    """Serves from ``with`` to its end, on a free port of 127.0.0.1. ``environ`` is where keys are looked for; for
    ``grace`` see ``make_server``; ``wrap`` puts middleware of one's own around the application;
    ``journal`` is where runs are kept, instead of where the configuration says; ``tools`` run here besides those it
    names. Sessions are kept in memory, unless the configuration names a file.

    Raises ``ConfigError``.
    """

    def __init__(
        self,
        config: Config,
        environ: Mapping[str, str] | None = None,
        *,
        grace: float = GRACE_S,
        wrap: Callable[[ASGIApp], ASGIApp] | None = None,
        journal: Journal | None = None,
        tools: Sequence[ToolSource] = (),
    ) -> None:
        if config.sessions.path is None:
            config = structs.replace(config, sessions=structs.replace(config.sessions, store="memory"))
        self._app = build(config, environ or {}, journal=journal, tools=tools)
        if wrap is not None:
            self._app = replace(self._app, asgi=wrap(self._app.asgi))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        host, port = self._listener.getsockname()
        self.address: tuple[str, int] = (host, port)
        self._up: Future[asyncio.AbstractEventLoop] = Future()
        self._server = make_server(self._app, config.server.drain, self._ready, grace=grace)
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)

    @property
    def url(self) -> str:
        """Without a slash at its end, and without ``/v1``."""
        host, port = self.address
        return f"http://{host}:{port}"

    @property
    def gateway(self) -> Gateway:
        return self._app.gateway

    @property
    def open_streams(self) -> int:
        return self.call(lambda: len(self._app.deliveries))

    def __enter__(self) -> Self:
        self._thread.start()
        self._up.result(_LIMIT_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.join()

    def stop(self) -> None:
        """What SIGTERM does: takes no further requests, and lets those that run end."""
        self._server.should_exit = True

    def join(self, timeout: float = _LIMIT_S) -> None:
        """Returns once everything has ended. Raises ``TimeoutError``."""
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError(f"the gateway still runs {timeout:g} s after it was told to stop")

    def call(self, question: Callable[[], T]) -> T:
        """What ``question`` gives when it is asked in the gateway's own event loop."""
        answer: Future[T] = Future()

        def ask() -> None:
            try:
                answer.set_result(question())
            except Exception as error:
                answer.set_exception(error)

        self._up.result(_LIMIT_S).call_soon_threadsafe(ask)
        return answer.result(_LIMIT_S)

    def _ready(self) -> None:
        self._up.set_result(asyncio.get_running_loop())

    def _run(self) -> None:
        try:
            with self._listener:
                self._server.run(sockets=[self._listener])
        except BaseException as error:
            if not self._up.done():
                self._up.set_exception(error)
            raise
