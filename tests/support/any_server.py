"""Somebody's application on a plain uvicorn, as they would run it: with none of our own server's protocols."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.types import ASGIApp

_LIMIT_S = 30.0


class AnyServer:
    """Serves from ``with`` to its end, on a free port of 127.0.0.1."""

    def __init__(self, app: ASGIApp, **settings: Any) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        config = uvicorn.Config(app, log_config=None, ws="websockets-sansio", **settings)
        self._server = uvicorn.Server(config)
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="somebody", daemon=True)

    @property
    def url(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}"

    def __enter__(self) -> Self:
        started = self._server.startup

        async def startup(sockets: list[socket.socket] | None = None) -> None:
            await started(sockets)
            self._up.set()

        self._server.startup = startup  # type: ignore[method-assign]  # uvicorn has no other word for it
        self._thread.start()
        assert self._up.wait(_LIMIT_S)
        assert self._server.started, "the application did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(_LIMIT_S)
        assert not self._thread.is_alive(), "the server did not stop"

    def _run(self) -> None:
        try:
            with self._listener:
                self._server.run(sockets=[self._listener])
        finally:
            self._up.set()
