"""The output items of one reply while they come: each becomes one or more blocks of events.

A message has a block per part, a thought or a call one block. ``end`` brings an item's final form: whatever of it no
event has said yet is said then, so that an item that was never announced, or came without deltas, is read the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from millstream.core import events as ev
from millstream.dialects.base import own_extra
from millstream.dialects.openai_responses import wire
from millstream.dialects.openai_responses.content_in import citation

_CALL_FIELDS = ("type", "call_id", "name", "arguments", "input", "status")
_THOUGHT_FIELDS = ("type", "id", "summary", "content", "encrypted_content", "status")
_IMAGE_TYPES = {"jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif", "svg": "image/svg+xml"}


class Block:
    """A block of events. ``fed``: deltas have said its text. ``section``: the part of a thought they are in."""

    __slots__ = ("citations", "fed", "index", "open", "section")

    def __init__(self, index: int) -> None:
        self.index = index
        self.open = True
        self.fed = False
        self.citations = 0
        self.section: tuple[str, int] | None = None


class _Item:
    __slots__ = ("block", "data", "done", "kind", "parts")

    def __init__(self, kind: str, data: Mapping[str, Any]) -> None:
        self.kind = kind
        self.data = data
        self.done = False
        self.parts: dict[int, Block] = {}
        self.block: Block | None = None


class Items:
    def __init__(self) -> None:
        self._items: dict[int, _Item] = {}
        self._by_id: dict[str, int] = {}
        self._free = 0
        self._blocks = 0
        self._unanswered: set[str] = set()

    @property
    def waits_for_client(self) -> bool:
        """There was a call whose answer is not in the output: the client must give it."""
        return bool(self._unanswered)

    def text(self, output_index: int, content_index: int, item_id: str) -> Block | None:
        item = self._items.get(output_index) or self._named(output_index, item_id)
        return item.parts.get(content_index) if item is not None else None

    def call(self, output_index: int, item_id: str) -> Block | None:
        item = self._items.get(output_index) or self._named(output_index, item_id)
        return item.block if item is not None and item.kind in ("function_call", "custom_tool_call") else None

    def thought(self, output_index: int, item_id: str) -> Block | None:
        item = self._items.get(output_index) or self._named(output_index, item_id)
        return item.block if item is not None and item.kind == "reasoning" else None

    def _named(self, output_index: int, item_id: str) -> _Item | None:
        return self._items.get(self._place(output_index, item_id)) if output_index < 0 else None

    def _place(self, output_index: int, item_id: str) -> int:
        """An event without an index belongs to the item of its id, or else to a new one."""
        if output_index >= 0:
            return output_index
        return self._by_id.get(item_id, self._free)

    def add(self, output_index: int, data: dict[str, Any], events: list[ev.Event]) -> None:
        """An item begins."""
        item_id = wire.string(data, "id")
        output_index = self._place(output_index, item_id)
        if output_index in self._items:
            return
        kind = wire.string(data, "type")
        item = self._keep(output_index, item_id, _Item(kind, data))
        if kind == "reasoning":
            item.block = self._next()
            events.append(ev.ReasoningStart(item.block.index, id=wire.string(data, "id") or None))
        elif kind in ("function_call", "custom_tool_call"):
            self._start_call(item, data, events)
        elif kind == "tool_search_call" and data.get("execution") == "client":
            self._start_search(item, data, events)
        elif kind in wire.SERVER_CALLS:
            item.block = self._next()
            name = wire.string(data, "name") if kind == "mcp_call" else ""
            extra = own_extra(wire.NAME, {"item": data})
            name = name or wire.SERVER_CALLS[kind]
            events.append(ev.ToolCallStart(item.block.index, _server_id(data), name, kind="server", extra=extra))

    def _keep(self, output_index: int, item_id: str, item: _Item) -> _Item:
        self._items[output_index] = item
        self._by_id[item_id] = output_index
        self._free = max(self._free, output_index + 1)
        return item

    def _next(self) -> Block:
        block = Block(self._blocks)
        self._blocks += 1
        return block

    def _start_call(self, item: _Item, data: Mapping[str, Any], events: list[ev.Event]) -> None:
        item.block = self._next()
        name = wire.flat_name(wire.string(data, "namespace"), wire.string(data, "name"))
        kind: Literal["function", "custom"] = "custom" if item.kind == "custom_tool_call" else "function"
        extra = own_extra(wire.NAME, wire.rest(data, _CALL_FIELDS))
        call_id = wire.string(data, "call_id") or wire.string(data, "id")
        self._unanswered.add(call_id)
        events.append(ev.ToolCallStart(item.block.index, call_id, name, kind=kind, extra=extra))

    def _start_search(self, item: _Item, data: Mapping[str, Any], events: list[ev.Event]) -> None:
        item.block = self._next()
        kept = {name: value for name, value in data.items() if name not in ("call_id", "arguments", "status")}
        call_id = wire.string(data, "call_id") or wire.string(data, "id")
        extra = own_extra(wire.NAME, kept)
        self._unanswered.add(call_id)
        events.append(ev.ToolCallStart(item.block.index, call_id, wire.TOOL_SEARCH, extra=extra))

    def add_part(
        self, output_index: int, content_index: int, item_id: str, part: Mapping[str, Any], events: list[ev.Event]
    ) -> Block | None:
        """A part of a message begins; None if it is a part of something else."""
        output_index = self._place(output_index, item_id)
        item = self._items.get(output_index)
        kind = wire.string(part, "type")
        if kind not in ("output_text", "refusal", "text"):
            return None
        if item is None:
            item = self._keep(output_index, item_id, _Item("message", {"type": "message", "id": item_id or None}))
        if item.kind != "message" or item.done:
            return None
        if content_index in item.parts:
            return item.parts[content_index]
        block = item.parts[content_index] = self._next()
        about = {name: text for name in ("type", "id", "phase") if (text := wire.string(item.data, name))}
        extra = own_extra(wire.NAME, {"item": about})
        events.append(ev.TextStart(block.index, kind="refusal" if kind == "refusal" else "text", extra=extra))
        return block

    def cite(self, block: Block, annotation: Mapping[str, Any], events: list[ev.Event]) -> None:
        block.citations += 1
        events.append(ev.Citation(block.index, **msgspec.structs.asdict(citation(annotation))))

    def end_part(
        self, output_index: int, content_index: int, item_id: str, part: Mapping[str, Any], events: list[ev.Event]
    ) -> None:
        """A part's final form."""
        block = self.add_part(output_index, content_index, item_id, part, events)
        if block is None or not block.open:
            return
        text = wire.string(part, "refusal" if wire.string(part, "type") == "refusal" else "text")
        if text and not block.fed:
            logprobs = wire.objects(part, "logprobs")
            extra = own_extra(wire.NAME, {"logprobs": logprobs} if logprobs else {})
            events.append(ev.TextDelta(block.index, text, extra))
        for annotation in wire.objects(part, "annotations")[block.citations :]:
            self.cite(block, annotation, events)
        block.open = False
        events.append(ev.TextEnd(block.index))

    def end(self, output_index: int, data: dict[str, Any], events: list[ev.Event]) -> None:
        """An item's final form."""
        output_index = self._place(output_index, wire.string(data, "id"))
        if output_index not in self._items:
            self.add(output_index, data, events)
        item = self._items[output_index]
        if item.done:
            return
        if item.kind == "message":
            for number, part in enumerate(wire.objects(data, "content")):
                self.end_part(output_index, number, "", part, events)
            self._close_parts(item, events)
        elif item.block is not None:
            self._end_block(item, item.block, data, events)
        elif not self._end_image(data, events):
            call_id = wire.string(data, "call_id") or wire.string(data, "id")
            if item.kind in wire.CLIENT_CALLS:
                self._unanswered.add(call_id)
            elif item.kind.endswith("_output"):
                self._unanswered.discard(call_id)
            events.append(ev.UnknownBlock(self._next().index, wire.NAME, data))
        item.done = True

    def _close_parts(self, item: _Item, events: list[ev.Event]) -> None:
        for block in item.parts.values():
            if block.open:
                block.open = False
                events.append(ev.TextEnd(block.index))

    def _end_block(self, item: _Item, block: Block, data: Mapping[str, Any], events: list[ev.Event]) -> None:
        block.open = False
        if item.kind == "reasoning":
            self._end_thought(block, data, events)
            return
        given = wire.string(data, "input") if item.kind == "custom_tool_call" else wire.arguments_of(data)
        if given and not block.fed:
            events.append(ev.ToolCallDelta(block.index, given))
        events.append(ev.ToolCallEnd(block.index))
        if item.kind in wire.SERVER_CALLS:
            result = self._next()
            call_id, text = _server_id(item.data), wire.digest(data)
            events.append(ev.ServerToolResult(result.index, wire.NAME, call_id, data, text=text))

    def _end_thought(self, block: Block, data: Mapping[str, Any], events: list[ev.Event]) -> None:
        content = wire.objects(data, "content")
        if not block.fed:
            texts = [wire.string(entry, "text") for entry in wire.objects(data, "summary") or content]
            if text := "\n\n".join(texts):
                events.append(ev.ReasoningDelta(block.index, text))
        encrypted = wire.string(data, "encrypted_content")
        signature = wire.seal(wire.string(data, "id"), encrypted) if encrypted else None
        kept = wire.rest(data, _THOUGHT_FIELDS)
        if content:
            kept["content"] = content
        events.append(ev.ReasoningEnd(block.index, signature, own_extra(wire.NAME, kept)))

    def _end_image(self, data: Mapping[str, Any], events: list[ev.Event]) -> bool:
        image = wire.string(data, "result")
        if wire.string(data, "type") != "image_generation_call" or not image:
            return False
        about = {name: value for name, value in data.items() if name != "result"}
        media_type = _IMAGE_TYPES.get(wire.string(data, "output_format"), "image/png")
        extra = own_extra(wire.NAME, {"item": about})
        events.append(ev.Media(self._next().index, media_type, image, extra=extra))
        return True

    def settle(self, output: Sequence[dict[str, Any]], events: list[ev.Event]) -> None:
        """The reply is over: ``output`` is its list of items, which some providers leave empty."""
        if not self._items:
            for number, data in enumerate(output):
                self.end(number, data, events)
            return
        final = dict(enumerate(output))
        for number, item in self._items.items():
            if item.done:
                continue
            data = final.get(number, {})
            self.end(number, data if data.get("type") == item.kind else dict(item.data), events)


def _server_id(data: Mapping[str, Any]) -> str:
    return wire.string(data, "id") or wire.string(data, "call_id")
