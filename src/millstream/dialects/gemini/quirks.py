"""How one provider of this API departs from Google's own ``generativelanguage`` endpoint."""

from __future__ import annotations

from typing import Literal

from millstream.dialects.base import Quirks


class GeminiQuirks(Quirks, frozen=True, forbid_unknown_fields=True, kw_only=True):
    model_path: str = "/v1beta/models/{model}"
    """Appended to the base URL, before ``:generateContent``. Vertex: ``/publishers/google/models/{model}``, its base
    URL then ends in ``/v1/projects/PROJECT/locations/LOCATION``."""

    json_schema: bool = True
    """Takes ``parametersJsonSchema`` and ``responseJsonSchema``; otherwise schemas go in OpenAPI's words."""

    call_ids: bool = True
    """Takes ``id`` on function calls and responses."""

    validated_mode: bool = True
    """Has the calling mode ``VALIDATED``: call one of these tools, or answer in words."""

    skip_signature: bool = True
    """Models from Gemini 3 on refuse unsigned function calls; those that another model made are then sent with the
    value that Google documents for this case, ``skip_thought_signature_validator``."""

    thinking: Literal["auto", "level", "budget", "none"] = "auto"
    """What ``thinkingConfig`` is told: a level, a budget, or neither. ``auto`` goes by the model's name."""

    media_in_results: Literal["auto", "nested", "sibling"] = "auto"
    """Images in a tool's result: within ``functionResponse.parts`` (Gemini 3 on) or beside it. ``auto``: by name."""

    file_uri_schemes: tuple[str, ...] = ("https://", "gs://")
    """Beginnings of URLs that the provider fetches itself."""

    map_server_tools: bool = True
    """Web search, URL fetching and code execution of other providers become this one's own where a request has no
    other tools (search beside functions is refused by most models)."""

    stream_arguments: bool = False
    """Ask for arguments in pieces (``streamFunctionCallArguments``, Vertex only)."""

    count_wrapped: bool = True
    """``countTokens`` takes the request as ``generateContentRequest``; Vertex takes its fields directly."""
