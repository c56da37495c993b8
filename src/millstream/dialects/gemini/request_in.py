"""A client's request → the canonical one. Source: https://ai.google.dev/api/generate-content

Names may be in snake case and fields ``null``, as with Google itself. What has no canonical name rides in ``extra``,
field by field at the level it came from, so that the way back to this API is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from millstream.core.errors import ClientFault
from millstream.core.messages import Extra, Message, Part, Request, ResponseFormat, TextPart, ToolResultPart
from millstream.dialects.base import ClientCall, leftovers_of, own_extra
from millstream.dialects.gemini.calls import CallIds
from millstream.dialects.gemini.fields import Fields, missing, wrong
from millstream.dialects.gemini.leftovers import MEANINGS, of_parts
from millstream.dialects.gemini.parts_in import part_in
from millstream.dialects.gemini.schema import to_json_schema
from millstream.dialects.gemini.thinking import thinking_in
from millstream.dialects.gemini.tools import tool_choice_in, tools_in
from millstream.dialects.gemini.wire import DIALECT

ALT = "$alt"
"""In a request's ``extra``: the format of a stream, as the URL chose it."""

ROLE = "$role"
"""In a message's ``extra``: its role where it was none of the usual two; empty where there was none."""

_ROLES = {"user": "user", "model": "assistant", "function": "user", "tool": "user"}


def parse_request(call: ClientCall) -> Request:
    """Raises ``ClientFault`` that names the field."""
    return request_of(body_of(call), call)


def body_of(call: ClientCall) -> Fields:
    try:
        return Fields(msgspec.json.decode(call.body), "")
    except RecursionError as error:
        raise ClientFault("the request body is nested too deeply") from error
    except ValueError as error:
        raise ClientFault(f"the request body is not valid JSON: {error}") from error


def request_of(body: Fields, call: ClientCall) -> Request:
    body.any("model")
    messages = _contents(body)
    system, system_extra, plain = _system(body)
    tools = tools_in(body)
    choice, tool_config = tool_choice_in(body)
    configured = "generationConfig" in body
    config = body.nested("generationConfig") or Fields({}, "generationConfig")
    response_format = _response_format(config)
    reasoning = thinking_in(config)
    sampling = _sampling(config)
    rest = body.rest()
    for name, value in (("systemInstruction", system_extra), ("toolConfig", tool_config)):
        if value:
            rest[name] = value
    if configured:
        rest["generationConfig"] = config.rest()
    if asks_for_array(call):
        rest[ALT] = "json"
    return Request(
        origin=DIALECT,
        model=model_of(call),
        messages=messages,
        system=system,
        system_plain=plain,
        tools=tools,
        tool_choice=choice,
        stream=bool(call.stream),
        include_usage=True,
        response_format=response_format,
        reasoning=reasoning,
        leftovers=leftovers_of(rest, MEANINGS, of_parts(messages, tools)),
        extra=own_extra(DIALECT, rest),
        **sampling,
    )


def model_of(call: ClientCall) -> str:
    """The model, which this API names in the URL. Raises ``ClientFault`` if the URL names none."""
    if not call.model:
        raise ClientFault("the URL names no model", param="model")
    return call.model.removeprefix("models/")


def asks_for_array(call: ClientCall) -> bool:
    """A stream is one JSON array unless the URL says ``alt=sse``."""
    if not call.stream or call.params is None:
        return False
    return (call.params.get("alt") or call.params.get("$alt")) != "sse"


def _contents(body: Fields) -> tuple[Message, ...]:
    if not body.rest().get("contents"):
        raise missing("contents")
    ids = CallIds()
    return tuple(_message(content, ids, index) for index, content in enumerate(body.items("contents")))


def _message(content: Fields, ids: CallIds, index: int) -> Message:
    written = content.text("role")
    role = _ROLES.get(written or "user")
    if role is None:
        raise wrong(content.at("role"), "user or model", written)
    own: dict[str, Any] = {} if written in ("user", "model") else {ROLE: written or ""}
    if "parts" not in content:
        own["$noParts"] = True
    parts = tuple(part_in(part, ids, f"{index}_{place}") for place, part in enumerate(content.items("parts")))
    if role == "assistant" and any(isinstance(part, ToolResultPart) for part in parts):
        raise ClientFault(f"{content.path}: a model's turn cannot hold a functionResponse", param=content.path)
    extra = own_extra(DIALECT, {**content.rest(), **own})
    return Message(role, parts, extra=extra)  # type: ignore[arg-type]  # one of the two by the table


def _system(body: Fields) -> tuple[tuple[Part, ...], dict[str, Any], bool]:
    """The instruction's parts, its other fields, and whether it was a bare string."""
    if isinstance(body.rest().get("systemInstruction"), str):
        return (TextPart(body.text("systemInstruction") or ""),), {}, True
    content = body.nested("systemInstruction")
    if content is None:
        return (), {}, False
    ids = CallIds()
    parts = tuple(part_in(part, ids, f"system_{place}") for place, part in enumerate(content.items("parts")))
    return parts, content.rest(), False


def _sampling(config: Fields) -> dict[str, Any]:
    found: dict[str, Any] = {
        "max_tokens": config.integer("maxOutputTokens"),
        "temperature": config.number("temperature"),
        "top_p": config.number("topP"),
        "frequency_penalty": config.number("frequencyPenalty"),
        "presence_penalty": config.number("presencePenalty"),
        "seed": config.integer("seed"),
        "stop": config.strings("stopSequences"),
        "n": config.integer("candidateCount"),
        "logprobs": config.flag("responseLogprobs"),
        "top_logprobs": config.integer("logprobs"),
    }
    top_k = config.rest().get("topK")
    if not isinstance(top_k, float) or top_k.is_integer():
        found["top_k"] = config.integer("topK")
    return found


def _response_format(config: Fields) -> ResponseFormat | None:
    mime_type = config.text("responseMimeType")
    own: dict[str, Any] = {} if mime_type is None else {"responseMimeType": mime_type}
    schema: Mapping[str, Any] | None = None
    for field in ("responseSchema", "responseJsonSchema"):
        written = config.any(field)
        if written is not None:
            own[field] = written
            schema = to_json_schema(written, config.at(field))
            if not isinstance(schema, Mapping):
                raise wrong(config.at(field), "a schema", written)
    if not own:
        return None
    extra: Extra | None = own_extra(DIALECT, own)
    if schema is not None:
        return ResponseFormat("json_schema", name="response", schema=schema, extra=extra)
    return ResponseFormat("json_object" if mime_type == "application/json" else "text", extra=extra)
