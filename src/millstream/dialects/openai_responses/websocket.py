"""What the Responses API's WebSocket adds to the format: the message that asks for a reply, and its errors.

A reply's events are the stream's, one JSON text per message: ``ResponsesRenderer(context, bare(stream_id)).frames``.
https://platform.openai.com/docs/guides/websocket-mode
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from millstream.core.errors import ClientFault, MillstreamError
from millstream.dialects.openai_responses import errors

_STREAM_ID = re.compile(r"[A-Za-z0-9_.-]{1,256}")
_NOT_OF_THE_REQUEST = ("type", "generate", "stream_id", "stream", "stream_options", "background")


class Create(msgspec.Struct, frozen=True):
    """A ``response.create``. ``body`` is the same request as it would be posted, streamed; without ``generate`` it
    only prepares a conversation to go on from. Messages of one ``stream_id`` are answered one after another."""

    body: bytes
    generate: bool = True
    stream_id: str | None = None


def read_message(data: bytes) -> Create:
    """Raises ``ClientFault`` if the message does not ask for a reply."""
    try:
        fields = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ClientFault(f"the message is not a JSON object: {error}") from error
    if fields.get("type") != "response.create":
        raise ClientFault(f"type: expected 'response.create', got {fields.get('type')!r}", param="type")
    request = {name: value for name, value in fields.items() if name not in _NOT_OF_THE_REQUEST}
    return Create(
        msgspec.json.encode({**request, "stream": True}),
        fields.get("generate") is not False,
        _stream_id(fields.get("stream_id")),
    )


def _stream_id(given: object) -> str | None:
    if given is None or (isinstance(given, str) and _STREAM_ID.fullmatch(given)):
        return given
    message = (
        "The 'stream_id' field must be a non-empty string with at most 256 characters and may only contain letters, "
        "numbers, underscores, hyphens, and periods."
    )
    raise ClientFault(message, code="invalid_stream_id", param="stream_id")


def error_message(error: MillstreamError, stream_id: str | None = None) -> bytes:
    """An error that no reply has begun before."""
    fields: dict[str, Any] = {"type": "error", "status": errors.wire_status(error)}
    details = errors.wire_error_event(error)
    if headers := errors.retry_headers(error):
        details["headers"] = headers
    if stream_id is not None:
        fields["stream_id"] = stream_id
    return msgspec.json.encode({**fields, "error": details})
