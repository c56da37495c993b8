"""Fields of this API without a canonical name, and what it means to leave them out for another API's upstream."""

from __future__ import annotations

from millstream.dialects.base import Meanings

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
    meant=frozenset({"generationConfig.responseModalities"}),
)
