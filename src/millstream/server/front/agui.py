"""``/agui``: agents as AG-UI's clients run them, with the reconnection of those that have one (TanStack AI)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from contextlib import closing

from starlette.types import Receive, Scope

from millstream.agent.approval import OpenQuestion, Verdict
from millstream.core.errors import ClientFault
from millstream.dialects.ag_ui import NAME
from millstream.dialects.ag_ui.render import AgUiView, Place
from millstream.dialects.ag_ui.request import (
    History,
    ResumeEntry,
    RunAgentInput,
    history_of,
    read_input,
    request_of,
)
from millstream.dialects.fronts import question_id, run_and_approval
from millstream.server.deliver import Delivery
from millstream.server.front.base import FrontEndpoint, no_content
from millstream.server.runs.endpoint import RUN_HEADER
from millstream.server.runs.manager import about_of
from millstream.server.wire import query_map, read_body

_RUN = "agui/run/"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")
_PLACE = re.compile(r"(\d{1,15})(?:-(\d{1,6}))?")


class AgUi(FrontEndpoint):
    """``POST`` runs the agent; with a run's id that is known, it says that run again from ``Last-Event-ID`` on. ``GET``
    with ``?runId=`` does the latter only."""

    async def serve(self, scope: Scope, receive: Receive, delivery: Delivery, headers: Mapping[str, str]) -> None:
        query = query_map(scope)
        history = History()
        if scope["method"] == "GET":
            client_run, thread = query.get("runId") or headers.get("x-run-id", ""), None
            found = await self._known(client_run)
            if found is None:
                await no_content(delivery)
                return
        else:
            body = await read_body(scope, receive, self.fronts.max_body)
            given = read_input(body)
            history = history_of(given, body) if given.resume else history
            client_run, thread = given.run_id, given.thread_id
            found = await self._known(client_run) or await self._begin(given)
        run_id, since = found
        if thread is None:
            info = await self.fronts.runs.info(run_id, self.fronts.owner())
            thread = about_of(info).session_id or run_id

        with closing(await self.fronts.open(run_id)) as reader:
            after = _after(headers, query)
            patience = self.fronts.agent.options.approval_timeout
            view = AgUiView(
                run_id,
                client_run,
                thread,
                await self.fronts.questions.open_in(run_id),
                since=since,
                after=after,
                patience=patience,
                history=history,
            )
            await self.say(reader, view, delivery, headers, {RUN_HEADER: run_id})

    async def _known(self, client_run: str) -> tuple[str, str | None] | None:
        named = await self.fronts.named(_RUN + client_run)
        return None if named is None else run_and_approval(named)

    async def _begin(self, given: RunAgentInput) -> tuple[str, str | None]:
        fronts = self.fronts
        if given.resume:
            run_id, since = await self._resumed(given)
            await fronts.name(_RUN + given.run_id, question_id(run_id, since))
            return run_id, since
        run_id = run_id_of(given.run_id)
        request = request_of(given, fronts.gateway.routes.default)
        if await fronts.begin(request, run_id, NAME, given.thread_id, elicits=True):
            await fronts.name(_RUN + given.run_id, run_id)
        return run_id, None

    async def _resumed(self, given: RunAgentInput) -> tuple[str, str]:
        """The run that waited, and the question that it goes on from: the first that is answered now, since what comes
        of that is told too. Where one answer will not do, none is given."""
        verdicts: dict[tuple[str, str], Verdict] = {}
        for entry in given.resume or ():
            run_id, question = run_and_approval(entry.interrupt_id)
            if question is None:
                raise ClientFault(f"resume: there is no interrupt {entry.interrupt_id!r}", param="resume")
            if any(run_id != other for other, _ in verdicts):
                raise ClientFault("resume: its interrupts are of different runs", param="resume")
            asked = await self.fronts.questions.find(run_id, question)
            verdicts[run_id, question] = verdict = _verdict(entry, asked)
            if asked is not None:
                asked.check(verdict)
        if not verdicts:
            raise ClientFault("resume: it is empty", param="resume")
        given_now = [place for place, verdict in verdicts.items() if await self.fronts.answer(*place, verdict)]
        return next(iter(given_now or verdicts))


def _verdict(entry: ResumeEntry, asked: OpenQuestion | None) -> Verdict:
    if asked is None or asked.question is None:
        return Verdict(entry.approved, entry.reason)
    action = entry.action
    if action is None:
        raise ClientFault("resume: payload.action: write accept, decline or cancel", param="resume")
    return Verdict(action == "accept", content=entry.content, dismissed=action == "cancel")


def run_id_of(client_run: str) -> str:
    """Clients may call their runs anything."""
    if _ID.fullmatch(client_run):
        return client_run
    return f"agui_{hashlib.sha256(client_run.encode()).hexdigest()[:40]}"


def _after(headers: Mapping[str, str], query: Mapping[str, str]) -> Place:
    said = headers.get("last-event-id") or query.get("offset") or "-1"
    if said == "-1":
        return (0, -1)
    found = _PLACE.fullmatch(said)
    if found is None:
        raise ClientFault("last-event-id: it is the id of an event, such as 17-0", param="last-event-id")
    return (int(found[1]), 2**31 if found[2] is None else int(found[2]))
