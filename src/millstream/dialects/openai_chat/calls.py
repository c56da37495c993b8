"""Tool calls of one choice, however an upstream cuts them up.

Whole or in pieces; told apart by ``index``, or without one by their ``id``; with ids and names repeated, emptied or
null in later pieces. When a call ends is said nowhere. Of 24 recorded streams with calls none goes back to a call after
it began another, and yet the protocol allows it. So a call ends early only where that cannot matter: when something
else begins and its arguments are one complete JSON object, to which nothing could be added. Clients then see the first
of several calls complete while the next is still arriving. All others end with the choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, Literal

import msgspec

from millstream.core import events as ev
from millstream.core.errors import Kind, UpstreamFault
from millstream.core.messages import Opaque
from millstream.dialects.openai_chat import wire

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])

LEGACY = "$function_call"
"""Note: this call came, or is to be given, in the deprecated field ``function_call``."""

_LEGACY_KEY = -1


class _Call:
    __slots__ = ("block", "extra_content", "id", "kind", "name", "open", "pieces")

    def __init__(self) -> None:
        self.block = -1
        self.id = ""
        self.name = ""
        self.kind: Literal["function", "custom"] = "function"
        self.pieces: list[str] = []
        self.open = True
        self.extra_content: dict[str, Any] | None = None

    @property
    def complete(self) -> bool:
        """Its arguments are a whole JSON object."""
        if self.kind == "custom":
            return False
        try:
            _object.decode("".join(self.pieces))
        except (ValueError, RecursionError):
            return False
        return True


class Calls:
    """``begun``: there was one, so the client is to answer it."""

    def __init__(self, choice: int, indexes: Iterator[int], reply_id: str) -> None:
        self._choice = choice
        self._indexes = indexes
        self._reply_id = reply_id
        self._numbers = count(1)
        self._by_key: dict[int, _Call] = {}
        self._open: list[_Call] = []
        self._last: _Call | None = None
        self.begun = False

    def take(self, delta: wire.ToolCall, events: list[ev.Event]) -> None:
        """A piece of a call, or a whole one."""
        function, custom = delta.function, delta.custom
        if delta.index is not None and function is not None and not (delta.id or function.name or custom):
            call = self._by_key.get(delta.index)
            if call is not None and call.block >= 0:
                self._grow(call, "", _text(function.arguments), events)
                return
        name, text = "", ""
        if function is not None:
            name, text = function.name or "", _text(function.arguments)
        if custom is not None and (custom.name or custom.input or function is None):
            name, text = custom.name or "", custom.input or ""
        call = self._find(delta, name, text)
        if call is None:
            call = self._begin(delta.index)
            call.kind = "custom" if custom is not None and (delta.type == "custom" or function is None) else "function"
        call.id = call.id or delta.id or ""
        if delta.extra_content:
            call.extra_content = delta.extra_content
        self._grow(call, name, text, events)

    def take_legacy(self, function: wire.Function, events: list[ev.Event]) -> None:
        """A piece of the one call there can be in ``function_call``, or the whole."""
        name, text = function.name or "", _text(function.arguments)
        if not name and not text:
            return
        call = self._by_key.get(_LEGACY_KEY)
        if call is None:
            call = self._begin(_LEGACY_KEY)
        self._grow(call, name, text, events)

    def _find(self, delta: wire.ToolCall, name: str, text: str) -> _Call | None:
        """The call that ``delta`` continues. Some providers give every parallel call the same index."""
        call = self._last if delta.index is None else self._by_key.get(delta.index)
        if call is None:
            return None
        if delta.id and call.id and delta.id != call.id and (name or delta.index is None):
            return None
        if name and text and call.name and not delta.id and call.complete:
            return None
        return call

    def _begin(self, index: int | None) -> _Call:
        call = _Call()
        key = index if index is not None else max(self._by_key, default=-1) + 1
        self._by_key[key] = call
        self._last = call
        self._open.append(call)
        return call

    def _grow(self, call: _Call, name: str, text: str, events: list[ev.Event]) -> None:
        if not call.open:
            if text.strip():
                raise UpstreamFault("the upstream added to the arguments of a finished tool call", Kind.MALFORMED)
            return
        if call.block < 0:
            call.name = call.name or name
            if text:
                call.pieces.append(text)
            if call.name:
                self._start(call, events)
        elif text:
            call.pieces.append(text)
            events.append(ev.ToolCallDelta(call.block, text))

    def _start(self, call: _Call, events: list[ev.Event]) -> None:
        self.close_complete(events)
        self.begun = True
        number = next(self._numbers)
        legacy = self._by_key.get(_LEGACY_KEY) is call
        call_id = call.id or f"call_{self._reply_id}_{self._choice}_{number}"
        extra = {wire.NAME: {LEGACY: True}} if legacy else None
        call.block = next(self._indexes)
        events.append(ev.ToolCallStart(call.block, call_id, call.name, self._choice, call.kind, extra))
        if call.pieces:
            events.append(ev.ToolCallDelta(call.block, "".join(call.pieces)))

    def close_complete(self, events: list[ev.Event]) -> None:
        """Something else begins: end the calls to which nothing can be added."""
        if self._open:
            self._close([call for call in self._open if call.block >= 0 and call.complete], events)

    def close_all(self, events: list[ev.Event]) -> None:
        """The choice ends. Raises ``UpstreamFault`` for a call that never said which tool it is for."""
        for call in self._open:
            if call.block < 0 and (call.id or call.pieces):
                raise UpstreamFault("the upstream sent a tool call without a name", Kind.MALFORMED)
        self._close([call for call in self._open if call.block >= 0], events)
        self._open.clear()
        # What began without saying anything did not begin.
        self._by_key = {key: call for key, call in self._by_key.items() if call.block >= 0}
        self._last = None

    def _close(self, calls: list[_Call], events: list[ev.Event]) -> None:
        for call in calls:
            call.open = False
            self._open.remove(call)
            signed = call.extra_content
            signature = Opaque(wire.NAME, wire.json_text({"extra_content": signed})) if signed else None
            events.append(ev.ToolCallEnd(call.block, signature))


def _text(arguments: str | dict[str, Any] | None) -> str:
    """Groq's models write ``null`` for a call without arguments, which clients would refuse as no object."""
    if arguments == "null":
        return ""
    return wire.json_text(arguments) if isinstance(arguments, dict) else arguments or ""
