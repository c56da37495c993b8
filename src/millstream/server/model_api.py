"""Section A's endpoints: one raw ASGI application per client dialect, from bytes in to bytes out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from starlette.types import Receive, Scope, Send

from millstream.core.errors import GatewayBug, MillstreamError
from millstream.dialects.base import ClientCall, Dialect
from millstream.pipeline import End, Exchange, Gateway, Record
from millstream.server.connection import connection_of
from millstream.server.deliver import ClientGone, Delivery, Pulse
from millstream.server.request_log import log_request
from millstream.server.wire import encode_headers, plain_call, read_body
from millstream.telemetry import logs

STREAM_HEADERS = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}


class Interruptible(Protocol):
    def interrupt(self, reason: Exception) -> None: ...


class Deliveries:
    """The responses under way: counted for ``/health``, ended on shutdown."""

    def __init__(self) -> None:
        self._open: set[Interruptible] = set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, delivery: Interruptible) -> None:
        self._open.add(delivery)

    def discard(self, delivery: Interruptible) -> None:
        self._open.discard(delivery)

    def interrupt(self, reason: Callable[[], MillstreamError]) -> None:
        for delivery in list(self._open):
            delivery.interrupt(reason())


class ModelEndpoint:
    """Calls of one dialect. An ASGI application."""

    def __init__(
        self,
        gateway: Gateway,
        dialect: Dialect,
        deliveries: Deliveries,
        pulse: Pulse,
        max_body: int,
        read_call: Callable[[Scope, bytes], ClientCall] = plain_call,
        turn: Callable[[Gateway, Dialect, Delivery], Turn] | None = None,
    ) -> None:
        self._turn = turn or Turn
        self._gateway = gateway
        self._dialect = dialect
        self._deliveries = deliveries
        self._pulse = pulse
        self._max_body = max_body
        self._read_call = read_call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        delivery = Delivery(receive, send, self._pulse, connection_of(scope))
        self._deliveries.add(delivery)
        try:
            turn = self._turn(self._gateway, self._dialect, delivery)
            await turn.serve(lambda body: self._read_call(scope, body), read_body(scope, receive, self._max_body))
        finally:
            self._deliveries.discard(delivery)


class Turn:
    """One call: read, exchange, deliver, log."""

    def __init__(self, gateway: Gateway, dialect: Dialect, delivery: Delivery) -> None:
        self._gateway = gateway
        self._dialect = dialect
        self._delivery = delivery
        self._began = gateway.now()
        self._record = Record(gateway.new_id(), dialect.name)
        self._status = 200

    async def serve(self, read_call: Callable[[bytes], ClientCall], reading: Awaitable[bytes]) -> None:
        end: End = "failed"
        try:
            await self._answer(read_call(await reading))
            end = "finished" if self._record.error is None else "failed"
        except MillstreamError as error:
            await self._refuse(error)
        except ClientGone:
            end = "cancelled"
        except Exception as error:
            await self._refuse(self._bug(error))
        finally:
            self._log(end)

    async def _answer(self, call: ClientCall) -> None:
        await self._exchange(self._gateway.exchange(self._dialect, call, self._record))

    async def _exchange(self, exchange: Exchange) -> None:
        await (self._stream(exchange) if exchange.record.stream else self._whole(exchange))

    async def _stream(self, exchange: Exchange) -> None:
        content_type = {"content-type": exchange.stream_type}
        self._delivery.streams(
            lambda: encode_headers({**content_type, **STREAM_HEADERS, **exchange.response_headers}),
            exchange.keepalive,
        )
        try:
            await self._delivery.attend(lambda: exchange.stream(self._delivery))
        except MillstreamError as error:
            await exchange.fail(self._delivery, error)
        except ClientGone:
            if not (exchange.has_ended and self._delivery.is_taken):
                raise
        except Exception as error:
            await exchange.fail(self._delivery, self._bug(error))

    async def _whole(self, exchange: Exchange) -> None:
        async def answer() -> None:
            body = await exchange.whole()
            headers = {"content-type": "application/json", **exchange.response_headers}
            await self._delivery.respond(200, encode_headers(headers), body)

        await self._delivery.attend(answer)

    def _bug(self, error: Exception) -> GatewayBug:
        """The last line of defence: whatever it is, it is logged, and the client gets an answer."""
        logs.logger.error("request %s failed", self._record.id, exc_info=error)
        return GatewayBug(f"an internal error; the gateway's log has it as {self._record.id}")

    async def _refuse(self, error: MillstreamError) -> None:
        """An error as a whole response. Raises it where a head has left and it could not be said as an event: the
        server then cuts the connection, which no client takes for an end."""
        self._record.error = error
        if self._delivery.started:
            raise error
        reply = self._dialect.render_error(error)
        self._status = reply.status
        headers = {"x-request-id": self._record.id, "request-id": self._record.id, **reply.headers}
        try:
            async with asyncio.timeout(30):
                await self._delivery.respond(reply.status, encode_headers(headers), reply.body)
        except TimeoutError:
            return

    def _log(self, end: End) -> None:
        log_request(self._gateway, self._record, self._status, end, self._began)
