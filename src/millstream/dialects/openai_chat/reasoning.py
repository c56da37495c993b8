"""Signed and hidden thinking: ``reasoning_details`` ⇄ one opaque value.

OpenRouter's shape (https://openrouter.ai/docs/guides/best-practices/reasoning-tokens), which other gateways took over:
a list of ``reasoning.text`` (with a ``signature``), ``reasoning.summary`` and ``reasoning.encrypted`` entries that must
come back as they were. Our opaque value is these entries as JSON, without the text if it is the block's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from millstream.core.messages import Opaque, ReasoningPart
from millstream.core.opaque import unwrap, wrap
from millstream.dialects.openai_chat import wire

Entry = dict[str, Any]

_TEXT_FIELDS = {"reasoning.text": "text", "reasoning.summary": "summary"}
_ENCRYPTED = "reasoning.encrypted"


def text_of(entry: Mapping[str, Any]) -> str:
    """The readable text of an entry, empty if it has none."""
    field = _TEXT_FIELDS.get(wire.string(entry, "type"))
    return wire.string(entry, field) if field else ""


def is_sealed(entry: Mapping[str, Any]) -> bool:
    """It holds what only its provider can read."""
    return bool(wire.string(entry, "signature") or wire.string(entry, "data"))


class Details:
    """The entries of one thought, from the pieces in which a stream brings them: neighbours of one type, index and id
    are one entry. What is encrypted comes in one piece."""

    __slots__ = ("_entries", "_texts")

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._texts: list[list[str]] = []

    def add(self, entry: Mapping[str, Any]) -> None:
        last = self._entries[-1] if self._entries else None
        if last is None or not _continues(last, entry):
            text = text_of(entry)
            self._entries.append(wire.without(entry, _TEXT_FIELDS.values()) if text else dict(entry))
            self._texts.append([text] if text else [])
            return
        for name, value in entry.items():
            if name in ("text", "summary"):
                self._texts[-1].append(value or "")
            elif value and last.get(name) != value:
                last[name] = value

    def seal(self) -> Opaque | None:
        """The value that gives the entries back, and nothing of them is left here. None if there is nothing in them but
        readable text. Where only one has text, that is the text of the thought itself and is left out."""
        entries, texts = self._entries, self._texts
        self._entries, self._texts = [], []
        if not any(is_sealed(entry) for entry in entries):
            return None
        if sum(1 for pieces in texts if pieces) > 1:
            for entry, pieces in zip(entries, texts, strict=True):
                if pieces:
                    entry[_TEXT_FIELDS[entry["type"]]] = "".join(pieces)
        return Opaque(wire.NAME, wire.json_text(entries))


def seal(entries: Iterable[Mapping[str, Any]]) -> Opaque | None:
    """Whole entries as one value."""
    details = Details()
    for entry in entries:
        details.add(entry)
    return details.seal()


def _continues(last: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    kind = entry.get("type")
    if kind == _ENCRYPTED or last.get("type") != kind or last.get("index") != entry.get("index"):
        return False
    return not last.get("id") or not entry.get("id") or bool(last["id"] == entry["id"])


def unseal(opaque: Opaque, text: str) -> list[Entry]:
    """The entries of an own value, ``text`` put back where it was. Empty if the value is not one of ours."""
    try:
        entries = msgspec.json.decode(opaque.value, type=list[dict[str, Any]])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return []
    bare = [entry for entry in entries if entry.get("type") in _TEXT_FIELDS and not text_of(entry)]
    if text and bare and not any(text_of(entry) for entry in entries):
        bare[0][_TEXT_FIELDS[bare[0]["type"]]] = text
    return entries


def details_for_client(text: str, signature: Opaque | None, redacted: Opaque | None, index: int) -> list[Entry]:
    """Signed or hidden thinking of any origin as a client of this dialect may hold and give back. The text is whole in
    here too, though it was already said as ``reasoning_content``, for clients that give back only these entries."""
    for opaque in (signature, redacted):
        if opaque is not None and opaque.origin == wire.NAME and (entries := unseal(opaque, text)):
            return entries
    if redacted is not None:
        return [{"type": _ENCRYPTED, "data": wrap(redacted, wire.NAME), "index": index}]
    if signature is not None:
        return [{"type": "reasoning.text", "text": text, "signature": wrap(signature, wire.NAME), "index": index}]
    return []


def parts_of(details: Sequence[object], plain: str | None) -> list[ReasoningPart]:
    """What a client gave back: ``reasoning_details`` and the same thinking as ``plain`` text, or one of them."""
    parts = [part for entry in details if isinstance(entry, dict) and (part := _part(entry)) is not None]
    if not plain or any(part.text for part in parts):
        return parts
    for number, part in enumerate(parts):
        if part.signature is not None:
            parts[number] = msgspec.structs.replace(part, text=plain)
            return parts
    return [ReasoningPart(plain), *parts]


def _part(entry: Mapping[str, Any]) -> ReasoningPart | None:
    text, signature, data = text_of(entry), wire.string(entry, "signature"), wire.string(entry, "data")
    if data:
        foreign = unwrap(data, wire.NAME)
        return ReasoningPart(redacted=seal([entry]) if foreign.origin == wire.NAME else foreign)
    if signature:
        foreign = unwrap(signature, wire.NAME)
        return ReasoningPart(text, seal([entry]) if foreign.origin == wire.NAME else foreign)
    return ReasoningPart(text) if text else None


def details_for_upstream(parts: Iterable[ReasoningPart]) -> list[Entry]:
    """The entries that an upstream of this dialect made and wants back; thinking of others is not among them."""
    entries: list[Entry] = []
    for part in parts:
        opaque = part.signature or part.redacted
        if opaque is not None and opaque.origin == wire.NAME:
            entries.extend(unseal(opaque, part.text))
    return entries
