"""The canonical request → one for an upstream of this API. What this API's own clients sent goes back as it came."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from millstream.core.errors import ClientFault
from millstream.core.messages import ReasoningPart, Request, ResponseFormat, extra_of
from millstream.dialects.anthropic.address import addressed, quirks_of
from millstream.dialects.anthropic.blocks_out import Block, PartsOut, own_fields
from millstream.dialects.anthropic.models import is_adaptive
from millstream.dialects.anthropic.quirks import AnthropicQuirks
from millstream.dialects.anthropic.request_in import HEADERS, OUTPUT_FORMAT, parse_request
from millstream.dialects.anthropic.schema import closed
from millstream.dialects.anthropic.thinking import Thought, adaptive_thinking, budget_thinking, own_thinking
from millstream.dialects.anthropic.tools import ToolsOut, unknown_tool_note
from millstream.dialects.anthropic.turns import Turns, calls_unthought
from millstream.dialects.anthropic.wire import API_VERSION, ORIGIN
from millstream.dialects.base import ClientCall, Target, UpstreamRequest, foreign_fields, rename_model

_JSON_TYPE = "application/json"
_ONLY_JSON = "Answer with one JSON object and nothing else: no prose before or after it, no code fence."
_FULL_TOP_P = 0.95
"""The least ``top_p`` that may go with thinking."""


def render_request(request: Request, target: Target) -> UpstreamRequest:
    """Raises ``ClientFault`` where dropping what cannot be said would change the answer's meaning."""
    return _Rendering(request, target).request()


def forward_request(call: ClientCall, target: Target) -> UpstreamRequest:
    """The side door: only the model is renamed.

    A conversation that other providers took part in holds what this API refuses: their signatures, thinking without
    one, ids of other spellings. Such a request is translated, which leaves out just that.
    """
    if _holds_foreign(call.body, quirks_of(target)):
        return render_request(parse_request(call), target)
    path, body = addressed(rename_model(call.body, target.model), target)
    return UpstreamRequest(path, body, headers_out(call.headers))


_MARKED = b'"millstream.'
_ODD_ID = re.compile(rb'"tool_use_id"\s*:\s*"[a-zA-Z0-9_-]*[^a-zA-Z0-9_"-]')
_UNSIGNED = re.compile(rb'"signature"\s*:\s*""')


def _holds_foreign(body: bytes, quirks: AnthropicQuirks) -> bool:
    """Whether to look closer. Found by plain search, since bodies are large, and so now and then without need: the
    detour is harmless."""
    if b'"assistant"' not in body:
        return False
    if _MARKED in body or _ODD_ID.search(body) is not None:
        return True
    return not quirks.unsigned_thinking and _UNSIGNED.search(body) is not None


def headers_out(given: Mapping[str, str]) -> dict[str, str]:
    """The client's own version and betas, if it named them."""
    headers = {"content-type": _JSON_TYPE, "anthropic-version": given.get("anthropic-version", API_VERSION)}
    if given.get("anthropic-beta"):
        headers["anthropic-beta"] = given["anthropic-beta"]
    return headers


class _Rendering:
    """One request on its way out."""

    def __init__(self, request: Request, target: Target) -> None:
        self._request = request
        self._target = target
        self._quirks = quirks_of(target)
        self._own = request.origin == ORIGIN
        self._extra = extra_of(request.extra, ORIGIN)
        self._dropped: list[str] = []
        self._adaptive = self._takes_adaptive()

    def request(self) -> UpstreamRequest:
        _refuse_unsayable(self._request)
        request, quirks = self._request, self._quirks
        parts = PartsOut(own=self._own, unsigned_thinking=quirks.unsigned_thinking)
        if self._target.continues:
            request = _unthought(request)
        turns = Turns(request, parts, own=self._own, mid_system=self._takes_mid_system())
        tools = ToolsOut(request, quirks)
        max_tokens = request.max_tokens or quirks.default_max_tokens
        thought = self._thought(turns, tools, max_tokens)
        fields: dict[str, Any] = {"model": self._target.model, "messages": turns.messages}
        if tools.missing:
            turns.system.append({"type": "text", "text": unknown_tool_note(tools.missing)})
        self._format(fields, turns.system, thought)
        if turns.system:
            plain = request.system_plain and len(turns.system) == 1
            fields["system"] = turns.system[0]["text"] if plain else turns.system
        if tools.tools:
            fields["tools"] = tools.tools
        if tools.choice is not None:
            fields["tool_choice"] = tools.choice
        fields["max_tokens"] = max_tokens
        self._sampling(fields, thought)
        stop, unsayable_stop = self._stop()
        if stop:
            fields["stop_sequences"] = stop
        metadata = {**({"user_id": request.user} if request.user else {}), **(self._extra.get("metadata") or {})}
        if metadata:
            fields["metadata"] = metadata
        self._carry(fields)
        if self._target.stream:
            fields["stream"] = True
        if not self._own and any(message.name is not None for message in request.messages):
            self._dropped.append("messages.name")
        dropped = (*self._dropped, *parts.dropped, *tools.dropped, *foreign_fields(request, ORIGIN)[1])
        headers = headers_out(self._extra.get(HEADERS, {}))
        path, body = addressed(msgspec.json.encode(fields), self._target)
        return UpstreamRequest(path, body, headers, dropped, unsayable_stop)

    def _takes_adaptive(self) -> bool:
        if self._quirks.thinking == "auto":
            return is_adaptive(self._target.model)
        return self._quirks.thinking == "adaptive"

    def _takes_mid_system(self) -> bool:
        if self._quirks.mid_system is not None:
            return self._quirks.mid_system
        return self._own or is_adaptive(self._target.model)

    def _thought(self, turns: Turns, tools: ToolsOut, max_tokens: int) -> Thought:
        reasoning = self._request.reasoning
        if reasoning is None or self._target.continues:  # a beginning of the answer is refused beside thinking
            return Thought()
        if self._quirks.thinking == "none":
            thought = Thought(dropped=reasoning.mode != "disabled" and reasoning.effort != "none")
        elif self._own:
            thought = own_thinking(reasoning)
        elif self._adaptive:
            thought = adaptive_thinking(reasoning, forced_tool=tools.forces())
        else:
            possible = not tools.forces() and not calls_unthought(turns.messages)
            thought = budget_thinking(reasoning, max_tokens, possible=possible)
        if thought.dropped:
            self._dropped.append("reasoning")
        return thought

    def _format(self, fields: dict[str, Any], system: list[Block], thought: Thought) -> None:
        """The shape of the answer and the effort spent on it: both live in ``output_config``."""
        config: dict[str, Any] = {}
        if thought.thinking is not None:
            fields["thinking"] = thought.thinking
        if thought.effort is not None:
            config["effort"] = thought.effort
        wanted = self._request.response_format
        if wanted is not None and wanted.kind != "text":
            if wanted.kind == "json_schema" and self._quirks.structured_outputs:
                place = fields if OUTPUT_FORMAT in extra_of(wanted.extra, ORIGIN) else config
                place["output_format" if place is fields else "format"] = self._schema_format(wanted)
            else:
                self._dropped.append("response_format")  # asked for, but nothing enforces it
                system.append({"type": "text", "text": _in_words(wanted)})
        config.update(self._extra.get("output_config") or {})
        if config:
            fields["output_config"] = config

    def _schema_format(self, wanted: ResponseFormat) -> dict[str, Any]:
        if self._own:
            return {"type": "json_schema", "schema": wanted.schema, **own_fields(wanted.extra)}
        schema = closed(wanted.schema or {"type": "object"})
        if wanted.description and "description" not in schema:
            schema["description"] = wanted.description
        return {"type": "json_schema", "schema": schema}

    def _sampling(self, fields: dict[str, Any], thought: Thought) -> None:
        request = self._request
        named = (("temperature", request.temperature), ("top_p", request.top_p), ("top_k", request.top_k))
        given: dict[str, float] = {name: value for name, value in named if value is not None}
        if self._own and self._quirks.sampling:
            fields.update(given)
            return
        for name, value in given.items():
            if self._refuses(name, value, given, thought):
                self._dropped.append(name)
            else:
                fields[name] = min(max(value, 0.0), 1.0) if name == "temperature" else value
        self._dropped += [name for name, value in _unsayable(request) if value is not None]

    def _stop(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Stop sequences for the API, and those of nothing but white space, which it refuses."""
        if self._own:
            return self._request.stop, ()
        blank = tuple(stop for stop in self._request.stop if not stop.strip())
        return tuple(stop for stop in self._request.stop if stop not in blank), blank

    def _refuses(self, name: str, value: float, given: dict[str, Any], thought: Thought) -> bool:
        """With thinking only a large ``top_p`` is allowed; temperature and ``top_p`` never go together."""
        if not self._quirks.sampling:
            return True
        if thought.on:
            return name != "top_p" or value < _FULL_TOP_P
        return name == "top_p" and "temperature" in given

    def _carry(self, fields: dict[str, Any]) -> None:
        """This dialect's own fields without a canonical name, such as ``context_management``."""
        said = {"output_config", "metadata", *fields}
        fields.update({name: value for name, value in own_fields(self._request.extra).items() if name not in said})


def _unthought(request: Request) -> Request:
    """``request`` without the thoughts of its last message."""
    *messages, last = request.messages
    parts = tuple(part for part in last.parts if not isinstance(part, ReasoningPart))
    return msgspec.structs.replace(request, messages=(*messages, msgspec.structs.replace(last, parts=parts)))


def _unsayable(request: Request) -> tuple[tuple[str, float | None], ...]:
    """Tuning this API has no words for. A penalty of zero is none."""
    return (
        ("seed", request.seed),
        ("frequency_penalty", request.frequency_penalty or None),
        ("presence_penalty", request.presence_penalty or None),
    )


def _refuse_unsayable(request: Request) -> None:
    if request.n is not None and request.n > 1:
        raise ClientFault("n: this model's API gives one answer per request", param="n")
    if request.logprobs or request.top_logprobs:
        raise ClientFault("logprobs: this model's API gives no log probabilities", param="logprobs")


def _in_words(wanted: ResponseFormat) -> str:
    if wanted.schema is None:
        return _ONLY_JSON
    return f"{_ONLY_JSON} It must match this JSON schema:\n{msgspec.json.encode(wanted.schema).decode()}"
