"""Owns Anthropic's Messages API in both directions: requests, streams, whole replies, token counts and errors.

Does not own what Claude Code or any one provider behind this API does with it beyond the wire (``quirks.py`` tells the
providers apart), nor any I/O. ``DIALECT`` is what the registry takes.

``request_in`` and ``request_out`` translate requests (``blocks_in``, ``blocks_out``, ``tools``, ``turns``,
``thinking``, ``media`` and ``schema`` are their parts), ``count`` those that only ask for a count; ``parse`` and
``message_in`` read replies; ``render`` and ``reply_out`` write them; ``errors`` does both. Names in ``extra`` that
begin with ``$`` are this package's notes to itself.
"""

from __future__ import annotations

from millstream.core.errors import MillstreamError, UpstreamFault
from millstream.core.events import Event
from millstream.core.messages import Reply, Request
from millstream.dialects.anthropic import count, errors, parse, reply_out, request_in, request_out
from millstream.dialects.anthropic.parse import AnthropicParser
from millstream.dialects.anthropic.quirks import AnthropicQuirks
from millstream.dialects.anthropic.render import AnthropicRenderer
from millstream.dialects.anthropic.wire import ORIGIN
from millstream.dialects.base import (
    ClientCall,
    Dialect,
    Envelope,
    ErrorReply,
    Headers,
    Parser,
    Quirks,
    Renderer,
    ReplyContext,
    Target,
    UpstreamRequest,
)


class AnthropicDialect:
    """Fulfils ``dialects.base.Dialect``."""

    name: str = ORIGIN
    quirks: type[Quirks] = AnthropicQuirks
    stateful: tuple[str, ...] = ()
    stream_content_type: str = "text/event-stream; charset=utf-8"

    def stream_type(self, call: ClientCall) -> str:
        return self.stream_content_type

    def peek(self, call: ClientCall) -> Envelope:
        return request_in.peek(call)

    def parse_request(self, call: ClientCall) -> Request:
        return request_in.parse_request(call)

    def render_request(self, request: Request, target: Target) -> UpstreamRequest:
        return request_out.render_request(request, target)

    def forward_request(self, call: ClientCall, target: Target) -> UpstreamRequest:
        return request_out.forward_request(call, target)

    def forward_count(self, call: ClientCall, target: Target) -> UpstreamRequest | None:
        return count.forward_count(call, target)

    def render_count(self, request: Request, target: Target) -> UpstreamRequest:
        return count.render_count(request, target)

    def read_count(self, body: bytes) -> int | None:
        return count.read_count(body)

    def parse_count(self, call: ClientCall) -> Request:
        return request_in.parse_count(call)

    def count_reply(self, tokens: int) -> bytes:
        return count.count_reply(tokens)

    def parser(self) -> Parser:
        return AnthropicParser()

    def parse_reply(self, body: bytes) -> list[Event]:
        return parse.parse_reply(body)

    def renderer(self, context: ReplyContext) -> Renderer:
        return AnthropicRenderer(context)

    def render_reply(self, reply: Reply, context: ReplyContext) -> bytes:
        return reply_out.render_reply(reply, context)

    def parse_error(self, status: int, headers: Headers, body: bytes) -> UpstreamFault:
        return errors.parse_error(status, headers, body)

    def render_error(self, error: MillstreamError) -> ErrorReply:
        return errors.render_error(error)


DIALECT: Dialect = AnthropicDialect()

__all__ = ["DIALECT", "AnthropicDialect", "AnthropicQuirks"]
