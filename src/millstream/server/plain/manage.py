"""The runs' own endpoints: list them, look into one, stop one, forget one."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from millstream.core.errors import ClientFault, MillstreamError, UpstreamFault
from millstream.core.run_events import RunEnd, decode_entry
from millstream.core.timestamps import timestamp
from millstream.dialects.chat_events import ChatErrors
from millstream.policy.caller import Owner
from millstream.server.runs.manager import PREFIX, Runs, about_of
from millstream.server.runs.run import RunAbout
from millstream.sessions.base import StoreError
from millstream.sessions.journal import JournalError, StreamInfo

_MOST = 1000


class RunsApi:
    """Endpoints of Starlette, for the runs of ``owner``."""

    def __init__(self, runs: Runs, owner: Owner) -> None:
        self._runs = runs
        self._owner = owner

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/v1/runs", self._answered(self._list), methods=["GET"]),
            Route("/api/v1/runs/{run_id}", self._answered(self._show), methods=["GET"]),
            Route("/api/v1/runs/{run_id}", self._answered(self._delete), methods=["DELETE"]),
            Route("/api/v1/runs/{run_id}/events", self._answered(self._events), methods=["GET"]),
            Route("/api/v1/runs/{run_id}/cancel", self._answered(self._cancel), methods=["POST"]),
        ]

    def _answered(self, endpoint: Any) -> Any:
        async def answer(request: Request) -> Response:
            try:
                found: Response = await endpoint(request)
            except MillstreamError as error:
                return _error(error)
            except (StoreError, JournalError) as error:
                return _error(UpstreamFault(f"the journal cannot be read: {error}", status=503))
            return found

        return answer

    async def _list(self, request: Request) -> Response:
        try:
            most = min(_MOST, max(1, int(request.query_params.get("limit", "100"))))
        except ValueError:
            raise ClientFault("limit: it is a number", param="limit") from None
        found = await self._runs.listed(self._owner(), most)
        return _json({"runs": [await self._described(info, about) for info, about in found]})

    async def _show(self, request: Request) -> Response:
        info = await self._runs.info(request.path_params["run_id"], self._owner())
        return _json(await self._described(info, about_of(info)))

    async def _events(self, request: Request) -> Response:
        """What is kept of it so far, an event a line, as the journal has it. ``after`` is a number as in a resume."""
        info = await self._runs.info(request.path_params["run_id"], self._owner())
        said = request.query_params.get("after", str(info.first - 1))
        if not said.isdigit():
            raise ClientFault("after: it is the number of an event", param="after")
        batch = await self._runs.journal.read(info.key, int(said))
        headers = {"x-millstream-first": str(batch.first), "x-millstream-last": str(info.last)}
        return Response(b"".join(b"%b\n" % entry for entry in batch.entries), 200, headers, "application/x-ndjson")

    async def _cancel(self, request: Request) -> Response:
        return _json({"cancelled": await self._runs.cancel(request.path_params["run_id"], self._owner())})

    async def _delete(self, request: Request) -> Response:
        await self._runs.delete(request.path_params["run_id"], self._owner())
        return _json({"deleted": True})

    async def _described(self, info: StreamInfo, about: RunAbout) -> dict[str, Any]:
        end: RunEnd | None = None
        if info.sealed and info.last:
            batch = await self._runs.journal.read(info.key, info.last - 1)
            last = decode_entry(info.last, batch.entries[-1]).event
            end = last if isinstance(last, RunEnd) else None
        return {
            "id": info.key.removeprefix(PREFIX),
            "state": "running" if not info.sealed else end.reason if end is not None else "ended",
            "surface": about.surface,
            "model": about.model,
            "session_id": about.session_id,
            "events": info.last,
            "first_event": info.first,
            "size": info.size,
            "created": timestamp(int(info.created * 1000)),
            "expires": timestamp(int(info.expires * 1000)),
            "seconds": None if end is None else end.seconds,
            "output_tokens": None if end is None or end.usage is None else end.usage.output_tokens,
        }


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _error(error: MillstreamError) -> Response:
    reply = ChatErrors().render_error(error)
    return Response(reply.body, reply.status, reply.headers)
