"""Calls of the model APIs that are to be runs: with the header ``x-millstream-run`` they are journaled under an id, and
a call with the id of a run that there is already is answered from its journal, from the first event on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import cast, get_args

import msgspec

from millstream.core.assemble import Assembler, error_of
from millstream.core.errors import ClientFault, MillstreamError, UpstreamFault
from millstream.core.events import Event, Fault
from millstream.core.messages import Request
from millstream.core.run_events import AppEvent, RunEntry
from millstream.dialects.base import ClientCall, Dialect, Renderer, ReplyContext
from millstream.pipeline import End, Gateway, Record
from millstream.policy.caller import Owner
from millstream.server.deliver import Delivery
from millstream.server.model_api import STREAM_HEADERS, Turn
from millstream.server.plain.begin import model_producer
from millstream.server.runs.endpoint import RUN_HEADER
from millstream.server.runs.manager import RunExists, Runs, unreachable
from millstream.server.runs.reader import Reader
from millstream.server.runs.run import OnDisconnect, RunAbout
from millstream.server.wire import encode_headers
from millstream.sessions.base import StoreError
from millstream.upstream import MAX_REPLY_BYTES

DISCONNECT_HEADER = "x-millstream-disconnect"
NEW = "new"
_APP_EVENTS = get_args(AppEvent)


class AttachedTurn(Turn):
    """One call. The run writes the line in the log."""

    def __init__(
        self, gateway: Gateway, dialect: Dialect, delivery: Delivery, runs: Runs, owner: Owner, default: OnDisconnect
    ) -> None:
        super().__init__(gateway, dialect, delivery)
        self._runs = runs
        self._owner = owner
        self._default = default
        self._began_run = False

    async def _answer(self, call: ClientCall) -> None:
        request = self._dialect.parse_request(call)
        named = call.headers.get(RUN_HEADER, NEW)
        run_id = self._runs.new_id() if named == NEW else named
        self._record.model, self._record.stream = request.model, request.stream
        try:
            await self._begin(request, run_id, self._policy(call))
            reader = await self._runs.open(run_id, self._owner())
        except StoreError as error:
            raise unreachable(error) from error
        if reader is None:
            raise ClientFault("the run has no events", status=410, code="events_missing")
        headers = {"x-request-id": self._record.id, RUN_HEADER: run_id}
        if self._record.route is not None:
            headers["x-millstream-model"] = self._record.route.name
        context = ReplyContext(run_id, int(self._began), request)
        with closing(reader):
            if request.stream:
                await self._follow(reader, self._dialect.renderer(context), self._dialect.stream_type(call), headers)
            else:
                await self._delivery.attend(lambda: self._collect(reader, context, headers))

    def _policy(self, call: ClientCall) -> OnDisconnect:
        said = call.headers.get(DISCONNECT_HEADER, self._default)
        if said not in get_args(OnDisconnect):
            raise ClientFault(f"{DISCONNECT_HEADER}: write cancel, drain or detach", param=DISCONNECT_HEADER)
        return cast("OnDisconnect", said)

    async def _begin(self, request: Request, run_id: str, on_disconnect: OnDisconnect) -> None:
        record = Record(run_id, self._dialect.name, model=request.model, stream=request.stream)
        producer = model_producer(self._gateway, request, record)
        model = record.route.name if record.route is not None else request.model
        self._record.route = record.route
        about = RunAbout("", self._owner(), self._dialect.name, model)
        try:
            await self._runs.start(
                run_id, about, producer, on_disconnect=on_disconnect, asked=lambda: msgspec.json.encode(request)
            )
            self._began_run = True
        except RunExists:
            return

    async def _follow(self, reader: Reader, renderer: Renderer, content_type: str, headers: dict[str, str]) -> None:
        self._delivery.streams(
            lambda: encode_headers({"content-type": content_type, **STREAM_HEADERS, **headers}), renderer.keepalive
        )
        try:
            await self._delivery.attend(lambda: self._pass_on(reader, renderer))
        except MillstreamError as error:
            self._record.error = error
            if not self._delivery.started:
                raise
            if (wait := self._delivery.write(renderer.render([Fault.of(error)]))) is not None:
                await wait
            await self._delivery.end()

    async def _pass_on(self, reader: Reader, renderer: Renderer) -> None:
        while entries := await _read(reader):
            events = _of_reply(entries)
            if not events:
                continue
            if not self._delivery.started and isinstance(events[0], Fault):
                raise error_of(events[0])  # still a true status
            await self._delivery.start()
            out = renderer.render(events)
            if out and (wait := self._delivery.write(out)) is not None:
                await wait
        await self._delivery.end()

    async def _collect(self, reader: Reader, context: ReplyContext, headers: dict[str, str]) -> None:
        whole = Assembler()
        size = 0
        while entries := await _read(reader):
            size += sum(len(entry.data) for entry in entries)
            if size > MAX_REPLY_BYTES:
                raise UpstreamFault(f"the reply is larger than {MAX_REPLY_BYTES} bytes")
            whole.add(_of_reply(entries))
        if whole.fault is not None:
            raise error_of(whole.fault)
        body = self._dialect.render_reply(whole.reply(), context)
        await self._delivery.respond(200, encode_headers({"content-type": "application/json", **headers}), body)

    def _log(self, end: End) -> None:
        if not self._began_run:
            super()._log(end)


async def _read(reader: Reader) -> Sequence[RunEntry]:
    try:
        return await reader.next()
    except StoreError as error:
        raise UpstreamFault(f"the run's journal cannot be read now: {error}", status=503) from error


def _of_reply(entries: Sequence[RunEntry]) -> list[Event]:
    """What a model API has words for."""
    return [cast("Event", entry.event) for entry in entries if not isinstance(entry.event, _APP_EVENTS)]
