"""What every endpoint that lets a client read a run has in common: its errors in words, its way out, the log's line."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from starlette.types import Receive, Scope, Send

from millstream.core.errors import ClientFault, GatewayBug, MillstreamError, PolicyRefusal
from millstream.dialects.base import ErrorReply
from millstream.dialects.chat_events import ChatErrors
from millstream.pipeline import End, Gateway, Record
from millstream.server.connection import connection_of
from millstream.server.deliver import ClientGone, Delivery, Pulse
from millstream.server.model_api import Deliveries
from millstream.server.request_log import log_request
from millstream.server.runs.compress import choose
from millstream.server.runs.following import Entries, RunRenderer, follow
from millstream.server.runs.manager import Runs, unreachable
from millstream.server.runs.reader import Reader
from millstream.server.runs.run import Producer, RunSink
from millstream.server.wire import encode_headers, header_map
from millstream.sessions.base import StoreError
from millstream.telemetry import logs

RUN_HEADER = "x-millstream-run"


class RunEndpoint(ABC):
    """An ASGI application. Subclasses say ``serve``, and where they have other words for errors, those."""

    about: ClassVar[str] = "a stream"
    """What has failed, where the log has to tell of a mistake of ours."""

    def __init__(self, deliveries: Deliveries, pulse: Pulse, *, compress: bool) -> None:
        self._deliveries = deliveries
        self._pulse = pulse
        self._compress = compress

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        delivery = Delivery(receive, send, self._pulse, connection_of(scope))
        headers = header_map(scope)
        try:
            await self.serve(scope, receive, delivery, headers)
        except ClientGone:
            return
        except MillstreamError as error:
            await self._refuse(delivery, headers, error)
        except StoreError as error:
            await self._refuse(delivery, headers, self.unreachable(error))
        except Exception as error:
            logs.logger.error("%s failed", self.about, exc_info=error)
            await self._refuse(delivery, headers, GatewayBug("an internal error; the gateway's log has it"))

    @abstractmethod
    async def serve(self, scope: Scope, receive: Receive, delivery: Delivery, headers: Mapping[str, str]) -> None:
        """Raises ``MillstreamError``, ``StoreError``."""

    def unreachable(self, error: StoreError) -> MillstreamError:
        return unreachable(error)

    def refusal(self, error: MillstreamError, headers: Mapping[str, str]) -> ErrorReply:
        """``headers`` are the request's."""
        return ChatErrors().render_error(error)

    async def follow(
        self,
        reader: Reader,
        renderer: RunRenderer,
        delivery: Delivery,
        asked: Mapping[str, str],
        told: Mapping[str, str],
        *,
        part: Entries | None = None,
        preamble: bytes = b"",
    ) -> None:
        """``asked`` are the request's headers, ``told`` the response's. ``part`` of what ``reader`` has is read, if not
        all."""
        encoder = choose(asked) if self._compress else None
        if not reader.here:
            self._deliveries.add(delivery)
        try:
            await follow(part or reader, renderer, delivery, told, encoder=encoder, preamble=preamble)
        finally:
            self._deliveries.discard(delivery)

    async def _refuse(self, delivery: Delivery, headers: Mapping[str, str], error: MillstreamError) -> None:
        """The run's own end is an event of it; what comes here once the head has left is this connection's alone."""
        if delivery.started:
            await delivery.end()
            return
        reply = self.refusal(error, headers)
        await delivery.respond(reply.status, encode_headers(reply.headers), reply.body)


async def may_begin(gateway: Gateway, runs: Runs, run_id: str, owner: str) -> bool:
    """Raises ``PolicyRefusal`` (429) while there is still a status to say it with. False where ``owner`` may call no
    model now, but began the run before: to read it again is no call."""
    if gateway.meter is None or runs.is_here(run_id):
        return True
    try:
        await gateway.meter.expect()
    except PolicyRefusal as refusal:
        try:
            await runs.info(run_id, owner)
        except ClientFault:
            raise refusal from None
        return False
    return True


def logged(gateway: Gateway, work: Producer, record: Record) -> Producer:
    """``work`` with the log's line at its end. It counts from now."""
    began = gateway.now()

    async def produce(sink: RunSink) -> None:
        end: End = "failed"
        try:
            await work(sink)
            end = "finished" if record.error is None else "failed"
        except BaseException as error:
            end = "failed" if isinstance(error, Exception) else "cancelled"
            raise
        finally:
            log_request(gateway, record, 200, end, began)

    return produce
