"""A client's request → the canonical one.

Source: https://platform.claude.com/docs/en/api/messages and the SDK's ``MessageCreateParams``, beta ones included.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from millstream.core.errors import ClientFault
from millstream.core.messages import Message, Part, Reasoning, Request, ResponseFormat, Role, TextPart
from millstream.dialects.anthropic.blocks_in import KIND, parts_in
from millstream.dialects.anthropic.fields import Fields, body_of, missing, wrong
from millstream.dialects.anthropic.leftovers import MEANINGS, REQUEST_EFFORT, of_parts, turn_effort
from millstream.dialects.anthropic.tools import added_tools, tool_choice_in, tools_in
from millstream.dialects.anthropic.wire import ORIGIN
from millstream.dialects.base import ClientCall, Envelope, leftovers_of, own_extra

OUTPUT_FORMAT = "$output_format"
"""Note on a response format: it came in the older top-level field of this name."""

HEADERS = "$headers"
"""Note: the request's own ``anthropic-…`` headers."""

_ROLES: tuple[Role, ...] = ("user", "assistant", "system")
_MODES: dict[str, Literal["enabled", "disabled", "adaptive"]] = {
    "enabled": "enabled",
    "disabled": "disabled",
    "adaptive": "adaptive",
    "between_tools": "adaptive",
}
_STOP_PATH = "stop_sequences"


class _Envelope(msgspec.Struct):
    model: str
    stream: bool | None = None


def peek(call: ClientCall) -> Envelope:
    """Raises ``ClientFault`` that names the field."""
    try:
        found = msgspec.json.decode(call.body, type=_Envelope)
    except msgspec.ValidationError:
        body = body_of(call.body)
        model = body.required_text("model")
        return Envelope(model, bool(body.flag("stream")))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ClientFault(f"the request body is not valid JSON: {error}") from error
    return Envelope(found.model, bool(found.stream))


def parse_request(call: ClientCall) -> Request:
    """Raises ``ClientFault`` that names the field."""
    request = parse_count(call)
    if request.max_tokens is None:
        raise missing("max_tokens")
    return request


def parse_count(call: ClientCall) -> Request:
    """The same for a request that only wants its tokens counted, and so has no ``max_tokens``."""
    body = body_of(call.body)
    model = body.required_text("model")
    messages = _messages(body)
    system, system_plain = _system(body)
    tools = tools_in(body) + added_tools(messages, "messages")
    tool_choice, parallel = tool_choice_in(body)
    output_config = body.nested("output_config")
    response_format = _response_format(body, output_config)
    effort = output_config.text("effort") if output_config else None
    reasoning = _reasoning(body.nested("thinking"), effort, turn_effort(messages))
    metadata = body.nested("metadata")
    user = metadata.text("user_id") if metadata else None
    stop = tuple(_strings(body))
    streams = body.true("stream")
    numbers = (body.number("temperature"), body.number("top_p"), body.integer("top_k"), body.integer("max_tokens"))
    temperature, top_p, top_k, max_tokens = numbers
    rest = body.rest()
    for name, left in (("output_config", output_config), ("metadata", metadata)):
        if left is not None and left.rest():
            rest[name] = left.rest()
    headers = {name: value for name, value in call.headers.items() if name in ("anthropic-beta", "anthropic-version")}
    if headers:
        rest[HEADERS] = headers
    return Request(
        origin=ORIGIN,
        model=model,
        messages=messages,
        system=system,
        system_plain=system_plain,
        tools=tools,
        tool_choice=tool_choice,
        parallel_tool_calls=parallel,
        stream=streams,
        include_usage=True,
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        stop=stop,
        response_format=response_format,
        reasoning=reasoning,
        user=user,
        leftovers=leftovers_of(rest, MEANINGS, of_parts(messages, tools)),
        extra=own_extra(ORIGIN, rest),
    )


def _messages(body: Fields) -> tuple[Message, ...]:
    value = body.any("messages")
    if value is None:
        raise missing("messages")
    if not isinstance(value, list):
        raise wrong("messages", "a valid list")
    if not value:
        raise ClientFault("messages: at least one message is required", param="messages")
    return tuple(_message(item, f"messages.{number}") for number, item in enumerate(value))


def _message(item: object, path: str) -> Message:
    fields = Fields(item, path)
    role = fields.any("role")
    if role is None:
        raise missing(fields.at("role"))
    if role not in _ROLES:
        raise wrong(fields.at("role"), "'user', 'assistant' or 'system'")
    content = fields.any("content")
    if content is None and role != "system":
        raise missing(fields.at("content"))
    parts, plain = _content(content, fields.at("content"))
    return Message(role, parts, plain, extra=fields.extra())


def _content(content: object, path: str) -> tuple[tuple[Part, ...], bool]:
    if isinstance(content, str):
        return (TextPart(content),), True
    return (parts_in(content, path) if content is not None else ()), False


def _system(body: Fields) -> tuple[tuple[Part, ...], bool]:
    value = body.rest().get("system")
    if value is None or value == []:
        return (), False
    return _content(body.any("system"), "system")


def _strings(body: Fields) -> list[str]:
    values = body.array(_STOP_PATH) or []
    for number, value in enumerate(values):
        if not isinstance(value, str):
            raise wrong(f"{_STOP_PATH}.{number}", "a valid string")
    return values


def _response_format(body: Fields, output_config: Fields | None) -> ResponseFormat | None:
    for holder, name, note in ((output_config, "format", False), (body, "output_format", True)):
        fields = holder.nested(name) if holder is not None else None
        if fields is None:
            continue
        kind = fields.required_text("type")
        if kind != "json_schema":
            raise wrong(fields.at("type"), "'json_schema'")
        schema: dict[str, Any] = fields.required_mapping("schema")
        if note:
            fields.keep(OUTPUT_FORMAT, value=True)
        return ResponseFormat("json_schema", schema=schema, extra=fields.extra())
    return None


def _reasoning(thinking: Fields | None, effort: str | None, of_turn: str | None) -> Reasoning | None:
    """``of_turn``: the effort that a message asks for, which counts more than the request's."""
    said = None
    if of_turn is not None and of_turn != effort:
        said, effort = {REQUEST_EFFORT: effort}, of_turn
    if thinking is None:
        return Reasoning(effort=effort, extra=own_extra(ORIGIN, said or {})) if effort is not None else None
    for name, value in (said or {}).items():
        thinking.keep(name, value)
    kind = thinking.required_text("type")
    budget = thinking.integer("budget_tokens")
    display = thinking.text("display")
    mode = _MODES.get(kind, "adaptive")
    if mode != kind:
        thinking.keep(KIND, kind)
    return Reasoning(mode, effort, budget, display, thinking.extra())
