"""What apps ask for: the body of a plain stream, as a canonical request."""

from __future__ import annotations

from typing import Any

import msgspec

from millstream.core.errors import ClientFault
from millstream.core.messages import Message, Request, TextPart
from millstream.dialects.base import ClientCall, Dialect
from millstream.dialects.chat_events import NAME
from millstream.server.runs.run import OnDisconnect

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Ask(msgspec.Struct, frozen=True):
    """The body. ``messages`` are those of OpenAI's Chat API, images and files included.

    ``run_id`` names the run: one that there is already is attached to. ``on_disconnect`` None leaves it to the
    configuration.
    """

    query: str | None = None
    messages: list[Any] | None = None
    model: str | None = None
    system: str | None = None
    session_id: str | None = None
    max_tokens: int | None = None
    run_id: str | None = None
    on_disconnect: OnDisconnect | None = None


class Start(Ask, frozen=True, tag="start", tag_field="type", kw_only=True):
    """A WebSocket's wish for a stream, which the client calls ``stream_id``."""

    stream_id: str


class Cancel(msgspec.Struct, frozen=True, tag="cancel", tag_field="type"):
    stream_id: str


class Resume(msgspec.Struct, frozen=True, tag="resume", tag_field="type"):
    """What follows event ``after`` of the run that ``stream_id`` was last started as, or of ``run_id``."""

    stream_id: str
    after: int = 0
    run_id: str | None = None


class Ping(msgspec.Struct, frozen=True, tag="ping", tag_field="type"):
    pass


Wish = Start | Cancel | Resume | Ping


def read_ask(body: bytes) -> Ask:
    """Raises ``ClientFault``."""
    try:
        return msgspec.json.decode(body, type=Ask)
    except msgspec.ValidationError as error:
        raise ClientFault(str(error)) from error
    except _UNREADABLE as error:
        raise ClientFault(f"the request body is not valid JSON: {error}") from error


def read_wish(message: str | bytes) -> Wish:
    """Raises ``ClientFault``."""
    try:
        wish: Wish = msgspec.json.decode(message, type=Wish)
    except msgspec.ValidationError as error:
        raise ClientFault(str(error)) from error
    except _UNREADABLE as error:
        raise ClientFault(f"the message is not valid JSON: {error}") from error
    return wish


def request_of(ask: Ask, default_model: str, chat: Dialect) -> Request:
    """Raises ``ClientFault`` that names the field. ``chat`` reads the messages."""
    if (ask.query is None) == (ask.messages is None):
        raise ClientFault("give either query, a text, or messages, a conversation", param="query")
    if ask.query is not None and not ask.query.strip():
        raise ClientFault("query: it is empty", param="query")
    if ask.max_tokens is not None and ask.max_tokens < 1:
        raise ClientFault("max_tokens: it must be at least 1", param="max_tokens")
    model = ask.model or default_model
    if ask.query is not None:
        request = Request(NAME, model, (Message("user", (TextPart(ask.query),), plain=True),))
    else:
        if not ask.messages:
            raise ClientFault("messages: there is none", param="messages")
        call = ClientCall(msgspec.json.encode({"model": model, "messages": ask.messages}))
        parsed = chat.parse_request(call)
        request = Request(
            NAME, model, parsed.messages, system=parsed.system, system_plain=parsed.system_plain, extra=parsed.extra
        )
    if ask.system:
        system = (TextPart(ask.system), *request.system)
        request = msgspec.structs.replace(request, system=system, system_plain=len(system) == 1)
    return msgspec.structs.replace(request, stream=True, include_usage=True, max_tokens=ask.max_tokens)
