"""What requests ask for, read from their headers, queries and bodies; and how a refusal is said."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

PREFIX = "/v1/stream/"
_OFFSET = re.compile(r"(\d{16})_0{16}")
_NATURAL = re.compile(r"0|[1-9]\d{0,15}")
_MOST_INT = 2**53 - 1
_BYTES = "application/octet-stream"


class Refused(Exception):
    """The request is answered with ``status``, and with ``headers`` besides the usual ones."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


@dataclass(frozen=True, slots=True)
class Producer:
    """Who writes, the how-manieth of that name, and its how-manieth request."""

    id: str
    epoch: int
    seq: int


@dataclass(frozen=True, slots=True)
class Fork:
    """``at`` is the number of the last entry taken over, None for all; ``part`` how much of the next one: bytes, or
    messages of JSON."""

    source: str
    at: int | None
    part: int


@dataclass(frozen=True, slots=True)
class Create:
    content_type: str | None
    ttl: int | None
    expires_at: str | None
    closed: bool
    fork: Fork | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Append:
    content_type: str | None
    close: bool
    seq: str | None
    producer: Producer | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Read:
    """``after`` is the number of the last entry the reader has; None: it wants only what comes from now on."""

    after: int | None
    live: str
    cursor: int


def offset_of(number: int) -> str:
    """Offsets sort as strings, and the first is that of the reference server."""
    return f"{number:016}_{0:016}"


def number_of(offset: str) -> int:
    """Raises ``Refused`` (400)."""
    found = _OFFSET.fullmatch(offset)
    if found is None:
        raise Refused(400, "the offset is none that was given out here")
    return int(found[1])


def kind(content_type: str) -> str:
    """Without parameters."""
    return content_type.partition(";")[0].strip().lower()


def is_json(content_type: str) -> bool:
    return kind(content_type) == "application/json"


def read_create(headers: Mapping[str, str], body: bytes) -> Create:
    ttl, expires_at = headers.get("stream-ttl"), headers.get("stream-expires-at")
    if ttl is not None and expires_at is not None:
        raise Refused(400, "Stream-TTL and Stream-Expires-At: say one of them")
    if ttl is not None and not _NATURAL.fullmatch(ttl):
        raise Refused(400, "Stream-TTL: it is a number of seconds, such as 3600")
    if expires_at is not None:
        moment(expires_at)
    return Create(
        headers.get("content-type") or None,
        int(ttl) if ttl is not None else None,
        expires_at,
        _says_closed(headers),
        _fork(headers),
        body,
    )


def _fork(headers: Mapping[str, str]) -> Fork | None:
    source = headers.get("stream-forked-from")
    at, part = headers.get("stream-fork-offset"), headers.get("stream-fork-sub-offset")
    if source is None:
        if at is not None or part is not None:
            raise Refused(400, "Stream-Forked-From: what is to be forked?")
        return None
    if part is not None and not _NATURAL.fullmatch(part):
        raise Refused(400, "Stream-Fork-Sub-Offset: it is a number of bytes, or of messages")
    if at is None and part not in (None, "0"):
        raise Refused(400, "Stream-Fork-Sub-Offset is counted from a Stream-Fork-Offset")
    path = unquote(urlsplit(source).path)
    if not path.startswith(PREFIX):
        raise Refused(400, f"Stream-Forked-From: streams are at {PREFIX}")
    number = None if at is None else 0 if at == "-1" else number_of(at)
    return Fork(path.removeprefix(PREFIX), number, int(part or 0))


def read_append(headers: Mapping[str, str], body: bytes) -> Append:
    append = Append(
        headers.get("content-type") or None,
        _says_closed(headers),
        headers.get("stream-seq"),
        _producer(headers),
        body,
    )
    if not body and not append.close:
        raise Refused(400, "there is nothing to append")
    if body and append.content_type is None:
        raise Refused(400, "Content-Type: what is appended?")
    return append


def _says_closed(headers: Mapping[str, str]) -> bool:
    return headers.get("stream-closed", "").lower() == "true"


def _producer(headers: Mapping[str, str]) -> Producer | None:
    said = [headers.get(name) for name in ("producer-id", "producer-epoch", "producer-seq")]
    name, epoch, seq = said
    if name is None and epoch is None and seq is None:
        return None
    if not name or epoch is None or seq is None:
        raise Refused(400, "Producer-Id, Producer-Epoch and Producer-Seq: say all three of them")
    if not (_NATURAL.fullmatch(epoch) and _NATURAL.fullmatch(seq)) or max(int(epoch), int(seq)) > _MOST_INT:
        raise Refused(400, "Producer-Epoch and Producer-Seq are numbers from 0 on")
    return Producer(name, int(epoch), int(seq))


def read_read(query: bytes) -> Read:
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise Refused(400, "the query cannot be read") from None
    offsets = [value for name, value in pairs if name == "offset"]
    said = dict(pairs)
    live = said.get("live", "")
    if len(offsets) > 1:
        raise Refused(400, "offset: say one")
    if live not in ("", "long-poll", "sse"):
        raise Refused(400, "live: it is long-poll or sse")
    if live and not offsets:
        raise Refused(400, "offset: from where on? -1 is the beginning")
    offset = offsets[0] if offsets else "-1"
    after = None if offset == "now" else 0 if offset == "-1" else number_of(offset)
    cursor = said.get("cursor", "")
    return Read(after, live, int(cursor) if _NATURAL.fullmatch(cursor) else -1)


def moment(text: str) -> float:
    """Unix seconds of a time as RFC 3339 has it. Raises ``Refused`` (400)."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or "T" not in text.upper():
        raise Refused(400, "Stream-Expires-At: it is a time such as 2026-01-31T12:00:00Z")
    return found.timestamp()


def entries_of(content_type: str, body: bytes, *, may_be_empty: bool = False) -> Sequence[bytes]:
    """What one request's ``body`` is in the journal: one entry, in JSON its messages with commas between them."""
    if not is_json(content_type):
        return [body] if body else []
    if not body and may_be_empty:
        return []
    messages = messages_of(body)
    if not messages and not may_be_empty:
        raise Refused(400, "there is nothing to append: the array is empty")
    return [b",".join(messages)] if messages else []


def messages_of(body: bytes) -> Sequence[bytes]:
    """Of an array, its elements. Raises ``Refused`` (400)."""
    try:
        body.decode()  # msgspec leaves what it need not look into
        if body.lstrip(b" \t\r\n")[:1] == b"[":
            return [bytes(raw) for raw in msgspec.json.decode(body, type=list[msgspec.Raw])]
        msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(400, f"the body is no JSON: {error}") from None
    return [body.strip(b" \t\r\n")]


def content_type_or_bytes(content_type: str | None) -> str:
    return content_type or _BYTES
