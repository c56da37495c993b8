"""``/api/v1/stream``: begin a run and read it, or come back to one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

from starlette.types import Receive, Scope, Send

from millstream.core.errors import ClientFault, GatewayBug, MillstreamError, UpstreamFault
from millstream.dialects.chat_events import ChatErrors, ChatEvents
from millstream.server.connection import connection_of
from millstream.server.deliver import ClientGone, Delivery, Pulse
from millstream.server.model_api import Deliveries
from millstream.server.plain.asking import read_ask
from millstream.server.plain.begin import Beginner
from millstream.server.plain.compress import choose
from millstream.server.runs.following import follow
from millstream.server.runs.manager import Runs
from millstream.server.runs.reader import Reader
from millstream.server.wire import encode_headers, header_map, query_map, read_body
from millstream.sessions.base import StoreError
from millstream.telemetry import logs

RUN_HEADER = "x-millstream-run"
NEW = "new"
_PREAMBLE = b"retry: 1000\n\n"


class StreamEndpoint:
    """``POST``: begin and read. ``GET`` with a run's id: read on. An ASGI application."""

    def __init__(
        self, beginner: Beginner, runs: Runs, deliveries: Deliveries, pulse: Pulse, max_body: int, *, compress: bool
    ) -> None:
        self._beginner = beginner
        self._runs = runs
        self._deliveries = deliveries
        self._pulse = pulse
        self._max_body = max_body
        self._compress = compress

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        delivery = Delivery(receive, send, self._pulse, connection_of(scope))
        try:
            headers = header_map(scope)
            if scope["method"] == "POST":
                run_id = await self._begin(await read_body(scope, receive, self._max_body), headers)
            else:
                run_id = scope["path_params"]["run_id"]
            reader = await self._runs.open(run_id, self._beginner.owner(), _after(headers, query_map(scope)))
            if reader is None:
                await send({"type": "http.response.start", "status": 204, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
            with closing(reader):
                await self._follow(reader, run_id, delivery, headers)
        except ClientGone:
            return
        except MillstreamError as error:
            await _refuse(delivery, error)
        except StoreError as error:
            await _refuse(delivery, UpstreamFault(f"the journal cannot be reached: {error}", status=503))
        except Exception as error:
            logs.logger.error("a plain stream failed", exc_info=error)
            await _refuse(delivery, GatewayBug("an internal error; the gateway's log has it"))

    async def _begin(self, body: bytes, headers: Mapping[str, str]) -> str:
        ask = read_ask(body)
        named = ask.run_id or headers.get(RUN_HEADER, NEW)
        run_id = self._runs.new_id() if named == NEW else named
        await self._beginner.begin(ask, run_id, "plain")
        return run_id

    async def _follow(self, reader: Reader, run_id: str, delivery: Delivery, headers: Mapping[str, str]) -> None:
        encoder = choose(headers) if self._compress else None
        if not reader.here:
            self._deliveries.add(delivery)
        try:
            await follow(reader, ChatEvents(), delivery, {RUN_HEADER: run_id}, encoder=encoder, preamble=_PREAMBLE)
        finally:
            self._deliveries.discard(delivery)


async def _refuse(delivery: Delivery, error: MillstreamError) -> None:
    """The run's own end is an event of it; what comes here once the head has left is this connection's alone."""
    if delivery.started:
        await delivery.end()
        return
    reply = ChatErrors().render_error(error)
    await delivery.respond(reply.status, encode_headers(reply.headers), reply.body)


def _after(headers: Mapping[str, str], query: Mapping[str, str]) -> int:
    """What the client has already. A browser's ``EventSource`` cannot set the header at its first try, so a query may
    say it as well."""
    said = headers.get("last-event-id") or query.get("last_event_id") or query.get("after") or "0"
    if not (said.isascii() and said.isdigit() and len(said) < 16):
        raise ClientFault("last-event-id: it is the number of an event, such as 17", param="last-event-id")
    return int(said)
