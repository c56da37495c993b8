"""The conversations of a user: list them, read one, stop what is being said in it, forget it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from millstream.core.errors import ClientFault, Kind, MillstreamError, UpstreamFault
from millstream.core.timestamps import timestamp
from millstream.dialects.conversation import error_reply
from millstream.server.conversation.begin import Beginner, User
from millstream.server.runs.manager import Runs
from millstream.sessions.base import StoreError
from millstream.sessions.history import Answered, Asked, History, Loaded, SessionAbout

Endpoint = Callable[[Request], Awaitable[Response]]


class SessionsApi:
    """Endpoints of Starlette."""

    def __init__(self, beginner: Beginner, history: History, runs: Runs, user_of: Callable[[Scope], User]) -> None:
        self._beginner = beginner
        self._history = history
        self._runs = runs
        self._user_of = user_of

    @property
    def all(self) -> Endpoint:
        return _answered(self._list)

    @property
    def show(self) -> Endpoint:
        return _answered(self._show)

    @property
    def delete(self) -> Endpoint:
        return _answered(self._delete)

    @property
    def stop(self) -> Endpoint:
        return _answered(self._stop)

    async def _list(self, request: Request) -> dict[str, Any]:
        user = self._user_of(request.scope)
        found = await self._history.list(user.who)
        return {"sessions": [_described(session_id, about, info.created) for session_id, about, info in found]}

    async def _show(self, request: Request) -> dict[str, Any]:
        user = self._user_of(request.scope)
        loaded = await self._beginner.load(user, request.path_params["session_id"])
        last, pending = loaded.last_answer, loaded.pending
        return {
            **_described(loaded.id, loaded.about, loaded.created),
            "context": {"intent": last.intent if last else None, "entities": last.entities if last else {}},
            "running": pending.run_id if pending is not None else None,
            "messages": _messages(loaded),
        }

    async def _delete(self, request: Request) -> dict[str, Any]:
        user = self._user_of(request.scope)
        session_id = request.path_params["session_id"]
        loaded = await self._beginner.load(user, session_id)
        if not await self._history.delete(user.who, session_id):
            raise ClientFault(f"there is no conversation {session_id!r}", Kind.NOT_FOUND, code="session_not_found")
        for run_id in dict.fromkeys(entry.run_id for entry in loaded.entries if isinstance(entry, Asked)):
            await self._forget_run(run_id, user)
        return {"deleted": True}

    async def _forget_run(self, run_id: str, user: User) -> None:
        try:
            await self._runs.delete(run_id, user.owner)
        except ClientFault:
            return  # it is kept no longer

    async def _stop(self, request: Request) -> dict[str, Any]:
        user = self._user_of(request.scope)
        pending = (await self._beginner.load(user, request.path_params["session_id"])).pending
        return {"stopped": pending is not None and await self._runs.cancel(pending.run_id, user.owner)}


def _answered(answer: Callable[[Request], Awaitable[dict[str, Any]]]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            return Response(msgspec.json.encode(await answer(request)), media_type="application/json")
        except MillstreamError as error:
            failed = error
        except StoreError as error:
            failed = UpstreamFault(f"conversations cannot be reached: {error}", status=503)
        reply = error_reply(failed, as_stream=False)
        return Response(reply.body, reply.status, reply.headers)

    return endpoint


def _described(session_id: str, about: SessionAbout, created: float) -> dict[str, Any]:
    return {
        "id": session_id,
        "title": about.title,
        "created": timestamp(int(created * 1000)),
        "updated": timestamp(about.updated),
        "message_count": about.messages,
    }


def _messages(loaded: Loaded) -> list[dict[str, Any]]:
    """As they are to be shown: the rest of an answer that was resumed is part of it."""
    found: list[dict[str, Any]] = []
    asked: Asked | None = None
    for entry in loaded.entries:
        if isinstance(entry, Asked):
            asked = entry
            if not entry.goes_on:
                found.append(_message(entry, "user"))
        elif isinstance(entry, Answered):
            said = _message(entry, "assistant") | _outcome(entry)
            if asked is not None and asked.goes_on and found and found[-1]["role"] == "assistant":
                before = found[-1]
                found[-1] = before | said | {"id": before["id"], "content": before["content"] + entry.text}
            else:
                found.append(said)
    return found


def _message(entry: Asked | Answered, role: str) -> dict[str, Any]:
    return {"id": entry.id, "role": role, "content": entry.text, "created": timestamp(entry.at), "run_id": entry.run_id}


def _outcome(entry: Answered) -> dict[str, Any]:
    said: dict[str, Any] = {"state": entry.state, "model": entry.model, "suggestions": list(entry.suggestions)}
    if entry.intent is not None:
        said |= {"intent": entry.intent, "entities": entry.entities}
    if entry.usage is not None:
        said["usage"] = {"input_tokens": entry.usage.input_tokens, "output_tokens": entry.usage.output_tokens}
    return said
