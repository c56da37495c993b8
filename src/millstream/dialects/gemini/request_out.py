"""The canonical request → one for an upstream. What this API's own clients sent goes back as it came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from millstream.core.errors import ClientFault
from millstream.core.messages import Request, ResponseFormat, TextPart, extra_of
from millstream.dialects.base import Target, UpstreamRequest, foreign_fields, refuse_foreign_logprobs
from millstream.dialects.gemini.contents import RenderedContents
from millstream.dialects.gemini.models import path_of
from millstream.dialects.gemini.parts_out import Wire, text_out
from millstream.dialects.gemini.quirks import GeminiQuirks
from millstream.dialects.gemini.schema import Rendered
from millstream.dialects.gemini.signatures import for_upstream
from millstream.dialects.gemini.thinking import thinking_out
from millstream.dialects.gemini.tools import RenderedTools
from millstream.dialects.gemini.wire import DIALECT


def render_request(request: Request, target: Target) -> UpstreamRequest:
    """Raises ``ClientFault`` where dropping what cannot be said would change the answer's meaning."""
    quirks = quirks_of(target)
    fields, dropped = fields_of(request, target.model, quirks)
    method = "streamGenerateContent?alt=sse" if target.stream else "generateContent"
    path = path_of(target.model, quirks.model_path, method)
    return UpstreamRequest(path, msgspec.json.encode(fields), {"content-type": "application/json"}, dropped)


def quirks_of(target: Target) -> GeminiQuirks:
    return target.quirks if isinstance(target.quirks, GeminiQuirks) else GeminiQuirks()


def fields_of(request: Request, model: str, quirks: GeminiQuirks) -> tuple[Wire, tuple[str, ...]]:
    """The request's body, and the names of what had to be dropped from it."""
    refuse_foreign_logprobs(request, DIALECT)
    own = {name: value for name, value in extra_of(request.extra, DIALECT).items() if name[:1] != "$"}
    tools = RenderedTools(request, quirks)
    contents = RenderedContents(request, model, quirks)
    config = _Config(request, model, quirks)
    body: Wire = {"contents": contents.contents}
    system = _system(request, own.pop("systemInstruction", None), contents.leading_system, tools.missing)
    if system is not None:
        body["systemInstruction"] = system
    if tools.tools:
        body["tools"] = tools.tools
    own.pop("toolConfig", None)
    if tools.config:
        body["toolConfig"] = tools.config
    if own.pop("generationConfig", None) is not None or config.fields:
        body["generationConfig"] = config.fields
    dropped = [*foreign_fields(request, DIALECT)[1], *tools.dropped, *contents.dropped, *config.dropped]
    return {**body, **own}, tuple(dict.fromkeys(dropped))


def _system(request: Request, own: Mapping[str, Any] | None, more: list[str], missing: list[str]) -> Wire | None:
    """``more``: system messages that come before all others; ``missing``: tools the model must not make up."""
    parts: list[Wire] = []
    for index, part in enumerate(request.system):
        if not isinstance(part, TextPart):
            raise ClientFault(f"system[{index}]: this model takes only text here", param=f"system[{index}]")
        if part.text or request.origin == DIALECT:
            parts.append(text_out(part, for_upstream))
    parts.extend({"text": text} for text in more)
    parts.extend(
        {"text": f"The tool {name} is not available here: say so instead of inventing results."} for name in missing
    )
    return {"parts": parts, **(own or {})} if parts or own is not None else None


class _Config:
    """``generationConfig``."""

    def __init__(self, request: Request, model: str, quirks: GeminiQuirks) -> None:
        self.dropped: list[str] = []
        self.fields: Wire = dict(extra_of(request.extra, DIALECT).get("generationConfig") or {})
        named = {
            "temperature": request.temperature,
            "topP": request.top_p,
            "topK": request.top_k,
            "candidateCount": request.n,
            "maxOutputTokens": request.max_tokens,
            "stopSequences": list(request.stop) or None,
            "seed": request.seed,
            "presencePenalty": request.presence_penalty,
            "frequencyPenalty": request.frequency_penalty,
            "responseLogprobs": request.logprobs,
            "logprobs": request.top_logprobs,
            "thinkingConfig": thinking_out(request.reasoning, model, quirks),
        }
        self.fields.update((name, value) for name, value in named.items() if value is not None)
        if (
            request.reasoning is not None
            and request.reasoning.mode != "disabled"
            and not self.fields.get("thinkingConfig")
        ):
            self.dropped.append("reasoning")
        if request.response_format is not None:
            self._format(request.response_format, quirks)
        if request.parallel_tool_calls is False:
            self.dropped.append("parallel_tool_calls")
        if request.user is not None:
            self.dropped.append("user")

    def _format(self, wanted: ResponseFormat, quirks: GeminiQuirks) -> None:
        own = dict(extra_of(wanted.extra, DIALECT))
        if own and (quirks.json_schema or "responseJsonSchema" not in own):
            self.fields.update(own)
        elif wanted.kind != "text":
            self.fields["responseMimeType"] = "application/json"
            if wanted.schema is not None:
                schema = Rendered(openapi=not quirks.json_schema)
                self.fields["responseJsonSchema" if quirks.json_schema else "responseSchema"] = schema.of(wanted.schema)
                self.dropped.extend(sorted(schema.dropped))
