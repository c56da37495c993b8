"""A wire to a server that a test can pull out and put back, for clients that are not in its own event loop."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


class LooseWire:
    """Passes on to ``goal`` what comes to its own port. Use it with ``with``."""

    def __init__(self, goal: tuple[str, int]) -> None:
        self._goal = goal
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._plugged = True
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def url(self) -> str:
        host, port = self._listener.getsockname()
        return f"http://{host}:{port}"

    def pull(self) -> None:
        """Every connection is reset, and so is each new one."""
        with self._lock:
            self._plugged = False
            ends = list(self._ends)
        for end in ends:
            _reset(end)

    def plug(self) -> None:
        with self._lock:
            self._plugged = True

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.pull()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                plugged = self._plugged
            if not plugged:
                client.close()
                continue
            server = socket.create_connection(self._goal)
            with self._lock:
                self._ends |= {client, server}
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, source: socket.socket, goal: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                goal.sendall(data)
        with contextlib.suppress(OSError):
            goal.shutdown(socket.SHUT_WR)
        with self._lock:
            self._ends.discard(source)
        source.close()


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
