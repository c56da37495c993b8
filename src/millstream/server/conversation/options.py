"""What the settings ``[conversation]`` say of one turn."""

from __future__ import annotations

from dataclasses import dataclass

from millstream.config import ConversationConfig


@dataclass(frozen=True, slots=True)
class TalkOptions:
    """Times are in seconds."""

    intent: bool
    suggestions: bool
    summarise: bool
    limit: float
    max_chunks: int
    history_tokens: int
    aside_timeout: float


def talk_options(config: ConversationConfig) -> TalkOptions:
    return TalkOptions(
        config.intent,
        config.suggestions,
        config.history == "summarise",
        config.limit,
        config.max_chunks,
        config.history_tokens,
        config.aside_timeout,
    )
