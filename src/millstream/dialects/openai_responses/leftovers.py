"""Fields of this API without a canonical name, and what it means to leave them out for another API's upstream."""

from __future__ import annotations

from millstream.dialects.base import Meanings
from millstream.dialects.openai_responses import wire

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
"""Fields that OpenAI's other API has too, with the same meaning, by their name there."""

MEANINGS = Meanings(
    nested=frozenset({"text", "stream_options"}),
    # State is refused or seen to before a request is translated, and nobody misses what only pads a stream.
    silent=frozenset(
        {"background", "conversation", "previous_response_id", "prompt", "store", "stream_options.include_obfuscation"}
    ),
    defaults={
        # What thoughts need to be given back is always sent, and log probabilities have a canonical name.
        "include": ([wire.ENCRYPTED_REASONING], [wire.LOGPROBS], [wire.ENCRYPTED_REASONING, wire.LOGPROBS]),
        "service_tier": ("auto", "default"),
        "text.verbosity": ("medium",),
        "truncation": ("disabled",),
    },
    shared={**{name: name for name in SHARED - {"verbosity"}}, "text.verbosity": "verbosity"},
)
