"""Conversations of an app's users."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from millstream.config.units import Seconds


class ConversationConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Conversations of an app's users. Times are in seconds, lengths in characters."""

    model: str | None = None
    """Who answers; None: the default model."""
    fallback: tuple[str, ...] = ()
    """Models that are asked in turn where those before fail without having said anything."""
    patience: Seconds = 30.0
    """A model after which there is another may be silent for so long."""
    system: str | None = None
    max_tokens: Annotated[int, msgspec.Meta(gt=0)] | None = None
    """Of an answer; None leaves it to the model's API."""
    small_model: str | None = None
    """Who is asked for intents, suggestions and summaries; None: the model that answers."""
    intent: bool = True
    suggestions: bool = True
    aside_timeout: Seconds = 5.0
    """An intent, suggestions or a summary that take longer are left out."""
    history: Literal["drop", "summarise"] = "drop"
    """What becomes of the turns that are too many to tell the model."""
    history_tokens: Annotated[int, msgspec.Meta(gt=0)] = 8000
    limit: Seconds = 240.0
    """Of one answer. ``runs.limit`` holds as well, and is not to be the shorter one."""
    max_chunks: Annotated[int, msgspec.Meta(gt=0)] = 20_000
    """Pieces of one answer."""
    max_message: Annotated[int, msgspec.Meta(gt=0)] = 32_000
    max_context: Annotated[int, msgspec.Meta(gt=0)] = 16_000
    max_messages: Annotated[int, msgspec.Meta(gt=0)] = 1000
    """Of one conversation."""
    max_sessions: Annotated[int, msgspec.Meta(gt=0)] = 200
    """Of one user; beyond it the oldest is forgotten."""
    messages_per_minute: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Of one user; 0: no limit. Counted where ``limits.redis_url`` says."""
    on_disconnect: Literal["cancel", "drain", "detach"] = "cancel"
    """What becomes of an answer when its last reader has left."""
