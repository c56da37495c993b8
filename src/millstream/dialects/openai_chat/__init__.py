"""OpenAI's Chat Completions, and the many providers that speak it: https://platform.openai.com/docs/api-reference/chat

Owns how its requests, streams, replies and errors are written, by OpenAI and by everyone who departs from it, in both
directions. Does not own where a provider is or what it is called (``providers/catalog.toml``, whose ``quirks`` are
``OpenAIChatQuirks``), nor any I/O.
"""

from __future__ import annotations

from millstream.core.errors import ClientFault, GatewayBug, Kind, MillstreamError, UpstreamFault
from millstream.core.events import Event
from millstream.core.messages import Reply, Request
from millstream.dialects.base import (
    ClientCall,
    Dialect,
    Envelope,
    ErrorReply,
    Headers,
    Quirks,
    ReplyContext,
    Target,
    UpstreamRequest,
)
from millstream.dialects.openai_chat import errors, parse, reply, request_in, request_out, wire
from millstream.dialects.openai_chat.parse import ChatParser
from millstream.dialects.openai_chat.quirks import OpenAIChatQuirks
from millstream.dialects.openai_chat.render import ChatRenderer

__all__ = ["DIALECT", "OpenAIChatQuirks"]

_NO_COUNTS = "Chat Completions has no way to ask for a token count"


class _OpenAIChat:
    """Fulfils ``Dialect``."""

    name: str = wire.NAME
    quirks: type[Quirks] = OpenAIChatQuirks
    stateful: tuple[str, ...] = ()
    stream_content_type: str = "text/event-stream"

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
        """This API cannot count."""
        return None

    def render_count(self, request: Request, target: Target) -> UpstreamRequest | None:
        return None

    def read_count(self, body: bytes) -> int | None:
        return None

    def parse_count(self, call: ClientCall) -> Request:
        raise ClientFault(_NO_COUNTS, Kind.NOT_FOUND)

    def count_reply(self, tokens: int) -> bytes:
        raise GatewayBug(_NO_COUNTS)

    def parser(self) -> ChatParser:
        return ChatParser()

    def parse_reply(self, body: bytes) -> list[Event]:
        return parse.parse_reply(body)

    def renderer(self, context: ReplyContext) -> ChatRenderer:
        return ChatRenderer(context)

    def render_reply(self, whole: Reply, context: ReplyContext) -> bytes:
        return reply.render_reply(whole, context)

    def parse_error(self, status: int, headers: Headers, body: bytes) -> UpstreamFault:
        return errors.parse_error(status, headers, body)

    def render_error(self, error: MillstreamError) -> ErrorReply:
        return errors.render_error(error)


DIALECT: Dialect = _OpenAIChat()
