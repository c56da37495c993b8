"""Owns Google's Gemini API (``generateContent``, v1 and v1beta, and Vertex AI's of the same name), in both directions.

Does not own its URLs on the server's side, where the model and the method stand: they arrive as ``ClientCall.model``,
``.stream`` and ``.params``. Does not own credentials, nor files that are only named by a URL.

How to find one's way: ``wire`` is what is read of replies, ``fields`` reads requests. ``request_in`` with ``parts_in``
and ``tools`` goes to the canonical request, ``request_out`` with ``contents`` and ``parts_out`` comes from it.
``parse`` (bytes → ``framing`` → ``answer`` → events) and ``render`` with ``reply_out`` are the way of a reply.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from millstream.core.errors import ClientFault, MillstreamError, UpstreamFault
from millstream.core.events import Event
from millstream.core.messages import Reply, Request
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
from millstream.dialects.gemini import count, errors, parse, render, reply_out, request_in, request_out
from millstream.dialects.gemini.models import path_of
from millstream.dialects.gemini.quirks import GeminiQuirks
from millstream.dialects.gemini.wire import DIALECT as NAME


class GeminiDialect:
    """See ``dialects.base.Dialect``."""

    name: str = NAME
    quirks: type[Quirks] = GeminiQuirks
    stateful: tuple[str, ...] = ("cachedContent",)
    stream_content_type: str = "text/event-stream"

    def stream_type(self, call: ClientCall) -> str:
        return "application/json" if request_in.asks_for_array(call) else self.stream_content_type

    def peek(self, call: ClientCall) -> Envelope:
        return Envelope(request_in.model_of(call), bool(call.stream))

    def parse_request(self, call: ClientCall) -> Request:
        with _nesting():
            return request_in.parse_request(call)

    def render_request(self, request: Request, target: Target) -> UpstreamRequest:
        with _nesting():
            return request_out.render_request(request, target)

    def forward_request(self, call: ClientCall, target: Target) -> UpstreamRequest:
        """The client's own body, and its choice of a stream's form. A model named in the body would be another's."""
        method = "generateContent"
        if target.stream:
            method = "streamGenerateContent" if request_in.asks_for_array(call) else "streamGenerateContent?alt=sse"
        path = path_of(target.model, request_out.quirks_of(target).model_path, method)
        return UpstreamRequest(path, _without_model(call.body), {"content-type": "application/json"})

    def parse_count(self, call: ClientCall) -> Request:
        """What a ``countTokens`` request is about. Raises ``ClientFault`` that names the field."""
        with _nesting():
            return count.parse_count(call)

    def forward_count(self, call: ClientCall, target: Target) -> UpstreamRequest:
        with _nesting():
            return count.forward_count(call, target)

    def render_count(self, request: Request, target: Target) -> UpstreamRequest:
        """A request of any dialect, to be counted. Raises ``ClientFault`` as ``render_request``."""
        with _nesting():
            return count.render_count(request, target)

    def read_count(self, body: bytes) -> int | None:
        return count.read_count(body)

    def count_reply(self, tokens: int) -> bytes:
        """The answer to a client's ``countTokens``."""
        return count.count_reply(tokens)

    def parser(self) -> Parser:
        return parse.GeminiParser()

    def parse_reply(self, body: bytes) -> list[Event]:
        return parse.parse_reply(body)

    def renderer(self, context: ReplyContext) -> Renderer:
        return render.GeminiRenderer(context)

    def render_reply(self, reply: Reply, context: ReplyContext) -> bytes:
        return reply_out.render_reply(reply, context)

    def parse_error(self, status: int, headers: Headers, body: bytes) -> UpstreamFault:
        return errors.parse_error(status, headers, body)

    def render_error(self, error: MillstreamError) -> ErrorReply:
        return errors.render_error(error)


@contextmanager
def _nesting() -> Iterator[None]:
    """A request may be nested deeper than Python's stack: that is the client's fault, not ours."""
    try:
        yield
    except RecursionError as error:
        raise ClientFault("the request is nested too deeply") from error


def _without_model(body: bytes) -> bytes:
    """``body`` without a top-level ``model``, every other byte of every other field kept."""
    if b'"model"' not in body:
        return body
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError) as error:
        raise ClientFault(f"the request body is not a JSON object: {error}") from error
    return msgspec.json.encode(fields) if fields.pop("model", None) is not None else body


DIALECT: Dialect = GeminiDialect()
