"""Start, serve and stop: sockets, signals, and what happens to streams that are still running."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import math
import signal
import socket
from collections.abc import Callable, Mapping
from types import FrameType

import uvicorn

from millstream.config import Config, ConfigError
from millstream.core.errors import Kind, PolicyRefusal
from millstream.server.app import Application, build
from millstream.server.connection import ClientConnection
from millstream.server.credentials import credentials_required
from millstream.server.request_log import tell
from millstream.server.socket import ClientSocket
from millstream.telemetry import logs

_BACKLOG = 2048
GRACE_S = 5.0
"""For the last terminal error to reach a client that is slow to take it."""

_LINGER_S = 2.0
"""How long a client that is connected may take with its next request, where another process takes the address over."""

_LOOK_EVERY_S = 0.05

_COLLECT_AFTER = 10_000
"""Objects, at most a few MB."""


def serve(config: Config, environ: Mapping[str, str], ready: Callable[[str], None]) -> int:
    """Serve until SIGINT or SIGTERM; the exit status. ``ready`` is called with the address once requests are taken.

    Raises ``ConfigError`` for a port that cannot be had and for a public address without a key.
    """
    app = build(config, environ, preload=True)
    server = config.server
    credentials_required(config, environ)
    logs.configure(config.log.format, debug=bool(environ.get("MILLSTREAM_DEBUG")))
    listener = listen(server.host, server.port)
    address = address_of(server.host, listener)
    quiet_uvicorn()

    def serving() -> None:
        spare_collector()
        ready(address)

    runner = make_server(app, server.drain, serving)
    # uvicorn raises the signal that ended it once more when it is done; for us it has done its work by then.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    with listener:
        runner.run(sockets=[listener])
    return 0 if runner.started else 1


def spare_collector() -> None:
    """For a process that does nothing but serve, once it does: what is there by now stays, and needs no looking at
    again; of what requests leave behind little is cyclic, so it is looked through more seldom.

    https://docs.python.org/3/library/gc.html#gc.freeze. With CPython's own numbers a full collection stops all streams
    for 20 ms, and the collector takes a tenth of what short replies cost.
    """
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 20)
    gc.enable()


def make_server(app: Application, drain: float, ready: Callable[[], None], *, grace: float = GRACE_S) -> Server:
    """The server as it is run, for whoever brings the socket. ``ready`` is called once requests are taken.

    When it stops, streams may go on for ``drain`` seconds; ``grace`` seconds later, clients that have not taken their
    last words by then are cut off.
    """
    config = uvicorn.Config(
        app.asgi,
        loop="uvloop",
        http=ClientConnection,
        ws=ClientSocket,
        ws_max_size=app.max_message,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=math.ceil(drain + grace) + 1,
    )
    return Server(config, app, drain, grace, ready)


class Server(uvicorn.Server):
    """uvicorn, told when it listens, with an end for streams that outlive the drain, and a way to hand its address over
    to another process. ``stop`` and ``cut`` are called in its own event loop."""

    def __init__(
        self, config: uvicorn.Config, app: Application, drain: float, grace: float, ready: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._app = app
        self._drain = drain
        self._grace = grace
        self._ready = ready
        self._handing_over = False
        self._ending: list[asyncio.TimerHandle] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        finally:
            tell(self._app.gateway)  # of what ``cut`` has ended, which leaves no time for the lifespan's end

    def stop(self, drain: float, *, handing_over: bool = False) -> None:
        """Take no further connections; streams may go on for ``drain`` seconds. Called again, the last word counts.

        ``handing_over``: another process takes what is queued at the same socket, and a client that is connected
        already may be about to ask.
        """
        under_way = bool(self._ending)
        self._drain = drain
        self._handing_over = handing_over
        self.config.timeout_graceful_shutdown = math.ceil(drain + self._grace) + 1
        self.should_exit = True
        if under_way:
            self._set_end()

    def cut(self) -> None:
        """Stop now, whatever is under way."""
        self.should_exit = self.force_exit = True
        # What uvicorn has to say about that is a traceback.
        logging.getLogger("uvicorn.error").disabled = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self.force_exit:  # a second Ctrl-C
            self.cut()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        running = len(self._app.deliveries)
        if running:
            logs.logger.info("stopping: %d streams may go on for up to %g s", running, self._drain)
        self._set_end()
        try:
            if self._handing_over:
                await self._hand_over(sockets or [])
            await super().shutdown(sockets)
        finally:
            for timer in self._ending:
                timer.cancel()
            self._cut_off()

    def _set_end(self) -> None:
        for timer in self._ending:
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._ending = [
            loop.call_later(self._drain, self._app.deliveries.interrupt, _shutting_down),
            loop.call_later(self._drain + self._grace, self._cut_off),
        ]

    async def _hand_over(self, sockets: list[socket.socket]) -> None:
        """Accept no more, but answer what those ask who are connected; each answer says that it is the last one."""
        for server in self.servers:
            server.close()
        for listener in sockets:
            listener.close()
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        idle: dict[ClientConnection, tuple[object, float]] = {}
        while self._handing_over and not self.force_exit and self.server_state.connections:
            for connection in list(self.server_state.connections):
                if isinstance(connection, ClientConnection):
                    self._let_go(connection, idle)
                elif isinstance(connection, ClientSocket) and not connection.leaving:
                    connection.shutdown()
            await asyncio.sleep(_LOOK_EVERY_S)  # uvicorn does not tell when a response is complete

    def _let_go(self, connection: ClientConnection, idle: dict[ClientConnection, tuple[object, float]]) -> None:
        """Of a client that has not asked again for long enough. ``idle`` has the last request of each, and since when
        nothing came after it."""
        now = asyncio.get_running_loop().time()
        if not connection.is_idle:
            idle.pop(connection, None)
        elif connection not in idle or idle[connection][0] is not connection.cycle:
            idle[connection] = (connection.cycle, now)
        elif now - idle[connection][1] > _LINGER_S:
            connection.shutdown()

    def _cut_off(self) -> None:
        """End what is still connected. A client that does not read would keep its last bytes, and so us, for ever."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def _shutting_down() -> PolicyRefusal:
    return PolicyRefusal("the gateway is shutting down; send the request again", Kind.SHUTDOWN)


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A listening socket. ``shared``: further ones may listen at the same address, and the kernel spreads the
    connections over them. Raises ``ConfigError``."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(found[0], socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"server.host {host!r} is not an address of this machine: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(found[4])
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            message = f"port {port} on {host} is in use: stop what listens there, or choose another with --port"
            raise ConfigError(message) from error
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port") from error
    listener.setblocking(False)
    return listener


def address_of(host: str, listener: socket.socket) -> str:
    """As a URL, with the port that was had."""
    return f"http://{_in_url(host)}:{listener.getsockname()[1]}"


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def quiet_uvicorn() -> None:
    """Our log says what happens to requests; of uvicorn's only its errors are news."""
    for name in ("uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers[:] = logs.logger.handlers
        logger.setLevel(logging.ERROR)
        logger.propagate = False
