"""The ``response`` object around the output: what it repeats of the request, with every field clients insist on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from millstream.core.messages import Request, TextPart, Usage
from millstream.dialects.openai_responses import reply, tools_out, wire
from millstream.dialects.openai_responses.quirks import ResponsesQuirks

_AS_OPENAI = ResponsesQuirks()
_KEPT = (
    "background",
    "conversation",
    "max_tool_calls",
    "metadata",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "truncation",
)


def echo(request: Request) -> dict[str, Any]:
    """Fields that repeat ``request``, the API's defaults where it says nothing."""
    own = wire.own(request.extra)
    fields: dict[str, Any] = {
        "background": False,
        "completed_at": None,
        "frequency_penalty": _or(request.frequency_penalty, 0.0),
        "instructions": _instructions(request),
        "max_output_tokens": request.max_tokens,
        "max_tool_calls": None,
        "metadata": {},
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "presence_penalty": _or(request.presence_penalty, 0.0),
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": _reasoning(request),
        "safety_identifier": None,
        "service_tier": "default",
        "store": True,
        "temperature": _or(request.temperature, 1.0),
        "text": _text(request),
        "tool_choice": _choice(request),
        "tools": [_tool(tool) for tool in tools_out.wire_tools(request.tools, _AS_OPENAI)],
        "top_logprobs": request.top_logprobs or 0,
        "top_p": _or(request.top_p, 1.0),
        "truncation": "disabled",
        "user": request.user,
    }
    return fields | {name: own[name] for name in _KEPT if own.get(name) is not None}


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _instructions(request: Request) -> str | None:
    texts = [part.text for part in request.system if isinstance(part, TextPart)]
    return "\n\n".join(texts) if texts else None


def _reasoning(request: Request) -> dict[str, Any]:
    fields: dict[str, Any] = {"effort": None, "summary": None}
    if request.reasoning is not None:
        fields["effort"] = request.reasoning.effort
        fields |= wire.own(request.reasoning.extra)
    return fields


def _text(request: Request) -> dict[str, Any]:
    wanted = request.response_format
    form: dict[str, Any] = {"type": "text" if wanted is None else wanted.kind}
    if wanted is not None and wanted.kind == "json_schema":
        form |= {
            "name": wanted.name or "reply",
            "description": wanted.description,
            "schema": wanted.schema or {},
            "strict": wanted.strict is True,
        }
    return {"format": form, **wire.own(request.extra).get("text", {})}


def _choice(request: Request) -> Any:
    if request.tool_choice is None:
        return "auto"
    return tools_out.wire_choice(request.tool_choice, request.tools, _AS_OPENAI)


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    if tool["type"] != "function":
        return tool
    return {"description": None, "parameters": None, "strict": None, **tool}


class ResponseObject:
    """Writes the object in each of its states; only the output and a few fields change between them."""

    def __init__(self, request: Request, reply_id: str, model: str, created: int) -> None:
        self._echo = echo(request)
        self._begin = msgspec.json.encode({"id": reply_id, "object": "response", "created_at": created})[:-1]
        self._model = model
        self._rest = msgspec.json.encode(self._echo)[1:]

    def add(self, remarks: Mapping[str, Any]) -> None:
        """What an upstream of this same API says of its reply beside the output."""
        if remarks:
            self._echo |= remarks
            self._rest = msgspec.json.encode(self._echo)[1:]

    def write(
        self,
        status: str,
        output: list[bytes],
        usage: Usage | None = None,
        error: Mapping[str, Any] | None = None,
        incomplete: Mapping[str, Any] | None = None,
    ) -> bytes:
        state = {"status": status, "error": error, "incomplete_details": incomplete, "model": self._model}
        counted = msgspec.json.encode(reply.wire_usage(usage))
        return b'%b,%b,"output":[%b],"usage":%b,%b' % (
            self._begin,
            msgspec.json.encode(state)[1:-1],
            b",".join(output),
            counted,
            self._rest,
        )
