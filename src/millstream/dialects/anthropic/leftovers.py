"""Fields of this API without a canonical name, and what it means to leave them out for another API's upstream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from millstream.core.messages import Message, Tool, extra_of
from millstream.dialects.anthropic.wire import ORIGIN
from millstream.dialects.base import Meanings

REQUEST_EFFORT = "$request_effort"
"""Note on reasoning: the effort of the request itself, None if it has none, where a message asks for another."""

MEANINGS = Meanings(
    nested=frozenset({"metadata", "output_config"}),
    defaults={"stream": (False,), "service_tier": ("auto",), "speed": ("standard",)},
    # A container holds files and skills, a thread the conversation; a request for compaction wants a summary instead
    # of an answer; and where data may be processed is a condition, not a preference.
    meant=frozenset({"compaction", "container", "inference_geo", "thread"}),
)

_READ = frozenset({"output_config"})
_NOTHING_SAID: tuple[object, ...] = (None, False, [], {}, {"enabled": False}, {"type": "direct"}, ["direct"], "custom")
"""Values with which fields of blocks and tools say what goes without saying: no citations, called by the model, a
function."""


def of_parts(messages: Iterable[Message], tools: Iterable[Tool]) -> list[str]:
    """What single messages, blocks and tools say that has no canonical name. A message's effort is read
    (``turn_effort``)."""
    found: dict[str, None] = {}
    for message in messages:
        own = extra_of(message.extra, ORIGIN)
        config = own.get("output_config")
        if isinstance(config, dict):
            found |= {f"messages[].output_config.{name}": None for name in config if name != "effort"}
        found |= _said(own, "messages[]")
        for part in message.parts:
            found |= _said(extra_of(getattr(part, "extra", None), ORIGIN), "messages[].content[]")
    for tool in tools:
        found |= _said(extra_of(tool.extra, ORIGIN), "tools[]")
    return list(found)


def _said(own: Mapping[str, Any], path: str) -> dict[str, None]:
    return {
        f"{path}.{name}": None
        for name, value in own.items()
        if name[:1] != "$" and name not in _READ and value not in _NOTHING_SAID
    }


def turn_effort(messages: Iterable[Message]) -> str | None:
    """The effort that a system message asks for from its turn on, if one does."""
    effort: str | None = None
    for message in messages:
        config = extra_of(message.extra, ORIGIN).get("output_config")
        said = config.get("effort") if isinstance(config, dict) else None
        effort = said if isinstance(said, str) else effort
    return effort
