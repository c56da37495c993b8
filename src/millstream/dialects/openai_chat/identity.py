"""What every chunk of a reply repeats of it, and what a client's request says about how to answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millstream.core.messages import Extra, Request
from millstream.dialects.base import ReplyContext
from millstream.dialects.openai_chat import wire

_PREFIX = "chatcmpl-"

LEGACY_TOOL = "$function"
"""Note on a tool: it came in the deprecated field ``functions``, so calls of it go into ``function_call``."""


def identity(
    context: ReplyContext, kind: str, reply_id: str, model: str, created: int | None, extra: Extra | None
) -> dict[str, Any]:
    """The fields from ``id`` to ``system_fingerprint``, in OpenAI's order.

    An id of another dialect gets the prefix that ids of this one have. The last two fields are only there if an
    upstream of this dialect gave them: OpenAI's published schema knows no null for them.
    """
    own_upstream = extra is not None and wire.NAME in extra
    reply_id = reply_id or context.reply_id
    if not own_upstream and not reply_id.startswith(_PREFIX):
        reply_id = _PREFIX + reply_id
    fields: dict[str, Any] = {
        "id": reply_id,
        "object": kind,
        "created": created or context.created,
        "model": model or context.request.model,
    }
    own = wire.own(extra)
    return fields | {name: own[name] for name in ("service_tier", "system_fingerprint") if own.get(name)}


def custom_tools(request: Request) -> frozenset[str]:
    """Tools whose input is free text. An upstream that has only functions was told of them as such."""
    return frozenset(tool.name for tool in request.tools if tool.kind == "custom")


def wants_function_call(request: Request) -> bool:
    return any(LEGACY_TOOL in wire.own(tool.extra) for tool in request.tools)


def sources(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """URLs and titles of what a tool run by a provider has found, in whatever dialect's words."""
    found: list[tuple[str, str]] = []
    _collect(data, found)
    return list(dict.fromkeys(found))


def _collect(value: object, found: list[tuple[str, str]], depth: int = 0) -> None:
    if depth > 6 or len(found) >= 50:
        return
    if isinstance(value, dict):
        url = value.get("url") or value.get("uri")
        if isinstance(url, str) and url.startswith(("https://", "http://")):
            found.append((url, wire.string(value, "title") or url))
            return
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            _collect(entry, found, depth + 1)
