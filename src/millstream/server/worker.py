"""One process of several that serve the same address. Started by ``supervisor.py`` as
``python -m millstream.server.worker``.

It reads one line of JSON (``Order``) from standard input, serves on the socket that it was left, writes one byte to
standard output once it takes requests, and then obeys single bytes: ``HAND_OVER``, ``STOP``, ``CUT``. Where standard
input ends, so has the supervisor; the worker lets its streams end then and follows it. Over one more socket they tell
each other figures (``peers.py``).
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys

import msgspec

from millstream.config import Config, ConfigError
from millstream.core.errors import GatewayBug
from millstream.server.app import build
from millstream.server.figures import Figured, Figures
from millstream.server.peers import Peer, say_last
from millstream.server.run import Server, make_server, quiet_uvicorn, spare_collector
from millstream.telemetry import logs

HAND_OVER, STOP, CUT = b"h", b"s", b"c"
READY = b"r"
EXIT_CONFIG = 2
_PATIENCE_S = 5.0
_LAST_WORDS_S = 1.0

HAND_OVER_LIMIT_S = 3600.0
"""How long streams may go on in a process that another has taken the place of."""


class Order(msgspec.Struct, frozen=True):
    """``listener`` and ``figures`` are the numbers of the inherited sockets' descriptors, ``worker`` this process's
    own."""

    config: Config
    listener: int
    figures: int
    worker: int


def main() -> int:
    """Serves until it is told to stop; the exit status."""
    orders, answers = os.dup(0), os.dup(1)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123  # a descriptor is all that is wanted
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    order = msgspec.json.decode(_first_line(orders), type=Order)
    config = order.config
    logs.configure(config.log.format, debug=bool(os.environ.get("MILLSTREAM_DEBUG")), worker=order.worker)
    try:
        app = build(config, os.environ, worker=order.worker)
    except ConfigError as error:
        logs.logger.error("%s", error)
        return EXIT_CONFIG
    quiet_uvicorn()
    end = socket.socket(fileno=order.figures)
    end.set_inheritable(False)
    peers: list[asyncio.Task[None]] = []

    def ready() -> None:
        peers.append(asyncio.create_task(_tell_figures(end.dup(), app.figured)))
        spare_collector()
        asyncio.get_running_loop().add_reader(orders, _obey, orders, server, config.server.drain)
        os.write(answers, READY)

    server = make_server(app, config.server.drain, ready)
    listener = socket.socket(fileno=order.listener)
    with listener:
        server.run(sockets=[listener])
    with end:
        say_last(end, app.figured.mine(True), _LAST_WORDS_S)
    return 0 if server.started else 1


async def _tell_figures(end: socket.socket, figured: Figured) -> None:
    async def mine(scraped: bool) -> Figures:
        return figured.mine(scraped)

    async def all_of_us(scraped: bool) -> Figures:
        found = await peer.ask(scraped, _PATIENCE_S)
        if found is None:
            raise GatewayBug("the figures of the other processes cannot be had now", status=503)
        return found

    peer = Peer(end, mine)
    figured.all = all_of_us
    await peer.run()


def _first_line(orders: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(orders, 1 << 16)
        if not piece:
            sys.exit(1)  # the supervisor has ended
        line += piece
    return line


def _obey(orders: int, server: Server, drain: float) -> None:
    said = os.read(orders, 16)
    if not said:
        asyncio.get_running_loop().remove_reader(orders)
    last = said[-1:] or STOP
    if last == HAND_OVER:
        server.stop(max(drain, HAND_OVER_LIMIT_S), handing_over=True)
    elif last == STOP:
        server.stop(drain)
    elif last == CUT:
        server.cut()


if __name__ == "__main__":
    sys.exit(main())
