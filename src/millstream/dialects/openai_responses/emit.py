"""The events of one reply as bytes, numbered from 0: server-sent events, or bare JSON for a WebSocket or a store.

A delta is put together from fragments made when its part began; everything else is encoded as it comes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

encode = msgspec.json.Encoder().encode


class Framing(NamedTuple):
    """What stands around an event's fields. ``comment`` is bytes that every client ignores, if there are such;
    ``fields`` is JSON of fields that each event has besides its own."""

    named: bool
    end: bytes
    comment: bytes
    fields: bytes = b""

    def head(self, name: bytes) -> bytes:
        line = b"event: %b\ndata: " % name if self.named else b""
        return b'%b{"type":"%b",%b' % (line, name, self.fields)


SSE = Framing(True, b"\n\n", b": keepalive\n\n")
BARE = Framing(False, b"", b"")


def bare(stream_id: str | None) -> Framing:
    """JSON without framing, marked with the id that tells several replies on one WebSocket apart."""
    return BARE if stream_id is None else BARE._replace(fields=b'"stream_id":%b,' % encode(stream_id))


class Emitter:
    """Collects the frames of events. ``sequence`` is the number of the next one."""

    __slots__ = ("_end", "_framing", "_tail", "frames", "sequence")

    def __init__(self, framing: Framing, sequence: int = 0) -> None:
        self._framing = framing
        self._end = framing.end
        self._tail = b"}" + framing.end
        self.sequence = sequence
        self.frames: list[bytes] = []

    def take(self) -> list[bytes]:
        frames = self.frames
        self.frames = []
        return frames

    def event(self, name: bytes, fields: dict[str, Any]) -> None:
        self._add(name, encode(fields)[1:-1])

    def item(self, name: bytes, output_index: int, item: bytes) -> None:
        self._add(name, b'"output_index":%d,"item":%b' % (output_index, item))

    def response(self, name: bytes, response: bytes) -> None:
        self._add(name, b'"response":' + response)

    def again(self, name: bytes, response: bytes) -> bytes:
        """An event that repeats the state so far. It has the number of the event before it: numbers are how a client
        says where to resume a stored reply, in which it does not occur."""
        sequence = max(self.sequence - 1, 0)
        return b'%b"sequence_number":%d,"response":%b}%b' % (self._framing.head(name), sequence, response, self._end)

    def _add(self, name: bytes, fields: bytes) -> None:
        head = self._framing.head(name)
        self.frames.append(b'%b"sequence_number":%d,%b}%b' % (head, self.sequence, fields, self._end))
        self.sequence += 1

    def delta_head(self, name: bytes, fields: dict[str, Any]) -> bytes:
        """The beginning of each delta of one part, up to its number."""
        return b'%b%b,"sequence_number":' % (self._framing.head(name), encode(fields)[1:-1])

    def delta(self, head: bytes, text: str) -> None:
        self.frames.append(b'%b%d,"delta":%b%b' % (head, self.sequence, encode(text), self._tail))
        self.sequence += 1
