"""A request for an upstream: canonical → wire.

What another dialect's client said is brought into this API's words, as far as the provider's quirks allow. What it
cannot be told is dropped and named if it only tunes, refused if the answer would be another (docs/decisions/0005).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from millstream.core.errors import ClientFault
from millstream.core.messages import Request, ResponseFormat
from millstream.dialects.base import (
    ClientCall,
    Target,
    UpstreamRequest,
    foreign_fields,
    is_cached,
    path_with,
    refuse_foreign_logprobs,
    rename_model,
    short_user,
)
from millstream.dialects.openai_chat import schema, wire
from millstream.dialects.openai_chat.effort import reasoning_fields
from millstream.dialects.openai_chat.leftovers import SHARED
from millstream.dialects.openai_chat.messages_out import MessagesOut
from millstream.dialects.openai_chat.quirks import OpenAIChatQuirks, output_limit, unsupported_fields
from millstream.dialects.openai_chat.request_in import LIMIT, STOP
from millstream.dialects.openai_chat.tools_in import GIVEN
from millstream.dialects.openai_chat.tools_out import ToolsOut

_FORWARDED = frozenset({"openai-beta", "http-referer", "x-title", "x-client-request-id"})
"""Headers of a client that are about its request. An organization is the account's, and the key is the gateway's."""

_SAID_ALIKE = (
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "n",
    "logprobs",
    "top_logprobs",
)
_MEANT = frozenset({"n", "logprobs", "top_logprobs", "response_format", "tools", "modalities", "audio"})
"""Fields without which the answer would be another one."""

_SAYING_NOTHING: dict[str, object] = {"n": 1, "logprobs": False, "response_format": {"type": "text"}}
_NOT_HERE = "The tool {} is not available here. Say so instead of inventing its results."
_JSON = "Answer with one JSON object and nothing else, no code fence around it."
_JSON_OF = "It must be valid against this JSON schema:\n{}"
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")


def render_request(request: Request, target: Target) -> UpstreamRequest:
    """Raises ``ClientFault`` where dropping what cannot be said would change the answer's meaning."""
    return _Rendering(request, target, quirks_of(target)).result()


def quirks_of(target: Target) -> OpenAIChatQuirks:
    return target.quirks if isinstance(target.quirks, OpenAIChatQuirks) else OpenAIChatQuirks()


def forward_request(call: ClientCall, target: Target) -> UpstreamRequest:
    """The client's own body; only the model is renamed."""
    headers = {name: value for name, value in call.headers.items() if name in _FORWARDED}
    path = path_with(quirks_of(target).path, target.model)
    return UpstreamRequest(path, rename_model(call.body, target.model), headers)


class _Rendering:
    def __init__(self, request: Request, target: Target, quirks: OpenAIChatQuirks) -> None:
        self._request = request
        self._target = target
        self._quirks = quirks
        self._own = request.origin == wire.NAME
        self._unsupported = unsupported_fields(quirks, target.model)
        self._shared, unsayable = foreign_fields(request, wire.NAME, SHARED.intersection(quirks.shared_fields))
        self._dropped: set[str] = set(unsayable)
        self._stop: tuple[str, ...] = ()
        self._sentences: list[str] = []
        self._body: dict[str, Any] = {"model": target.model}

    def result(self) -> UpstreamRequest:
        request, quirks = self._request, self._quirks
        refuse_foreign_logprobs(request, wire.NAME)
        messages = MessagesOut(request, quirks, self._target.model)
        tools = ToolsOut(request, quirks)
        self._dropped.update(messages.dropped, tools.dropped)
        if not self._own and not quirks.cache_control and is_cached(request):
            self._dropped.add("cache_control")
        self._body["messages"] = messages.messages
        self._body |= tools.fields
        self._sentences += [_NOT_HERE.format(name) for name in tools.missing] + tools.demands
        self._sampling()
        self._limit()
        self._stops()
        self._reasoning()
        self._format()
        self._body |= self._shared | wire.own_fields(request.extra)
        self._stream()
        path = quirks.path
        if messages.mark_prefill(own=self._target.continues):
            path = quirks.prefill_path or path
            if quirks.prefill == "continue_final_message":
                self._body |= {"continue_final_message": True, "add_generation_prompt": False}
        self._leave_out()
        messages.instruct(self._sentences)
        self._body["messages"] = messages.messages
        self._body = {**quirks.added, **self._body}
        body = msgspec.json.encode(self._body)
        path = path_with(path, self._target.model)
        return UpstreamRequest(path, body, dropped=tuple(sorted(self._dropped)), stop=self._stop)

    def _sampling(self) -> None:
        request, quirks = self._request, self._quirks
        for name in _SAID_ALIKE:
            value = getattr(request, name)
            if value is not None:
                self._body[name] = value
        if request.top_k is not None and (quirks.top_k or self._own):
            self._body["top_k"] = request.top_k
        elif request.top_k is not None:
            self._dropped.add("top_k")
        if request.seed is not None:
            self._body[quirks.seed_field] = request.seed
        if request.user is not None and quirks.user:
            self._body["user"] = request.user if self._own else short_user(request.user)
        elif request.user is not None:
            self._dropped.add("user")

    def _limit(self) -> None:
        limit, quirks = self._request.max_tokens, self._quirks
        if limit is None:
            return
        if quirks.omit_max_tokens_above is not None and limit > quirks.omit_max_tokens_above:
            return
        most = output_limit(quirks, self._target.model)
        name = wire.own(self._request.extra).get(LIMIT, quirks.max_tokens_field)
        if quirks.max_tokens_field == "max_tokens":
            name = "max_tokens"
        self._body[name] = limit if most is None else min(limit, most)

    def _stops(self) -> None:
        """Sequences that the upstream cannot be told are looked for here, and so are all others then."""
        stop = self._request.stop
        if not stop:
            return
        said = () if "stop" in self._unsupported else stop[: self._quirks.stop_sequences]
        if len(said) < len(stop):
            self._stop = stop
        if said:
            plain = STOP in wire.own(self._request.extra) and len(said) == 1
            self._body["stop"] = said[0] if plain else said

    def _reasoning(self) -> None:
        wanted = self._request.reasoning
        if wanted is None:
            return
        if self._own:
            self._body |= wire.own_fields(wanted.extra)
            return
        fields = reasoning_fields(wanted, self._quirks, self._target.model)
        if fields is None:
            self._dropped.add("reasoning")
        else:
            self._body |= fields

    def _format(self) -> None:
        wanted, quirks = self._request.response_format, self._quirks
        if wanted is None:
            return
        own = wire.own(wanted.extra)
        sayable = "response_format" not in self._unsupported
        if wanted.kind == "json_schema" and not (quirks.json_schema and sayable):
            text = wire.json_text(wanted.schema or {})
            self._sentences.append(f"{_JSON} {_JSON_OF.format(text)}")
            self._say_json_object()
        elif wanted.kind == "json_object" and not (quirks.json_object and sayable):
            self._sentences.append(_JSON)
        else:
            self._body["response_format"] = own[GIVEN] if GIVEN in own else self._written(wanted)

    def _say_json_object(self) -> None:
        if self._quirks.json_object and "response_format" not in self._unsupported:
            self._body["response_format"] = {"type": "json_object"}

    def _written(self, wanted: ResponseFormat) -> dict[str, Any]:
        fields = wire.own_fields(wanted.extra)
        if wanted.kind != "json_schema":
            return {"type": wanted.kind, **fields}
        inner: dict[str, Any] = {}
        if wanted.name is not None or not self._own:
            inner["name"] = wanted.name if self._own else _NOT_IN_NAMES.sub("_", wanted.name or "answer")[:64]
        if wanted.description is not None:
            inner["description"] = wanted.description
        if wanted.schema is not None:
            inner["schema"] = wanted.schema
        if wanted.strict is not None and self._own:
            inner["strict"] = wanted.strict
        elif not self._own and wanted.strict is not False and schema.is_enforceable(wanted.schema):
            inner["strict"] = True
        inner |= fields.pop("json_schema", {})
        return {"type": "json_schema", "json_schema": inner, **fields}

    def _stream(self) -> None:
        """Usage is always asked for: the gateway wants to know, even where its client does not."""
        if not self._target.stream:
            self._body.pop("stream_options", None)
            return
        self._body["stream"] = True
        if self._quirks.stream_options:
            self._body["stream_options"] = {**(self._body.get("stream_options") or {}), "include_usage": True}

    def _leave_out(self) -> None:
        """Raises ``ClientFault`` for a field that means more than tuning."""
        for name in self._unsupported & self._body.keys():
            value = self._body[name]
            if name in _MEANT and value is not None and value != _SAYING_NOTHING.get(name):
                message = f"Unsupported parameter: '{name}' is not supported by {self._target.model}."
                raise ClientFault(message, param=name, code="unsupported_parameter")
            del self._body[name]
            if name != "stop":
                self._dropped.add(name)
