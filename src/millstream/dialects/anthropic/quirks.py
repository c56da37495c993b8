"""How one provider of this API departs from Anthropic's own ``api.anthropic.com``."""

from __future__ import annotations

from typing import Literal

from millstream.dialects.base import Quirks


class AnthropicQuirks(Quirks, frozen=True, forbid_unknown_fields=True, kw_only=True):
    messages_path: str = "/v1/messages"
    """Appended to the base URL. Vertex has the model in it, ``{model}``; the body then has none."""

    stream_path: str | None = None
    """The same for a stream, where that is another."""

    count_path: str = "/v1/messages/count_tokens"
    """Where tokens are counted."""

    version_in_body: str | None = None
    """``anthropic_version`` in the body: Vertex."""

    default_max_tokens: int = 32_000
    """``max_tokens`` where the client gave none: the API requires it. 32,000 is what the smallest of the models from
    Claude 4 on may write at most, and what Claude Code sends for models it does not know."""

    mid_system: bool | None = None
    """Takes ``role: "system"`` within ``messages``; otherwise such a message becomes a user's text in
    ``<system-reminder>`` tags. Not set: a request of this API's own client is taken at its word, any other's goes by
    the model's name (``models.py``)."""

    structured_outputs: bool = True
    """Takes ``output_config.format`` and ``strict`` tools; otherwise a schema is told in the system prompt."""

    thinking: Literal["auto", "adaptive", "budget", "none"] = "auto"
    """How a wish for reasoning is put: ``adaptive`` with an effort, a ``budget_tokens``, or not at all. ``auto`` goes
    by the model's name."""

    unsigned_thinking: bool = False
    """Takes thinking back without a signature (providers that never sign). Anthropic refuses it."""

    sampling: bool = True
    """Takes ``temperature``, ``top_p`` and ``top_k``."""
