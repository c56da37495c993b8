"""How providers of the Responses API depart from OpenAI's, for requests rendered by this gateway.

A client of this same API is passed through untouched; these matter where a request is written anew.
"""

from __future__ import annotations

from millstream.dialects.base import Quirks
from millstream.dialects.openai_responses.leftovers import SHARED


class ResponsesQuirks(Quirks, frozen=True, forbid_unknown_fields=True, kw_only=True):
    store: bool | None = False
    """What to say about keeping the reply where the client did not; None says nothing."""

    encrypted_reasoning: bool = True
    """Ask for reasoning in a form that can be given back without server-side state."""

    reasoning: bool = True
    """The models take ``reasoning``; those that do not answer 400 to it."""

    summaries: bool = True
    """Summaries of the reasoning may be asked for."""

    can_disable_reasoning: bool = False
    """``reasoning.effort`` ``none`` is known."""

    sampling: bool = True
    """``temperature`` and ``top_p`` are taken; reasoning models of OpenAI refuse them."""

    shared_fields: tuple[str, ...] = tuple(sorted(SHARED))
    """Fields that a client of OpenAI's other API may have sent and that are known here too."""

    min_output_tokens: int = 16
    """The least ``max_output_tokens`` that is not an error."""

    developer_role: bool = True
    """Messages of the role ``developer`` are known; otherwise they are sent as ``system``."""

    custom_tools: bool = True
    """Free-text tools are known; otherwise they are sent as functions."""

    namespaces: bool = True
    """Tools may be grouped in namespaces; otherwise their functions are sent under one name each."""

    tool_search: bool = True
    """A search for deferred tools that the client runs is known; otherwise it is sent as a function, and what it has
    found among the other tools."""

    hosted_tools: tuple[str, ...] | None = None
    """Types of tools that the provider runs itself; None stands for whatever the client names."""
