"""An upstream's bytes → the JSON text of each chunk, in whichever of three forms they come.

Server-sent events (``alt=sse``); a JSON array of chunks (without it), whose elements are given as they complete; and,
where a stream fails, bare JSON between or instead of the events. All of it bounded, and linear in the input's size.
"""

from __future__ import annotations

import re

from millstream.core.errors import Kind, UpstreamFault
from millstream.core.sse import MAX_FRAME_BYTES, SSEDecoder

_BLANK = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_MAX_BARE_BYTES = 256 * 1024
_OUTSIDE = re.compile(rb'["{}\[\]]')
_INSIDE = re.compile(rb'["\\]')
_QUOTE, _BACKSLASH, _BRACE, _OPENING = b'"', b"\\", b"{", b"{["


class JSONObjects:
    """The objects of a JSON array, or of any run of objects, out of bytes that come in pieces.

    What stands between the objects is not looked at; whoever decodes them finds what is not JSON.
    """

    __slots__ = ("_depth", "_escaped", "_in_string", "_limit", "_pieces", "pending")

    def __init__(self, limit: int = MAX_FRAME_BYTES) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self.pending = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The objects that ``data`` completed. Raises ``UpstreamFault`` for one beyond the limit."""
        found: list[bytes] = []
        start = 0
        at = 0
        while at < len(data):
            if self._escaped:
                self._escaped = False
                at += 1
                continue
            mark = (_INSIDE if self._in_string else _OUTSIDE).search(data, at)
            if mark is None:
                break
            at = mark.end()
            if self._depth == 0 and mark.group() == _BRACE:
                start = mark.start()
            if self._take(mark.group()):
                found.append(b"".join([*self._pieces, data[start:at]]))
                self._pieces.clear()
                self.pending = 0
        if self._depth:
            self._keep(data[start:])
        return found

    def _take(self, char: bytes) -> bool:
        """Whether ``char`` ends an object."""
        if self._in_string:
            self._escaped = char == _BACKSLASH
            self._in_string = self._escaped
        elif char == _QUOTE:
            self._in_string = True
        elif char in _OPENING:
            self._depth += 1 if self._depth or char == _BRACE else 0
        elif self._depth:
            self._depth -= 1
            return self._depth == 0
        return False

    def _keep(self, data: bytes) -> None:
        self._pieces.append(data)
        self.pending += len(data)
        if self.pending > self._limit:
            raise UpstreamFault(f"the upstream sent a chunk of over {self._limit} bytes", Kind.MALFORMED)


class Framing:
    """One reply's bytes. ``feed`` gives the chunks they completed, as JSON text."""

    __slots__ = ("_bare", "_events", "_head", "_objects")

    def __init__(self) -> None:
        self._head: bytes | None = b""
        self._events = SSEDecoder()
        self._objects: JSONObjects | None = None
        self._bare = JSONObjects(_MAX_BARE_BYTES)

    @property
    def pending(self) -> int:
        held = self._events.pending if self._objects is None else self._objects.pending
        return held + len(self._head or b"")

    @property
    def in_object(self) -> bool:
        """In the middle of an element of an array: what follows is missing."""
        return self._objects is not None and self._objects.pending > 0

    def feed(self, data: bytes) -> list[bytes]:
        if self._head is not None:
            return self._begin(self._head + data)
        if self._objects is not None:
            return self._objects.feed(data)
        chunks = [chunk for _, chunk in self._events.feed(data)]
        if self._events.stray:
            chunks.extend(self._stray())
        return chunks

    def finish(self) -> list[bytes]:
        """The chunk that an ended stream left without its blank line, whole or cut off."""
        if self._objects is not None:
            return []
        chunks = [chunk for _, chunk in self._events.finish()]
        return [*chunks, *self._stray()]

    def _begin(self, data: bytes) -> list[bytes]:
        """The first byte that means something tells the form."""
        said = data.removeprefix(_BOM).lstrip(_BLANK)
        if not said or data == _BOM[: len(data)]:
            self._head = data if len(data) <= len(_BOM) else b""
            return []
        self._head = None
        if said[:1] in b"[{":
            self._objects = JSONObjects()
        return self.feed(said)

    def _stray(self) -> list[bytes]:
        """Lines that are no fields of an event: a failing stream's error comes as bare JSON. Any other JSON there is
        noise, and out of its order besides."""
        stray, self._events.stray = self._events.stray, b""
        return [found for found in self._bare.feed(stray) if b'"error"' in found]
