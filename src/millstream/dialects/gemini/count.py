"""``countTokens``, both ways. Source: https://ai.google.dev/api/tokens"""

from __future__ import annotations

import msgspec

from millstream.core.messages import Request
from millstream.dialects.base import ClientCall, Target, UpstreamRequest
from millstream.dialects.gemini.fields import Fields
from millstream.dialects.gemini.models import path_of
from millstream.dialects.gemini.parts_out import Wire
from millstream.dialects.gemini.request_in import body_of, request_of
from millstream.dialects.gemini.request_out import fields_of, quirks_of

_METHOD = "countTokens"


class _Total(msgspec.Struct, rename="camel"):
    total_tokens: int


def parse_count(call: ClientCall) -> Request:
    """What is to be counted: a whole request as ``generateContentRequest``, or its fields directly.

    Raises ``ClientFault`` that names the field.
    """
    body = body_of(call)
    wrapped = body.nested("generateContentRequest")
    return request_of(Fields(wrapped.rest(), "") if wrapped is not None else body, call)


def render_count(request: Request, target: Target) -> UpstreamRequest:
    """A request of any dialect, to be counted by an upstream of this one."""
    quirks = quirks_of(target)
    fields, dropped = fields_of(request, target.model, quirks)
    wire: Wire = fields
    if quirks.count_wrapped:
        wire = {"generateContentRequest": {"model": f"models/{target.model.removeprefix('models/')}", **fields}}
    return _asking(target, msgspec.json.encode(wire), dropped)


def forward_count(call: ClientCall, target: Target) -> UpstreamRequest:
    """The client's own question; a model named in it is the upstream's."""
    body = call.body
    if b"generateContentRequest" in body or b"generate_content_request" in body:
        return render_count(parse_count(call), target)
    return _asking(target, body)


def read_count(body: bytes) -> int | None:
    """The number in an upstream's answer; None if there is none."""
    try:
        return msgspec.json.decode(body, type=_Total).total_tokens
    except (ValueError, RecursionError):
        return None


def count_reply(tokens: int) -> bytes:
    """The answer to a client."""
    return msgspec.json.encode(_Total(tokens))


def _asking(target: Target, body: bytes, dropped: tuple[str, ...] = ()) -> UpstreamRequest:
    path = path_of(target.model, quirks_of(target).model_path, _METHOD)
    return UpstreamRequest(path, body, {"content-type": "application/json"}, dropped)
