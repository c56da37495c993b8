"""Fields of this API without a canonical name, and what it means to leave them out for another API's upstream."""

from __future__ import annotations

from collections.abc import Iterable

from millstream.core.messages import Message, Tool, extra_of
from millstream.dialects.base import Meanings
from millstream.dialects.gemini.wire import DIALECT

MEANINGS = Meanings(
    nested=frozenset({"generationConfig", "systemInstruction", "toolConfig"}),
    # The role of an instruction is no news, and cached content is refused before a request is translated.
    silent=frozenset({"systemInstruction.role", "cachedContent"}),
    defaults={
        "generationConfig.responseModalities": (["TEXT"], ["text"]),
        "generationConfig.mediaResolution": ("MEDIA_RESOLUTION_UNSPECIFIED",),
        "serviceTier": ("standard", "SERVICE_TIER_UNSPECIFIED"),
        "store": (False,),
    },
    meant=frozenset({"generationConfig.responseFormat", "generationConfig.responseModalities"}),
)

_OF_PARTS = frozenset(
    {
        "audioMetadata",
        "audioTranscription",
        "documentMetadata",
        "mediaProcessing",
        "speechMetadata",
        "spreadsheetMetadata",
        "videoMetadata",
    }
)
_OF_FUNCTIONS = frozenset({"behavior", "response", "responseJsonSchema"})


def of_parts(messages: Iterable[Message], tools: Iterable[Tool]) -> list[str]:
    """What single parts and functions say that has no canonical name."""
    found: dict[str, None] = {}
    for message in messages:
        for part in message.parts:
            own = extra_of(getattr(part, "extra", None), DIALECT)
            found |= {f"contents[].parts[].{name}": None for name in sorted(_OF_PARTS.intersection(own))}
    for tool in tools:
        named = _OF_FUNCTIONS.intersection(extra_of(tool.extra, DIALECT))
        found |= {f"tools[].functionDeclarations[].{name}": None for name in sorted(named)}
    return list(found)
