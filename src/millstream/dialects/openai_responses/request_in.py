"""A client's request: wire → canonical."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from millstream.core.errors import ClientFault
from millstream.core.messages import (
    Message,
    Reasoning,
    Request,
    ResponseFormat,
    TextPart,
)
from millstream.dialects.base import ClientCall, leftovers_of, own_extra
from millstream.dialects.openai_responses import fields, items_in, tools_in, wire
from millstream.dialects.openai_responses.leftovers import MEANINGS

_KNOWN = frozenset(
    {
        "model",
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "stream",
        "max_output_tokens",
        "temperature",
        "top_p",
        "top_logprobs",
        "frequency_penalty",
        "presence_penalty",
        "text",
        "reasoning",
        "user",
    }
)
_HAS_INPUT_ELSEWHERE = ("prompt", "previous_response_id", "conversation")
_FORMAT = ("type", "name", "schema", "strict", "description")


def parse_request(call: ClientCall) -> Request:
    """Raises ``ClientFault`` that names the field."""
    data = _decoded(call.body)
    entries, messages = _input(data)
    tools = tools_in.tools(fields.object_list(data.get("tools"), "tools"), "tools")
    instructions = fields.optional_text(data, "instructions", "")
    response_format, text_kept = _response_format(data)
    kept = {name: value for name, value in data.items() if name not in _KNOWN and value is not None} | text_kept
    include = data.get("include")
    return Request(
        origin=wire.NAME,
        model=_model(data, call),
        messages=messages,
        system=(TextPart(instructions),) if instructions is not None else (),
        system_plain=instructions is not None,
        tools=tools + tools_in.tools_of_items(entries, "input", tools),
        tool_choice=tools_in.tool_choice(data.get("tool_choice")),
        parallel_tool_calls=fields.optional_bool(data, "parallel_tool_calls", ""),
        stream=fields.optional_bool(data, "stream", "") or False,
        include_usage=True,
        max_tokens=fields.optional_int(data, "max_output_tokens"),
        temperature=fields.optional_number(data, "temperature"),
        top_p=fields.optional_number(data, "top_p"),
        frequency_penalty=fields.optional_number(data, "frequency_penalty"),
        presence_penalty=fields.optional_number(data, "presence_penalty"),
        logprobs=True if isinstance(include, list) and wire.LOGPROBS in include else None,
        top_logprobs=fields.optional_int(data, "top_logprobs"),
        response_format=response_format,
        reasoning=_reasoning(data),
        user=fields.optional_text(data, "user", ""),
        leftovers=leftovers_of(kept, MEANINGS),
        extra=own_extra(wire.NAME, kept),
    )


def _decoded(body: bytes) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.ValidationError as error:
        raise ClientFault(f"the request body is not a JSON object: {error}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ClientFault(f"the request body is not valid JSON: {error}") from error
    except RecursionError as error:
        raise ClientFault("the request body is nested too deeply") from error


def _model(data: Mapping[str, Any], call: ClientCall) -> str:
    model = fields.optional_text(data, "model", "") or call.model
    if not model:
        raise fields.wrong("model", "this field is required")
    return model


def _input(data: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], tuple[Message, ...]]:
    given = data.get("input")
    if isinstance(given, str):
        return [], (Message("user", (TextPart(given),), plain=True, extra={wire.NAME: {"input": True}}),)
    if given is None and not any(data.get(name) for name in _HAS_INPUT_ELSEWHERE):
        raise fields.wrong("input", "this field is required")
    entries = fields.object_list(given, "input")
    return entries, items_in.messages(entries, "input")


def _response_format(data: Mapping[str, Any]) -> tuple[ResponseFormat | None, dict[str, Any]]:
    """``text.format``, and what else ``text`` holds, which has no canonical name."""
    text = fields.optional_object(data, "text")
    if text is None:
        return None, {}
    other = wire.rest(text, ("format",))
    kept = {"text": other} if other else {}
    form = fields.optional_object(text, "format", "text")
    if form is None:
        return None, kept
    kind = fields.text(form, "type", "text.format")
    if kind not in ("text", "json_object", "json_schema"):
        return None, {"text": text}
    response_format = ResponseFormat(
        kind,  # type: ignore[arg-type]  # one of the three by the line above
        name=fields.optional_text(form, "name", "text.format"),
        schema=fields.optional_object(form, "schema", "text.format"),
        strict=fields.optional_bool(form, "strict", "text.format"),
        description=fields.optional_text(form, "description", "text.format"),
        extra=own_extra(wire.NAME, wire.rest(form, _FORMAT)),
    )
    return response_format, kept


def _reasoning(data: Mapping[str, Any]) -> Reasoning | None:
    given = fields.optional_object(data, "reasoning")
    if given is None:
        return None
    effort = fields.optional_text(given, "effort", "reasoning")
    mode = None if effort is None else "disabled" if effort == "none" else "enabled"
    extra = own_extra(wire.NAME, wire.rest(given, ("effort",)))
    return Reasoning(mode, effort, extra=extra)  # type: ignore[arg-type]  # one of the modes by the line above
