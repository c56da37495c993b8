"""``/api/v1/stream``: begin a run and read it, or come back to one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

from starlette.types import Receive, Scope

from millstream.core.errors import ClientFault
from millstream.dialects.chat_events import ChatEvents
from millstream.server.deliver import Delivery, Pulse
from millstream.server.model_api import Deliveries
from millstream.server.plain.asking import read_ask
from millstream.server.plain.begin import Beginner
from millstream.server.runs.endpoint import RUN_HEADER, RunEndpoint
from millstream.server.runs.manager import Runs
from millstream.server.wire import query_map, read_body

NEW = "new"
_PREAMBLE = b"retry: 1000\n\n"


class StreamEndpoint(RunEndpoint):
    """``POST``: begin and read. ``GET`` with a run's id: read on."""

    about = "a plain stream"

    def __init__(
        self, beginner: Beginner, runs: Runs, deliveries: Deliveries, pulse: Pulse, max_body: int, *, compress: bool
    ) -> None:
        super().__init__(deliveries, pulse, compress=compress)
        self._beginner = beginner
        self._runs = runs
        self._max_body = max_body

    async def serve(self, scope: Scope, receive: Receive, delivery: Delivery, headers: Mapping[str, str]) -> None:
        if scope["method"] == "POST":
            run_id = await self._begin(await read_body(scope, receive, self._max_body), headers)
        else:
            run_id = scope["path_params"]["run_id"]
        reader = await self._runs.open(run_id, self._beginner.owner(), _after(headers, query_map(scope)))
        if reader is None:
            await delivery.respond(204, [], b"")
            return
        with closing(reader):
            await self.follow(reader, ChatEvents(), delivery, headers, {RUN_HEADER: run_id}, preamble=_PREAMBLE)

    async def _begin(self, body: bytes, headers: Mapping[str, str]) -> str:
        ask = read_ask(body)
        named = ask.run_id or headers.get(RUN_HEADER, NEW)
        run_id = self._runs.new_id() if named == NEW else named
        await self._beginner.begin(ask, run_id, "plain")
        return run_id


def _after(headers: Mapping[str, str], query: Mapping[str, str]) -> int:
    """What the client has already. A browser's ``EventSource`` cannot set the header at its first try, so a query may
    say it as well."""
    said = headers.get("last-event-id") or query.get("last_event_id") or query.get("after") or "0"
    if not (said.isascii() and said.isdigit() and len(said) < 16):
        raise ClientFault("last-event-id: it is the number of an event, such as 17", param="last-event-id")
    return int(said)
