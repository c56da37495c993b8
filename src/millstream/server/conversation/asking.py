"""What apps ask of a conversation."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from millstream.config import ConversationConfig
from millstream.core.errors import ClientFault, Kind

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_USER = re.compile(r"[^\x00-\x1f\x7f/]{1,128}")


class TalkAsk(msgspec.Struct, frozen=True):
    """The body. Without ``session_id`` a conversation begins. ``context`` is what the app knows about this moment, a
    text or any JSON; the model is told it for this answer. ``resume``, in place of a ``message``: the last answer broke
    off, and is to be ended."""

    message: str | None = None
    session_id: str | None = None
    model: str | None = None
    context: Any = None
    resume: bool = False


def read_ask(body: bytes, caps: ConversationConfig) -> TalkAsk:
    """Raises ``ClientFault`` that names the field."""
    try:
        ask = msgspec.json.decode(body, type=TalkAsk)
    except msgspec.ValidationError as error:
        raise ClientFault(str(error)) from error
    except _UNREADABLE as error:
        raise ClientFault(f"the request body is not valid JSON: {error}") from error
    if ask.resume:
        if ask.message is not None:
            raise ClientFault("give either a message, or resume for the rest of the last answer", param="message")
        if ask.session_id is None:
            raise ClientFault("session_id: say which conversation to resume", param="session_id")
    elif ask.message is None or not ask.message.strip():
        raise ClientFault("message: it is empty", param="message")
    elif len(ask.message) > caps.max_message:
        raise _too_long("message", len(ask.message), caps.max_message)
    if ask.context is not None:
        size = len(ask.context) if isinstance(ask.context, str) else len(msgspec.json.encode(ask.context))
        if size > caps.max_context:
            raise _too_long("context", size, caps.max_context)
    return ask


def check_user(user_id: str) -> str:
    """Raises ``ClientFault``."""
    if not _USER.fullmatch(user_id):
        raise ClientFault("user_id: it has 1 to 128 characters, none of them a control character", param="user_id")
    return user_id


def _too_long(name: str, size: int, most: int) -> ClientFault:
    message = f"{name}: {size} characters are more than {most} (conversation.max_{name})"
    return ClientFault(message, Kind.TOO_LARGE, param=name, code=f"{name}_too_long")
