"""Owns OpenAI's Responses API as a wire format: requests, streams, whole replies and errors, in both directions.

Does not own its endpoints, stored replies, background runs or WebSockets; ``state.py`` and ``websocket.py`` hold what
those need of the format.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from millstream.core import events as ev
from millstream.core.errors import MillstreamError, UpstreamFault
from millstream.core.messages import Reply, Request
from millstream.dialects.base import (
    ClientCall,
    Dialect,
    Envelope,
    ErrorReply,
    Parser,
    Quirks,
    Renderer,
    ReplyContext,
    Target,
    UpstreamRequest,
    peek_body,
    rename_model,
)
from millstream.dialects.openai_responses import errors, parse, render, request_in, request_out, wire
from millstream.dialects.openai_responses.quirks import ResponsesQuirks

_FORWARDED = ("openai-beta", "originator", "session", "thread", "x-codex-")
"""Beginnings of the client's headers that this API's own servers know."""


_COUNT = f"{request_out.PATH}/input_tokens"
_COUNTED = frozenset(
    {"model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text", "truncation"}
)
"""Fields of a request that the counting endpoint knows."""


class _Count(msgspec.Struct):
    input_tokens: int


class OpenAIResponses:
    """https://platform.openai.com/docs/api-reference/responses"""

    name = wire.NAME
    quirks: type[Quirks] = ResponsesQuirks
    stateful: tuple[str, ...] = ("previous_response_id", "conversation", "background", "prompt")
    stream_content_type = "text/event-stream; charset=utf-8"

    def stream_type(self, call: ClientCall) -> str:
        return self.stream_content_type

    def peek(self, call: ClientCall) -> Envelope:
        return peek_body(call)

    def parse_request(self, call: ClientCall) -> Request:
        return request_in.parse_request(call)

    def render_request(self, request: Request, target: Target) -> UpstreamRequest:
        return request_out.render_request(request, target)

    def forward_request(self, call: ClientCall, target: Target) -> UpstreamRequest:
        body = rename_model(call.body, target.model)
        return UpstreamRequest(request_out.PATH, body, headers=_forwarded(call.headers))

    def forward_count(self, call: ClientCall, target: Target) -> UpstreamRequest | None:
        """https://platform.openai.com/docs/api-reference/responses/input-tokens"""
        body = rename_model(call.body, target.model)
        return UpstreamRequest(_COUNT, body, headers=_forwarded(call.headers))

    def render_count(self, request: Request, target: Target) -> UpstreamRequest | None:
        rendered = request_out.render_request(request, target)
        fields = msgspec.json.decode(rendered.body, type=dict[str, msgspec.Raw])
        body = msgspec.json.encode({name: value for name, value in fields.items() if name in _COUNTED})
        return UpstreamRequest(_COUNT, body, rendered.headers)

    def read_count(self, body: bytes) -> int | None:
        try:
            return msgspec.json.decode(body, type=_Count).input_tokens
        except msgspec.MsgspecError:
            return None

    def parse_count(self, call: ClientCall) -> Request:
        return request_in.parse_request(call)

    def count_reply(self, tokens: int) -> bytes:
        return msgspec.json.encode({"object": "response.input_tokens", "input_tokens": tokens})

    def parser(self) -> Parser:
        return parse.ResponsesParser()

    def parse_reply(self, body: bytes) -> list[ev.Event]:
        return parse.parse_reply(body)

    def renderer(self, context: ReplyContext) -> Renderer:
        return render.ResponsesRenderer(context)

    def render_reply(self, reply: Reply, context: ReplyContext) -> bytes:
        return render.render_reply(reply, context)

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamFault:
        return errors.parse_error(status, headers, body)

    def render_error(self, error: MillstreamError) -> ErrorReply:
        return errors.render_error(error)


def _forwarded(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith(_FORWARDED)}


DIALECT: Dialect = OpenAIResponses()
