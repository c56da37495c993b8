"""Fields of this API without a canonical name, and what it means to leave them out for another API's upstream."""

from __future__ import annotations

from collections.abc import Iterable

from millstream.core.messages import Message, extra_of
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


def of_messages(messages: Iterable[Message]) -> list[str]:
    """What single messages say that has no canonical name. Their effort is read (``turn_effort``)."""
    found: dict[str, None] = {}
    for message in messages:
        own = extra_of(message.extra, ORIGIN)
        config = own.get("output_config")
        if isinstance(config, dict):
            found |= {f"messages.output_config.{name}": None for name in config if name != "effort"}
        found |= {f"messages.{name}": None for name, value in own.items() if name not in _READ and _says(name, value)}
    return list(found)


def _says(name: str, value: object) -> bool:
    return name[:1] != "$" and value not in (None, [], {})


def turn_effort(messages: Iterable[Message]) -> str | None:
    """The effort that a system message asks for from its turn on, if one does."""
    effort: str | None = None
    for message in messages:
        config = extra_of(message.extra, ORIGIN).get("output_config")
        said = config.get("effort") if isinstance(config, dict) else None
        effort = said if isinstance(said, str) else effort
    return effort
