"""``/api/chat``: what ``useChat`` talks to, with its default transport or ``WorkflowChatTransport``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from typing import cast

import msgspec
from starlette.types import Receive, Scope

from millstream.agent.approval import Verdict
from millstream.core.errors import ClientFault, Kind
from millstream.dialects.fronts import question_id, run_and_approval
from millstream.dialects.ui_messages import NAME
from millstream.dialects.ui_messages.render import HEADERS, UiMessageView, Version
from millstream.dialects.ui_messages.request import ChatAsk, answers_of, read_chat, request_of
from millstream.server.deliver import Delivery
from millstream.server.front.base import FrontEndpoint, no_content
from millstream.server.runs.endpoint import RUN_HEADER
from millstream.server.runs.reader import Reader
from millstream.server.wire import encode_headers, query_map, read_body

VERSION_HEADER = "x-millstream-ui-stream"
WORKFLOW_HEADER = "x-workflow-run-id"
TAIL_HEADER = "x-workflow-stream-tail-index"
_INDEX = re.compile(r"-?\d{1,9}")
_MESSAGE = "ui/message/"
_CHAT = "ui/chat/"


class Chat(FrontEndpoint):
    """``POST`` says the answer to a conversation; ``GET …/{id}/stream`` says it again and goes on; ``POST …/{id}/stop``
    ends it. ``id`` is the chat's or a run's."""

    async def serve(self, scope: Scope, receive: Receive, delivery: Delivery, headers: Mapping[str, str]) -> None:
        said = scope["path_params"].get("id")
        if said is None:
            await self._answer(scope, receive, delivery, headers)
        elif scope["method"] == "GET":
            await self._resume(scope, said, delivery, headers)
        else:
            await self._stop(said, delivery)

    async def _answer(self, scope: Scope, receive: Receive, delivery: Delivery, headers: Mapping[str, str]) -> None:
        ask = read_chat(await read_body(scope, receive, self.fronts.max_body))
        version = self._version(headers, query_map(scope))
        run_id, since = await self._resumed(ask)
        if run_id is None:
            run_id = await self._begin(ask, headers.get(RUN_HEADER))
        if ask.id is not None:
            await self.fronts.name(_CHAT + ask.id, run_id)
        with closing(await self.fronts.open(run_id)) as reader:
            view = await self._view(run_id, version, since)
            await self._say(reader, view, run_id, since, delivery, headers)

    async def _begin(self, ask: ChatAsk, named: str | None) -> str:
        fronts = self.fronts
        run_id = named if named not in (None, "", "new") else fronts.runs.new_id()
        last = ask.messages[-1]
        if last.role == "assistant" and last.id:  # the answer goes on with that message
            await fronts.name(_MESSAGE + run_id, last.id)
        await fronts.begin(request_of(ask, fronts.gateway.routes.default), run_id, NAME, ask.id)
        return run_id

    async def _resumed(self, ask: ChatAsk) -> tuple[str | None, str | None]:
        """The run that waits for the user's answers, and the one of them that it goes on from: the first that is given
        now, since what comes of that is told too. A run that is kept no longer is begun anew: the history says that its
        tools have not run."""
        run_id: str | None = None
        since: str | None = None
        given = False
        for answer in answers_of(ask):
            of_run, approval = run_and_approval(answer.id)
            if approval is None:
                continue
            try:
                given_now = await self.fronts.answer(of_run, approval, Verdict(answer.approved, answer.reason))
            except ClientFault as fault:
                if fault.kind is not Kind.NOT_FOUND:
                    raise
                continue
            if run_id is None or (given_now and not given):
                run_id, since, given = of_run, approval, given_now
        return run_id, since

    async def _resume(self, scope: Scope, said: str, delivery: Delivery, headers: Mapping[str, str]) -> None:
        query = query_map(scope)
        found, since = await self._find(said)
        if found is None:
            await no_content(delivery)
            return
        at = _start_index(query)
        info = await self.fronts.runs.info(found, self.fronts.owner())
        if at is None and info.sealed:
            await no_content(delivery)
            return
        version = self._version(headers, query)
        more: dict[str, str] = {}
        if at is not None and at < 0:
            tail = await self._count(found, version, since, info.last)
            at = max(0, tail + at)
            more[TAIL_HEADER] = str(tail - 1)
        with closing(await self.fronts.open(found)) as reader:
            view = await self._view(found, version, since, at or 0)
            await self._say(reader, view, found, since, delivery, headers, more)

    async def _count(self, run_id: str, version: Version, since: str | None, last: int) -> int:
        """Chunks up to entry ``last``."""
        view = await self._view(run_id, version, since)
        with closing(await self.fronts.open(run_id)) as reader:
            while reader.number < last and not view.paused:
                view.render(await reader.next())
        return view.count

    async def _stop(self, said: str, delivery: Delivery) -> None:
        found, _ = await self._find(said)
        stopped = found is not None and await self.fronts.runs.cancel(found, self.fronts.owner())
        body = msgspec.json.encode({"stopped": stopped})
        await delivery.respond(200, encode_headers({"content-type": "application/json"}), body)

    async def _find(self, said: str) -> tuple[str | None, str | None]:
        """The run that is called so, or that the chat of that name is at, and the approval it goes on from."""
        named = await self.fronts.named(_CHAT + said)
        run_id, since = run_and_approval(said) if named is None else (named, None)
        try:
            await self.fronts.runs.info(run_id, self.fronts.owner())
        except ClientFault as fault:
            if fault.kind is not Kind.NOT_FOUND:
                raise
            return None, None
        return run_id, since

    async def _view(self, run_id: str, version: Version, since: str | None, skip: int = 0) -> UiMessageView:
        message = await self.fronts.named(_MESSAGE + run_id) or run_id
        is_open = await self.fronts.questions.open_in(run_id)
        return UiMessageView(run_id, message, is_open, version=version, since=since, skip=skip)

    async def _say(
        self,
        reader: Reader,
        view: UiMessageView,
        run_id: str,
        since: str | None,
        delivery: Delivery,
        asked: Mapping[str, str],
        more: Mapping[str, str] | None = None,
    ) -> None:
        workflow = run_id if since is None else question_id(run_id, since)
        told = {**HEADERS, RUN_HEADER: run_id, WORKFLOW_HEADER: workflow, **(more or {})}
        await self.say(reader, view, delivery, asked, told)

    def _version(self, headers: Mapping[str, str], query: Mapping[str, str]) -> Version:
        said = headers.get(VERSION_HEADER) or query.get("ui_stream") or str(self.fronts.version)
        if said not in ("5", "6", "7"):
            raise ClientFault(f"{VERSION_HEADER}: write 5, 6 or 7", param=VERSION_HEADER)
        return cast("Version", int(said))


def _start_index(query: Mapping[str, str]) -> int | None:
    """Chunks that the client has; below 0 they are counted from the end."""
    said = query.get("startIndex")
    if said is None:
        return None
    if not _INDEX.fullmatch(said):
        raise ClientFault("startIndex: it is a number", param="startIndex")
    return int(said)
