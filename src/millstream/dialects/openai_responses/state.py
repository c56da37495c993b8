"""What stored replies need of the format: the items of one turn as the beginning of the next one's ``input``.

Where and how long they are kept is not decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from millstream.core.errors import ClientFault, Kind
from millstream.core.messages import Reply
from millstream.dialects.base import ReplyContext
from millstream.dialects.openai_responses.fields import object_list
from millstream.dialects.openai_responses.render import render_reply

Item = Mapping[str, Any]


class _Output(msgspec.Struct):
    output: list[dict[str, Any]]


def reply_items(reply: Reply, context: ReplyContext) -> list[dict[str, Any]]:
    """``reply`` as items of the next turn's ``input``: just what its client was given, ids and all."""
    return msgspec.json.decode(render_reply(reply, context), type=_Output).output


def input_items(body: bytes) -> list[Item]:
    """A request's own ``input`` as items. Raises ``ClientFault`` if it is neither text nor a list of objects."""
    given = _decoded(body).get("input")
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    return list(object_list(given, "input"))


def referenced(body: bytes) -> list[str]:
    """Ids of stored items that a request's ``input`` names instead of repeating them."""
    return [reference for item in input_items(body) if (reference := _reference(item)) is not None]


def continued(body: bytes, earlier: Sequence[Item], stored: Mapping[str, Item] | None = None) -> bytes:
    """The request with ``earlier`` items before its own, and with the ``stored`` items its references name.

    Raises ``ClientFault`` for a reference to an item that is not there.
    """
    request = _decoded(body)
    own = [_resolved(item, stored or {}) for item in input_items(body)]
    request["input"] = [*earlier, *own]
    request.pop("previous_response_id", None)
    return msgspec.json.encode(request)


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ClientFault(f"the request body is not a JSON object: {error}") from error


def _reference(item: Item) -> str | None:
    is_one = item.get("type") == "item_reference" or ("type" not in item and "role" not in item)
    reference = item.get("id")
    return reference if is_one and isinstance(reference, str) else None


def _resolved(item: Item, stored: Mapping[str, Item]) -> Item:
    reference = _reference(item)
    if reference is None:
        return item
    if reference not in stored:
        raise ClientFault(f"Item with id '{reference}' not found.", Kind.NOT_FOUND, param="input")
    return stored[reference]
