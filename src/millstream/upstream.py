"""What is asked of an upstream, whoever asks: that it answers, that its refusals are told, that its end is heard."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from millstream.core.errors import ClientFault, Kind, PolicyRefusal, UpstreamFault
from millstream.core.messages import Request, extra_of
from millstream.dialects.base import Dialect, UpstreamRequest
from millstream.providers.base import Reply, Sink, Transport
from millstream.providers.catalog import Provider
from millstream.relay import Relay

MAX_REPLY_BYTES = 64 * 1024 * 1024
"""The limit of a reply that has to be held whole."""

DRAIN_S = 1.0
"""How long an upstream may take to close once its reply has ended."""

_ERROR_BODY_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Upstream:
    provider: Provider
    transport: Transport


def usable(upstream: Upstream) -> Upstream:
    provider = upstream.provider
    if not provider.usable:
        what = "key" if provider.key is None else "address"
        message = f"provider {provider.name} has no {what} here: set {provider.lacks} where the gateway runs"
        raise PolicyRefusal(message, Kind.PERMISSION)
    return upstream


async def open_reply(upstream: Upstream, request: UpstreamRequest, *, stream: bool) -> Reply:
    """The upstream's answer with its head. Raises the upstream's refusal as ``UpstreamFault``."""
    reply = await upstream.transport.open(request, stream=stream)
    if 200 <= reply.status < 300:
        return reply
    raise await _refusal(reply, upstream.provider)


async def take_whole(reply: Reply, relay: Relay, dialect: Dialect) -> bytes:
    """An upstream that was asked for a stream may answer whole."""
    try:
        body = await reply.read_all(MAX_REPLY_BYTES)
        return relay.take(dialect.parse_reply(body))
    except UpstreamFault as error:
        return relay.cut(error)


def is_json(reply: Reply) -> bool:
    return reply.headers.get("content-type", "").startswith("application/json")


async def pour(reply: Reply, sink: Sink, relay: Relay) -> bytes:
    """All of ``reply`` through ``sink``; what its end makes ``relay`` say."""
    try:
        await reply.pour(sink)
    except UpstreamFault as error:
        return relay.cut(error)
    return b"" if relay.done else relay.finish()


async def _refusal(reply: Reply, provider: Provider) -> UpstreamFault:
    """What an answer that is no success says. A redirect is not followed, lest the key go astray."""
    try:
        body = await reply.read_all(_ERROR_BODY_BYTES)
    except UpstreamFault:
        body = b""
    finally:
        reply.close()
    if reply.status < 400:
        message = f"{provider.name} redirects (status {reply.status}) from its base_url {provider.base_url} to another"
        return UpstreamFault(message, Kind.UNREACHABLE, retryable=False)
    return provider.dialect.parse_error(reply.status, reply.headers, body)


async def drain(reply: Reply) -> None:
    """Read what little follows an ended stream, so that its connection can serve the next request."""
    if reply.ended:
        return
    try:
        async with asyncio.timeout(DRAIN_S):
            while await reply.read():
                pass
    except (UpstreamFault, TimeoutError):
        return


def refuse_foreign_state(request: Request, client: Dialect, provider: Provider) -> None:
    """Leaving out what stands for the client's history or cached prompt would answer another question."""
    own = extra_of(request.extra, client.name)
    for name in client.stateful:
        if own.get(name):
            message = f"{name}: {provider.name} does not hold it; send the whole input instead"
            raise ClientFault(message, param=name)
