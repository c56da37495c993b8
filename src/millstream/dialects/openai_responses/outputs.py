"""The output items of one reply to a client, under way and done.

``Outputs`` numbers the items, keeps ids unique (SDKs refuse two items of one id) and holds each item's final JSON for
the ``output`` of the last event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from millstream.core.messages import Opaque
from millstream.dialects.openai_responses import wire
from millstream.dialects.openai_responses.emit import Emitter, encode

ADDED = b"response.output_item.added"
DONE = b"response.output_item.done"


class Outputs:
    def __init__(self, emit: Emitter, reply_id: str) -> None:
        self.emit = emit
        self._suffix = reply_id.partition("_")[2] or reply_id
        self._final: list[bytes] = []
        self._used: set[str] = set()

    @property
    def count(self) -> int:
        return len(self._final)

    @property
    def written(self) -> list[bytes]:
        """Every item in the form it was last given."""
        return self._final

    def unique(self, wanted: str, prefix: str) -> str:
        """``wanted`` if it can be had, else an id of our own."""
        if not wanted or wanted in self._used:
            wanted = f"{prefix}_{self._suffix}_{self.count}"
        self._used.add(wanted)
        return wanted

    def begin(self, item: Mapping[str, Any]) -> int:
        """Announce an item; its ``output_index``."""
        index = len(self._final)
        self._final.append(b"")
        self.emit.item(ADDED, index, encode(item))
        return index

    def end(self, index: int, item: Mapping[str, Any]) -> None:
        final = self._final[index] = encode(item)
        self.emit.item(DONE, index, final)

    def keep(self, index: int, item: Mapping[str, Any]) -> None:
        """What there is of an item that is not done."""
        self._final[index] = encode(item)

    def whole(self, item: Mapping[str, Any], begun: Mapping[str, Any] | None = None) -> None:
        """An item that is announced and done at once."""
        self.end(self.begin(item if begun is None else begun), item)


class MessageItem:
    """A message of the assistant with its parts; open until something else begins or the reply ends."""

    def __init__(self, outputs: Outputs, about: Mapping[str, Any]) -> None:
        self.upstream_id = about.get("id")
        self.id = outputs.unique(self.upstream_id or "", "msg")
        self.open_parts = 0
        self.parts: list[dict[str, Any]] = []
        self._outputs = outputs
        self._about = {name: value for name, value in about.items() if name not in ("id", "plain", "status")}
        self.index = outputs.begin(self._item("in_progress", []))

    def _item(self, status: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
        said = {"id": self.id, "type": "message", "status": status, "role": "assistant", "content": parts}
        return said | self._about

    def end(self, status: str) -> None:
        self._outputs.end(self.index, self._item(status, self.parts))

    def keep(self, status: str) -> None:
        self._outputs.keep(self.index, self._item(status, self.parts))


class TextBlock:
    """A part of a message: text or a refusal."""

    __slots__ = ("_annotations", "_emit", "_head", "_kind", "_logprobs", "_number", "_pieces", "_place", "message")

    def __init__(self, message: MessageItem, emit: Emitter, *, refusal: bool, logprobs: Sequence[Any] = ()) -> None:
        self._emit = emit
        self._kind = "refusal" if refusal else "output_text"
        self._pieces: list[str] = []
        self._annotations: list[Mapping[str, Any]] = []
        self._logprobs = list(logprobs)
        self.message = message
        self._number = len(message.parts)
        self._place: dict[str, Any] = {
            "item_id": message.id,
            "output_index": message.index,
            "content_index": self._number,
        }
        message.parts.append(self._part())
        message.open_parts += 1
        emit.event(b"response.content_part.added", {**self._place, "part": self._part()})
        fields = self._place if refusal else {**self._place, "logprobs": []}
        self._head = emit.delta_head(b"response.%b.delta" % self._kind.encode(), fields)

    def _part(self) -> dict[str, Any]:
        text = "".join(self._pieces)
        if self._kind == "refusal":
            return {"type": "refusal", "refusal": text}
        return {"type": "output_text", "annotations": self._annotations, "logprobs": self._logprobs, "text": text}

    @property
    def length(self) -> int:
        return sum(map(len, self._pieces))

    def delta(self, text: str) -> None:
        self._pieces.append(text)
        self._emit.delta(self._head, text)

    def weighed(self, text: str, logprobs: list[Any]) -> None:
        """A delta with the probabilities of its tokens."""
        self._pieces.append(text)
        self._logprobs.extend(logprobs)
        fields = {**self._place, "logprobs": logprobs, "delta": text}
        self._emit.event(b"response.output_text.delta", fields)

    def annotate(self, annotation: Mapping[str, Any]) -> None:
        fields = {**self._place, "annotation_index": len(self._annotations), "annotation": annotation}
        self._annotations.append(annotation)
        self._emit.event(b"response.output_text.annotation.added", fields)

    def end(self) -> None:
        part = self._part()
        if self._kind == "refusal":
            self._emit.event(b"response.refusal.done", {**self._place, "refusal": part["refusal"]})
        else:
            said = {**self._place, "text": part["text"], "logprobs": part["logprobs"]}
            self._emit.event(b"response.output_text.done", said)
        self._emit.event(b"response.content_part.done", {**self._place, "part": part})
        self.message.parts[self._number] = part
        self.message.open_parts -= 1

    def keep(self, _status: str) -> None:
        self.message.parts[self._number] = self._part()


class ThoughtBlock:
    """A reasoning item, told as one summary."""

    __slots__ = ("_emit", "_head", "_id", "_index", "_outputs", "_pieces", "_place", "_redacted")

    def __init__(self, outputs: Outputs, item_id: str, redacted: Opaque | None) -> None:
        self._emit = outputs.emit
        self._outputs = outputs
        self._redacted = redacted
        self._id = outputs.unique(item_id, "rs")
        self._pieces: list[str] = []
        self._index = outputs.begin({"id": self._id, "type": "reasoning", "summary": []})
        self._place = {"item_id": self._id, "output_index": self._index, "summary_index": 0}
        self._head = b""

    def delta(self, text: str) -> None:
        if not self._head:
            part = {**self._place, "part": {"type": "summary_text", "text": ""}}
            self._emit.event(b"response.reasoning_summary_part.added", part)
            self._head = self._emit.delta_head(b"response.reasoning_summary_text.delta", self._place)
        self._pieces.append(text)
        self._emit.delta(self._head, text)

    def _item(self) -> dict[str, Any]:
        text = "".join(self._pieces)
        summary = [{"type": "summary_text", "text": text}] if self._pieces else []
        return {"id": self._id, "type": "reasoning", "summary": summary}

    def end(self, signature: Opaque | None, kept: Mapping[str, Any]) -> None:
        item = self._item()
        for part in item["summary"]:
            self._emit.event(b"response.reasoning_summary_text.done", {**self._place, "text": part["text"]})
            self._emit.event(b"response.reasoning_summary_part.done", {**self._place, "part": part})
        encrypted = wire.encrypted_content(signature, redacted=self._redacted)
        if encrypted is not None:
            item["encrypted_content"] = encrypted
        # ``content`` would repeat what was just told as the summary.
        others = {name: value for name, value in kept.items() if name not in ("content", "summary")}
        self._outputs.end(self._index, {**others, **item})

    def keep(self, _status: str) -> None:
        self._outputs.keep(self._index, self._item())
