"""A run on its way to one reader over HTTP: from its journal or the live tail, through a renderer, to the socket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from millstream.core.errors import MillstreamError, UpstreamFault
from millstream.core.run_events import RunEntry
from millstream.server.deliver import Delivery
from millstream.server.model_api import STREAM_HEADERS
from millstream.server.wire import encode_headers
from millstream.sessions.base import StoreError


class Entries(Protocol):
    """What a reader is told of a run: ``runs/reader.Reader``, or a part of what that has."""

    async def next(self) -> Sequence[RunEntry]:
        """Nothing at the end. Raises as a ``Reader`` does."""
        ...


class RunRenderer(Protocol):
    """Says a run's entries to one reader."""

    def render(self, entries: Sequence[RunEntry]) -> bytes: ...

    def keepalive(self) -> bytes: ...

    def failure(self, error: MillstreamError) -> bytes:
        """That the reader cannot be told the rest. The run itself may go on."""
        ...


class Encoder(Protocol):
    """A content coding, one response long."""

    name: str

    def encode(self, data: bytes) -> bytes:
        """``data`` and whatever was held back: its reader can decode all of it."""
        ...

    def end(self) -> bytes: ...


class Plain:
    """No content coding."""

    name = ""

    def encode(self, data: bytes) -> bytes:
        return data

    def end(self) -> bytes:
        return b""


async def follow(
    reader: Entries,
    renderer: RunRenderer,
    delivery: Delivery,
    headers: Mapping[str, str],
    *,
    encoder: Encoder | None = None,
    preamble: bytes = b"",
) -> None:
    """Stream to the run's end. The head and ``preamble`` leave at once.

    Raises ``ClientGone`` once the client has left, and what ``delivery`` is interrupted with.
    """
    coding = encoder or Plain()
    head = {"content-type": "text/event-stream; charset=utf-8", **STREAM_HEADERS, **headers}
    if coding.name:
        head |= {"content-encoding": coding.name, "vary": "accept-encoding"}
    delivery.streams(lambda: encode_headers(head), lambda: coding.encode(renderer.keepalive()))
    await delivery.attend(lambda: _pass_on(reader, renderer, delivery, coding, preamble))


async def _pass_on(
    reader: Entries, renderer: RunRenderer, delivery: Delivery, coding: Encoder, preamble: bytes
) -> None:
    await delivery.start()
    out = coding.encode(preamble) if preamble else b""
    failed = False
    while True:
        if out and (wait := delivery.write(out)) is not None:
            await wait
        if failed:
            break
        try:
            entries = await reader.next()
        except MillstreamError as error:
            failed, out = True, coding.encode(renderer.failure(error))
            continue
        except StoreError as error:
            fault = UpstreamFault(f"the run's journal cannot be read now: {error}", status=503, retryable=True)
            failed, out = True, coding.encode(renderer.failure(fault))
            continue
        if not entries:
            break
        said = renderer.render(entries)
        out = coding.encode(said) if said else b""
    if rest := coding.end():
        wait = delivery.write(rest)
        if wait is not None:
            await wait
    await delivery.end()
