"""Fields of this API without a canonical name, and what it means to leave them out for another API's upstream."""

from __future__ import annotations

from millstream.dialects.base import Meanings

SHARED = frozenset(
    {
        "metadata",
        "moderation",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "verbosity",
    }
)
"""Fields that OpenAI's other API has too, with the same meaning."""

MEANINGS = Meanings(
    nested=frozenset({"stream_options"}),
    defaults={
        "modalities": (["text"],),
        "service_tier": ("auto", "default"),
        "store": (False,),
        "stream_options.include_obfuscation": (False,),
        "verbosity": ("medium",),
    },
    meant=frozenset({"modalities"}),
    shared={name: name for name in SHARED},
)
