"""A request for a Responses upstream: canonical → wire."""

from __future__ import annotations

from typing import Any

import msgspec

from millstream.core.errors import ClientFault
from millstream.core.messages import Part, Reasoning, Request, ResponseFormat, TextPart
from millstream.dialects.base import (
    Target,
    UpstreamRequest,
    foreign_fields,
    is_cached,
    refuse_foreign_logprobs,
    short_user,
)
from millstream.dialects.openai_responses import items_out, tools_out, wire
from millstream.dialects.openai_responses.quirks import ResponsesQuirks

PATH = "/responses"

_LOW_BUDGET = 4096
_MEDIUM_BUDGET = 16384
_NOT_HERE = "The tool {} is not available here. Say so instead of inventing its results."
_ONLY_TUNING = ("top_k", "seed", "frequency_penalty", "presence_penalty")


def render_request(request: Request, target: Target) -> UpstreamRequest:
    """Raises ``ClientFault`` where dropping what cannot be said would change the answer's meaning."""
    quirks = target.quirks if isinstance(target.quirks, ResponsesQuirks) else ResponsesQuirks()
    return _Rendering(request, target, quirks).result()


class _Rendering:
    def __init__(self, request: Request, target: Target, quirks: ResponsesQuirks) -> None:
        self._request = request
        self._target = target
        self._quirks = quirks
        self._own = request.origin == wire.NAME
        self._shared, unsayable = foreign_fields(request, wire.NAME, quirks.shared_fields)
        self._dropped: set[str] = set(unsayable)
        self._body: dict[str, Any] = {"model": target.model}

    def result(self) -> UpstreamRequest:
        self._refuse()
        missing = self._tools()
        self._input(missing)
        self._sampling()
        self._reasoning()
        self._text()
        self._kept()
        if self._target.stream:
            self._body["stream"] = True
        body = msgspec.json.encode(self._body)
        return UpstreamRequest(PATH, body, dropped=tuple(sorted(self._dropped)), stop=self._request.stop)

    def _refuse(self) -> None:
        if self._request.n is not None and self._request.n > 1:
            raise ClientFault("n: this upstream gives one answer per request", param="n")
        refuse_foreign_logprobs(self._request, wire.NAME)

    def _input(self, missing: list[str]) -> None:
        items = items_out.Items(self._quirks, own=self._own)
        for number, message in enumerate(self._request.messages):
            items.add(message, f"messages[{number}]")
        self._dropped |= items.dropped
        if not self._own and is_cached(self._request):
            self._dropped.add("cache_control")
        instructions = self._instructions(missing)
        if instructions is not None:
            self._body["instructions"] = instructions
        first = self._request.messages[0] if self._request.messages else None
        if first is not None and len(items.items) == 1 and wire.own(first.extra).get("input"):
            self._body["input"] = items.items[0]["content"]
        else:
            self._body["input"] = items.items

    def _instructions(self, missing: list[str]) -> str | None:
        texts = [_system_text(part, number) for number, part in enumerate(self._request.system)]
        texts += [
            f"The tool {name} is not available here. Say so instead of inventing its results." for name in missing
        ]
        return "\n\n".join(texts) if texts else None

    def _tools(self) -> list[str]:
        """Names of the tools that had to be left out."""
        request, quirks = self._request, self._quirks
        kept, missing = tools_out.available(request.tools, quirks)
        self._dropped |= {f"tools.{name}" for name in missing}
        if self._own:
            tools = tools_out.wire_tools(kept, quirks)
        else:
            tools = tools_out.foreign_tools(kept, tools_out.loaded_tools(request), quirks)
        if tools:
            self._body["tools"] = tools
        if request.tool_choice is not None and (tools or self._own):
            self._body["tool_choice"] = tools_out.wire_choice(request.tool_choice, kept, quirks)
        if request.parallel_tool_calls is not None:
            self._body["parallel_tool_calls"] = request.parallel_tool_calls
        return missing

    def _sampling(self) -> None:
        request = self._request
        if request.max_tokens is not None:
            least = 1 if self._own else self._quirks.min_output_tokens
            self._body["max_output_tokens"] = max(request.max_tokens, least)
        for name in ("temperature", "top_p"):
            value = getattr(request, name)
            if value is None:
                continue
            if self._quirks.sampling:
                self._body[name] = value
            else:
                self._dropped.add(name)
        for name in _ONLY_TUNING:
            value = getattr(request, name)
            if value is not None and self._own:
                self._body[name] = value
            elif value is not None:
                self._dropped.add(name)
        if request.top_logprobs is not None:
            self._body["top_logprobs"] = request.top_logprobs
        if request.user is not None:
            self._body["user"] = request.user if self._own else short_user(request.user)

    def _reasoning(self) -> None:
        wanted = self._request.reasoning
        if wanted is None:
            return
        if not self._quirks.reasoning:
            self._dropped.add("reasoning")
            return
        effort = wanted.effort if self._own else _effort(wanted)
        if effort == "none" and not self._own and not self._quirks.can_disable_reasoning:
            self._dropped.add("reasoning")
            return
        reasoning: dict[str, Any] = {} if effort is None else {"effort": effort}
        if not self._own and wanted.mode != "disabled" and wanted.display != "omitted" and self._quirks.summaries:
            reasoning["summary"] = "auto"
        reasoning |= wire.own(wanted.extra)
        if reasoning or self._own:
            self._body["reasoning"] = reasoning

    def _text(self) -> None:
        text: dict[str, Any] = {}
        wanted = self._request.response_format
        if wanted is not None:
            text["format"] = _format(wanted)
        if "verbosity" in self._shared:
            text["verbosity"] = self._shared["verbosity"]
        text |= wire.own(self._request.extra).get("text", {})
        if text:
            self._body["text"] = text

    def _kept(self) -> None:
        """What only this dialect says; for clients of others, that nothing need be kept on the server."""
        for name, value in wire.own(self._request.extra).items():
            if name != "text":
                self._body[name] = value
        if self._own:
            return
        if self._quirks.store is not None:
            self._body["store"] = self._quirks.store
        self._body |= {name: value for name, value in self._shared.items() if name != "verbosity"}
        include = [wire.ENCRYPTED_REASONING] if self._quirks.encrypted_reasoning else []
        if include:
            self._body["include"] = include


def _system_text(part: Part, number: int) -> str:
    if not isinstance(part, TextPart):
        raise ClientFault(f"system[{number}]: this upstream takes only text here", param=f"system[{number}]")
    return part.text


def _effort(wanted: Reasoning) -> str | None:
    """How hard to think, from what another dialect said of it."""
    if wanted.mode == "disabled":
        return "none"
    if wanted.effort is not None or wanted.budget is None:
        return wanted.effort
    if wanted.budget <= _LOW_BUDGET:
        return "low"
    return "medium" if wanted.budget <= _MEDIUM_BUDGET else "high"


def _format(wanted: ResponseFormat) -> dict[str, Any]:
    written: dict[str, Any] = {"type": wanted.kind}
    if wanted.kind == "json_schema":
        written |= {"name": wanted.name or "reply", "schema": wanted.schema or {}}
    if wanted.strict is not None:
        written["strict"] = wanted.strict
    if wanted.description is not None:
        written["description"] = wanted.description
    return {**written, **wire.own(wanted.extra)}
