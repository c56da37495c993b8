"""How many tokens a prompt has: the upstream's own count where it has one, else an estimate that errs high."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from millstream.core.errors import ClientFault, UpstreamFault
from millstream.core.tokens import estimate
from millstream.dialects.base import ClientCall, Dialect, Target, UpstreamRequest
from millstream.pipeline import Gateway
from millstream.upstream import Upstream

_MAX_ANSWER_BYTES = 1024 * 1024
_COUNT_LIMIT_S = 10.0
_QUICK_ESTIMATE_BYTES = 128 * 1024
"""Above it, counting takes so long that streams would notice: it is done in a thread."""


@dataclass(frozen=True, slots=True)
class TokenCount:
    """``estimated``: the upstream has no count of its own; the figure errs high."""

    tokens: int
    estimated: bool


async def count_tokens(gateway: Gateway, client: Dialect, call: ClientCall) -> TokenCount:
    """The prompt tokens of ``call``. Raises ``ClientFault`` for a body or a model that cannot be read."""
    route = gateway.permitted(client.peek(call).model)
    upstream = gateway.upstreams[route.provider]
    target = Target(route.model, upstream.provider.quirks, stream=False)
    counting = _counting(client, call, upstream.provider.dialect, target) if upstream.provider.usable else None
    tokens = await _ask_count(upstream, counting) if counting is not None else None
    if tokens is not None:
        return TokenCount(tokens, estimated=False)
    request = client.parse_count(call)
    if len(call.body) <= _QUICK_ESTIMATE_BYTES:
        return TokenCount(estimate(request, route.model), estimated=True)
    return TokenCount(await asyncio.to_thread(estimate, request, route.model), estimated=True)


def _counting(client: Dialect, call: ClientCall, dialect: Dialect, target: Target) -> UpstreamRequest | None:
    """``call`` as a question for an upstream of ``dialect``; None if it cannot count, or not this."""
    if dialect.name == client.name:
        return dialect.forward_count(call, target)
    request = client.parse_count(call)
    try:
        return dialect.render_count(request, target)
    except ClientFault:
        return None


async def _ask_count(upstream: Upstream, request: UpstreamRequest) -> int | None:
    """The upstream's count, or None if it gives none: an estimate serves an agent better than an error."""
    try:
        async with asyncio.timeout(_COUNT_LIMIT_S):
            reply = await upstream.transport.open(request, stream=False)
            try:
                body = await reply.read_all(_MAX_ANSWER_BYTES)
            finally:
                reply.close()
    except (UpstreamFault, TimeoutError):
        return None
    return upstream.provider.dialect.read_count(body) if reply.status == 200 else None
