"""One question to a gateway: the request out, its events in, and a way to stop it at any moment."""

from __future__ import annotations

import http.client
import queue
import signal
import socket
import ssl
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from urllib.parse import urlsplit

from millstream.cli.chat.wires import Wire
from millstream.core.errors import GatewayBug, Kind, MillstreamError, UpstreamFault
from millstream.core.events import Fault
from millstream.core.run_events import RunEvent

TICK = 0.1
"""Seconds after which an empty batch is given, so that a clock on the screen moves."""

_CONNECT_LIMIT = 10.0
_ERROR_BYTES = 1024 * 1024
_READ_BYTES = 64 * 1024

Batch = tuple[float, Sequence[RunEvent]]


class Stopped:
    """Stands in the queue for the wish to stop."""


class Call:
    """Iterate over it once: ``(when it came, events)``, up to a ``Fault`` or a ``Finish``, or until ``stop``.

    ``model`` is the route that the gateway took, once the answer has begun.
    """

    def __init__(self, url: str, key: str | None, wire: Wire) -> None:
        self.model: str | None = None
        self.stopped = False
        self._wire = wire
        self._headers = {"content-type": "application/json", "accept": "text/event-stream", **wire.headers}
        if key is not None:
            self._headers["authorization"] = f"Bearer {key}"
        self._url = url
        self._queue: queue.SimpleQueue[tuple[float, Sequence[RunEvent]] | Stopped | None] = queue.SimpleQueue()
        self._socket: socket.socket | ssl.SSLSocket | None = None

    def __iter__(self) -> Iterator[Batch]:
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        try:
            yield from self._batches()
        finally:
            self._hang_up()
            reader.join(TICK)

    def stop(self) -> None:
        """The iteration ends. May be called from a signal handler."""
        self._queue.put(Stopped())

    def _batches(self) -> Iterator[Batch]:
        while True:
            try:
                found = self._queue.get(timeout=TICK)
            except queue.Empty:
                yield time.monotonic(), ()
                continue
            if isinstance(found, Stopped):
                self.stopped = True
                return
            if found is None:
                return
            yield found

    def _hang_up(self) -> None:
        """The gateway sees its client leave, and lets go of the upstream."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _read(self) -> None:
        """In a thread of its own."""
        try:
            self._exchange()
        except MillstreamError as error:
            self._give([Fault.of(error)])
        except http.client.HTTPException:
            self._give([Fault.of(UpstreamFault("the gateway broke off its answer", Kind.UNREACHABLE))])
        except OSError as error:
            told = error.strerror or str(error)
            self._give([Fault.of(UpstreamFault(f"the gateway does not answer: {told}", Kind.UNREACHABLE))])
        except Exception as error:  # a thread's exception would otherwise end in nobody's hands
            self._give([Fault.of(GatewayBug(f"the answer cannot be read: {type(error).__name__}: {error}"))])
        finally:
            self._queue.put(None)

    def _exchange(self) -> None:
        connection = http.client.HTTPConnection(urlsplit(self._url).netloc, timeout=_CONNECT_LIMIT)
        try:
            connection.connect()
            self._socket = connection.sock
            connection.sock.settimeout(None)  # how long a model may take is the gateway's to say
            connection.request("POST", self._wire.path, self._wire.body, self._headers)
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            self.model = headers.get("x-millstream-model")
            if response.status >= 400:
                raise self._wire.refusal(response.status, headers, response.read(_ERROR_BYTES))
            self._parse(response)
        finally:
            connection.close()

    def _parse(self, response: http.client.HTTPResponse) -> None:
        reader = self._wire.reader()
        while data := response.read1(_READ_BYTES):
            self._give(reader.feed(data))
        self._give(reader.finish())

    def _give(self, events: Sequence[RunEvent]) -> None:
        if events:
            self._queue.put((time.monotonic(), events))


@contextmanager
def interrupting(call: Call) -> Generator[None]:
    """Within, Ctrl-C stops ``call`` and nothing else."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        call.stop()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
