"""The shapes of the Responses API on the wire, and the conventions by which they ride in the canonical model.

Specification: https://platform.openai.com/docs/api-reference/responses and https://www.openresponses.org.

What this dialect keeps in ``extra`` under its own name: of an item, its fields without a canonical name (``id``,
``status``, ``phase``, ``caller``, …); the first part of a message item holds them as ``item``, which also marks where
one item of an assistant's turn ends and the next begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from millstream.core.messages import Extra, Opaque
from millstream.core.opaque import unwrap, wrap

NAME = "openai_responses"

TOOL_SEARCH = "tool_search"
"""The name under which a search for deferred tools that the client runs is known as a function."""

SERVER_CALLS: Mapping[str, str] = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_interpreter",
    "mcp_call": "mcp",
}
"""Items of tools that the provider runs and whose one item holds both call and result."""

CLIENT_CALLS = frozenset(
    {"computer_call", "local_shell_call", "apply_patch_call", "shell_call", "mcp_approval_request", "program"}
)
"""Items without a canonical form after which the provider waits for its client."""

ENCRYPTED_REASONING = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"


class Delta(msgspec.Struct, gc=False):
    """Any event that adds a piece of text to a part of an item."""

    delta: str
    output_index: int = -1
    content_index: int = 0
    item_id: str = ""


class TextDelta(msgspec.Struct):
    delta: str
    output_index: int = -1
    content_index: int = 0
    item_id: str = ""
    logprobs: list[dict[str, Any]] | None = None


class SummaryDelta(msgspec.Struct, gc=False):
    delta: str
    output_index: int = -1
    summary_index: int = 0
    item_id: str = ""


class ItemEvent(msgspec.Struct):
    output_index: int = -1
    item: dict[str, Any] | None = None


class PartEvent(msgspec.Struct):
    output_index: int = -1
    content_index: int = 0
    item_id: str = ""
    part: dict[str, Any] = {}
    annotation: dict[str, Any] | None = None


class ResponseEvent(msgspec.Struct):
    response: dict[str, Any]


class TypeOnly(msgspec.Struct):
    type: str | None = None


def string(data: Mapping[str, Any], name: str) -> str:
    """The field as text; empty where it is missing or something else."""
    value = data.get(name)
    return value if isinstance(value, str) else ""


def mapping(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def objects(data: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects in the list that the field is; empty where it is no list."""
    value = data.get(name)
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def integer(data: Mapping[str, Any], name: str) -> int | None:
    value = data.get(name)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def rest(data: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """What must ride in ``extra``: fields without a canonical name, and known ones that are an explicit null."""
    return {name: value for name, value in data.items() if value is None or name not in known}


def own(extra: Extra | None) -> Mapping[str, Any]:
    return (extra or {}).get(NAME, {})


def flat_name(namespace: str, name: str) -> str:
    """A function of a namespace as one plain name, which every upstream can be told.

    The API names the namespace of a single deferred function like the function itself: that one stays as it is.
    """
    return name if namespace in ("", name) else f"{namespace}__{name}"


def arguments_of(item: Mapping[str, Any]) -> str:
    """What a tool was called with, as JSON text."""
    if text := string(item, "arguments"):
        return text
    for field in ("arguments", "action", "operation"):
        if value := mapping(item, field):
            return msgspec.json.encode(value).decode()
    for field in ("code", "queries"):
        if item.get(field) is not None:
            return msgspec.json.encode({field: item[field]}).decode()
    return "{}"


def digest(item: Mapping[str, Any]) -> str | None:
    """What a tool's item says, for readers that do not know its type."""
    lines = [f"query: {query}" for query in _queries(item)]
    lines += [value for field in ("code", "output", "revised_prompt") if (value := string(item, field))]
    lines += [text for entry in objects(item, "outputs") if (text := string(entry, "logs"))]
    lines += [text for entry in objects(item, "results") if (text := string(entry, "text"))]
    lines += [url for entry in objects(mapping(item, "action"), "sources") if (url := string(entry, "url"))]
    return "\n".join(lines) or None


def _queries(item: Mapping[str, Any]) -> list[str]:
    queries = item.get("queries") or mapping(item, "action").get("queries")
    if isinstance(queries, list):
        return [query for query in queries if isinstance(query, str)]
    query = string(mapping(item, "action"), "query")
    return [query] if query else []


# Encrypted reasoning. The value that other dialects carry for us holds the item's id too, since the API wants both
# back and those dialects have one slot. What others gave us is marked with its origin and with what it belongs to.

_REDACTED = "+redacted"
_OF_CALL = "+call"


def seal(item_id: str, encrypted: str) -> Opaque:
    return Opaque(NAME, f"{item_id}|{encrypted}")


def unseal(opaque: Opaque) -> tuple[str, str]:
    """Item id, perhaps empty, and encrypted content of an own value."""
    item_id, bar, encrypted = opaque.value.partition("|")
    return (item_id, encrypted) if bar else ("", opaque.value)


def encrypted_content(
    signature: Opaque | None = None, *, redacted: Opaque | None = None, of_call: Opaque | None = None
) -> str | None:
    """The value as a client of this API may hold it: one of a thought, a hidden thought, or a tool call."""
    if signature is not None:
        return unseal(signature)[1] if signature.origin == NAME else wrap(signature, NAME)
    for opaque, mark in ((redacted, _REDACTED), (of_call, _OF_CALL)):
        if opaque is not None:
            return wrap(Opaque(opaque.origin + mark, opaque.value), NAME)
    return None


class Sealed(msgspec.Struct, frozen=True):
    """What a client gave back as ``encrypted_content``: exactly one of these."""

    signature: Opaque | None = None
    redacted: Opaque | None = None
    of_call: Opaque | None = None


def read_encrypted(text: str, item_id: str) -> Sealed:
    opaque = unwrap(text, NAME)
    if opaque.origin == NAME:
        return Sealed(signature=seal(item_id, opaque.value))
    if opaque.origin.endswith(_REDACTED):
        return Sealed(redacted=Opaque(opaque.origin.removesuffix(_REDACTED), opaque.value))
    if opaque.origin.endswith(_OF_CALL):
        return Sealed(of_call=Opaque(opaque.origin.removesuffix(_OF_CALL), opaque.value))
    return Sealed(signature=opaque)
