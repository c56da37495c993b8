"""A client's request → the canonical one.

Source: https://platform.openai.com/docs/api-reference/chat/create and the official SDK's ``CompletionCreateParams``.
Every field without a canonical name, known or not, rides in ``extra``. Where this API has two ways to say one thing, a
note keeps which was used.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from millstream.core.errors import ClientFault
from millstream.core.messages import Reasoning, Request, ResponseFormat
from millstream.dialects.base import ClientCall, Envelope, leftovers_of, own_extra
from millstream.dialects.openai_chat import wire
from millstream.dialects.openai_chat.fields import Fields, missing, unexpected, wrong
from millstream.dialects.openai_chat.leftovers import MEANINGS
from millstream.dialects.openai_chat.messages_in import Conversation
from millstream.dialects.openai_chat.tools_in import GIVEN, tool_choice_in, tools_in

LIMIT = "$max_tokens"
"""Note: the name of the field that held the limit, where it was the deprecated one."""

STOP = "$stop"
"""Note: the one stop sequence was a plain string."""

_Mode = Literal["enabled", "disabled", "adaptive"]


class _Envelope(msgspec.Struct):
    model: str
    stream: bool | None = None


def peek(call: ClientCall) -> Envelope:
    """Raises ``ClientFault`` that names the field."""
    try:
        found = msgspec.json.decode(call.body, type=_Envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        body = _body(call.body)
        return Envelope(body.required_text("model"), bool(body.flag("stream")))
    return Envelope(found.model, bool(found.stream))


def _body(data: bytes) -> Fields:
    try:
        return Fields(msgspec.json.decode(data))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ClientFault(f"We could not parse the JSON body of your request: {error}") from error


def parse_request(call: ClientCall) -> Request:
    """Raises ``ClientFault`` that names the field."""
    body = _body(call.body)
    model = body.required_text("model")
    entries = body.array("messages")
    if entries is None:
        raise missing("messages") if "messages" not in body.rest() else wrong("messages", "it is empty")
    conversation = Conversation(entries)
    options = body.nested("stream_options")
    include_usage = bool(options.flag("include_usage")) if options is not None else False
    request = Request(
        origin=wire.NAME,
        model=model,
        messages=tuple(conversation.messages),
        system=conversation.system,
        system_plain=conversation.system_plain,
        tools=tools_in(body),
        tool_choice=tool_choice_in(body),
        parallel_tool_calls=body.flag("parallel_tool_calls"),
        stream=bool(body.flag("stream")),
        include_usage=include_usage,
        max_tokens=_limit(body),
        temperature=body.number("temperature"),
        top_p=body.number("top_p"),
        top_k=body.integer("top_k"),
        frequency_penalty=body.number("frequency_penalty"),
        presence_penalty=body.number("presence_penalty"),
        seed=body.integer("seed"),
        stop=_stop(body),
        n=body.integer("n"),
        logprobs=body.flag("logprobs"),
        top_logprobs=body.integer("top_logprobs"),
        response_format=_response_format(body),
        reasoning=_reasoning(body),
        user=body.text("user"),
    )
    if options is not None and options.rest():
        body.keep("stream_options", options.rest())
    rest = body.rest()
    rest.pop("stream", None)
    return msgspec.structs.replace(request, leftovers=leftovers_of(rest, MEANINGS), extra=own_extra(wire.NAME, rest))


def _limit(body: Fields) -> int | None:
    limit = body.integer("max_completion_tokens")
    if limit is not None:
        return limit
    older = body.integer("max_tokens")
    if older is not None:
        body.keep(LIMIT, "max_tokens")
    return older


def _stop(body: Fields) -> tuple[str, ...]:
    given = body.peek("stop")
    if isinstance(given, str):
        body.keep(STOP, value=True)
        return (body.any("stop"),)
    sequences = body.array("stop") or []
    for number, sequence in enumerate(sequences):
        if not isinstance(sequence, str):
            raise unexpected(f"stop[{number}]", "a string", sequence)
    return tuple(sequences)


def _response_format(body: Fields) -> ResponseFormat | None:
    given = body.mapping("response_format")
    if given is None:
        return None
    fields = Fields(given, "response_format")
    kind = fields.required_text("type")
    if kind == "text" and not fields.rest():
        return ResponseFormat("text")
    if kind == "json_object":
        schema = given.get("schema")
        if isinstance(schema, dict):
            # Together, Fireworks, llama.cpp: a JSON object, of this schema.
            return ResponseFormat("json_schema", schema=schema, extra={wire.NAME: {GIVEN: given}})
        return ResponseFormat("json_object", extra=fields.extra())
    if kind == "json_schema":
        return _json_schema(fields, given)
    body.keep("response_format", given)
    return None


def _json_schema(fields: Fields, given: dict[str, Any]) -> ResponseFormat:
    inner = fields.nested("json_schema")
    if inner is None and isinstance(given.get("schema"), dict):
        return ResponseFormat("json_schema", schema=given["schema"], extra={wire.NAME: {GIVEN: given}})
    if inner is None:
        raise missing("response_format.json_schema")
    name, description = inner.text("name"), inner.text("description")
    schema, strict = inner.mapping("schema"), inner.flag("strict")
    if inner.rest():
        fields.keep("json_schema", inner.rest())
    return ResponseFormat("json_schema", name, schema, strict, description, fields.extra())


_REASONING_FIELDS = ("reasoning_effort", "reasoning", "thinking", "enable_thinking", "thinking_budget")


def _reasoning(body: Fields) -> Reasoning | None:
    """OpenAI's ``reasoning_effort``, OpenRouter's ``reasoning``, ``thinking`` of Moonshot, DeepSeek and Z.ai,
    ``enable_thinking`` of Alibaba. As they were written, an upstream of this dialect gets them."""
    written = {name: body.rest()[name] for name in _REASONING_FIELDS if body.peek(name) is not None}
    if not written:
        return None
    effort = body.text("reasoning_effort")
    budget = body.integer("thinking_budget")
    enabled = body.flag("enable_thinking")
    mode: _Mode | None = None if enabled is None else "enabled" if enabled else "disabled"
    general = body.nested("reasoning")
    if general is not None:
        effort = effort or general.text("effort")
        budget = general.integer("max_tokens") if budget is None else budget
        enabled = general.flag("enabled")
        mode = mode if enabled is None else "enabled" if enabled else "disabled"
    thinking = body.nested("thinking")
    if thinking is not None:
        kind = thinking.text("type")
        mode = "disabled" if kind == "disabled" else "adaptive" if kind in ("adaptive", "auto") else "enabled"
        budget = thinking.integer("budget_tokens") if budget is None else budget
    if effort == "none":
        mode, effort = "disabled", None
    return Reasoning(mode, effort, budget, extra={wire.NAME: written})
