"""From what an app asks to a run that works on it, and the log's line for it."""

from __future__ import annotations

from typing import cast

import msgspec

from millstream.agent.left import REPLY_EVENTS
from millstream.continuation import ContinuedCall, model_call
from millstream.core.events import Event, Fault, Finish, MessageStart
from millstream.core.messages import Request
from millstream.core.seam import Seam
from millstream.dialects.chat_events import NAME
from millstream.pipeline import Gateway, Record
from millstream.policy.caller import Owner
from millstream.server.plain.asking import Ask, request_of
from millstream.server.runs.endpoint import logged, may_begin
from millstream.server.runs.manager import Orphan, RunExists, Runs
from millstream.server.runs.run import OnDisconnect, Producer, RunAbout, RunSink


class Beginner:
    """Begins runs for ``owner``."""

    def __init__(self, gateway: Gateway, runs: Runs, owner: Owner, on_disconnect: OnDisconnect) -> None:
        self._gateway = gateway
        self._runs = runs
        self.owner = owner
        self._on_disconnect = on_disconnect

    async def begin(self, ask: Ask, run_id: str, surface: str) -> bool:
        """Begin the run, or find that it was begun before: then false. Raises ``MillstreamError``."""
        gateway = self._gateway
        request = request_of(ask, gateway.routes.default, gateway.dialects["openai_chat"])
        record = Record(run_id, NAME, model=request.model, stream=True)
        producer = model_producer(gateway, request, record)
        if not await may_begin(gateway, self._runs, run_id, self.owner()):
            return False
        model = record.route.name if record.route is not None else request.model
        about = RunAbout("", self.owner(), surface, model, ask.session_id)
        try:
            await self._runs.start(
                run_id,
                about,
                producer,
                on_disconnect=ask.on_disconnect or self._on_disconnect,
                asked=lambda: msgspec.json.encode(request),
            )
        except RunExists:
            return False
        return True


def model_producer(gateway: Gateway, request: Request, record: Record) -> Producer:
    """One call of a model as a run. Raises ``MillstreamError`` for what no upstream need be asked about."""
    return logged(gateway, model_call(gateway, request, record).run, record)


def revive(gateway: Gateway, orphan: Orphan) -> Producer | None:
    """Goes on with such a run of a process that died; None where it cannot."""
    ways = gateway.continuation
    events = [cast("Event", entry.event) for entry in orphan.entries if isinstance(entry.event, REPLY_EVENTS)]
    if ways is None:
        return None
    if events and isinstance(events[-1], Finish | Fault):
        return nothing_more
    try:
        request = msgspec.json.decode(orphan.request, type=Request)
    except msgspec.MsgspecError:
        return None  # another version's
    record = Record(orphan.id, NAME, model=request.model, stream=True)
    if not any(isinstance(event, MessageStart) for event in events):
        return logged(gateway, model_call(gateway, request, record).run, record)
    seam = Seam.after(events)
    return logged(gateway, ContinuedCall(gateway, request, record, ways, seam).run, record)


async def nothing_more(sink: RunSink) -> None:
    """The reply was told to its end, and only the run's own is missing."""
