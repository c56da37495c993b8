"""What can be done with a reply once it is asked for: get it, follow it, cancel it, delete it, list its input."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope, Send

from millstream.core.errors import ClientFault, GatewayBug, Kind
from millstream.dialects.base import ClientCall, Dialect
from millstream.pipeline import Gateway
from millstream.policy.caller import Owner
from millstream.server.connection import connection_of
from millstream.server.deliver import Delivery, Pulse
from millstream.server.model_api import Turn
from millstream.server.responses.http import follow
from millstream.server.responses.keeping import Keeper, Kept, is_under_way, listed, not_found, state_of
from millstream.server.responses.runs import Run, Runs
from millstream.server.wire import encode_headers, header_map, read_body

Action = Literal["get", "delete", "cancel", "input_items"]
_END_TIMEOUT_S = 10.0
_MAX_BODY = 64 * 1024
_PAGE = 20
_MOST_PER_PAGE = 100


class StoredResponse:
    """One of the endpoints below ``/v1/responses/{response_id}``. An ASGI application.

    A run that is not here may be another process's for ``elsewhere_for`` seconds from its beginning.
    """

    def __init__(
        self,
        gateway: Gateway,
        dialect: Dialect,
        pulse: Pulse,
        keeper: Keeper,
        runs: Runs,
        owner: Owner,
        elsewhere_for: float,
        action: Action,
    ) -> None:
        self._gateway = gateway
        self._dialect = dialect
        self._pulse = pulse
        self._keeper = keeper
        self._runs = runs
        self._owner = owner
        self._elsewhere_for = elsewhere_for
        self._action = action

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        delivery = Delivery(receive, send, self._pulse, connection_of(scope))
        turn = _StoredTurn(
            self._gateway,
            self._dialect,
            delivery,
            self._keeper,
            self._runs,
            self._owner,
            self._elsewhere_for,
            self._action,
            scope,
        )
        await turn.serve(lambda body: ClientCall(body, header_map(scope)), read_body(scope, receive, _MAX_BODY))


class _StoredTurn(Turn):
    """One call. ``scope`` has the id among its path parameters."""

    def __init__(
        self,
        gateway: Gateway,
        dialect: Dialect,
        delivery: Delivery,
        keeper: Keeper,
        runs: Runs,
        owner: Owner,
        elsewhere_for: float,
        action: Action,
        scope: Scope,
    ) -> None:
        super().__init__(gateway, dialect, delivery)
        self._keeper = keeper
        self._runs = runs
        self._owner = owner()
        self._elsewhere_for = elsewhere_for
        self._id: str = scope["path_params"]["response_id"]
        self._params = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        self._action = action
        self._record.model = f"{scope['method']} {scope['path']}"

    async def _answer(self, call: ClientCall) -> None:
        run = self._runs.find(self._id, self._owner)
        kept = await self._keeper.find(self._id, self._owner)
        if kept is None:
            raise not_found(self._id)
        if self._action == "delete" or self._action == "cancel":
            self._check_reach(run, kept)
        if self._action == "delete":
            await self._delete(run)
        elif self._action == "cancel":
            await self._cancel(run, kept)
        elif self._action == "input_items":
            await self._list(kept)
        elif self._params.get("stream") == "true":
            self._check_reach(run, kept)
            await self._stream_again(run)
        else:
            await self._say(self._state(run, kept))

    def _state(self, run: Run | None, kept: Kept) -> bytes:
        if run is not None:
            return run.snapshot()
        if not is_under_way(kept) or self._is_elsewhere(kept):
            return bytes(kept.response)
        message = "the gateway that ran this response has stopped before it was complete"
        response: dict[str, Any] = msgspec.json.decode(kept.response)
        failed = {"status": "failed", "error": {"code": "server_error", "message": message}}
        return msgspec.json.encode({**response, **failed})

    def _is_elsewhere(self, kept: Kept) -> bool:
        """Nobody here can tell whether it still runs there; once it could not any more, it has failed."""
        return is_under_way(kept) and self._gateway.now() < state_of(kept).created_at + self._elsewhere_for

    def _check_reach(self, run: Run | None, kept: Kept) -> None:
        if run is None and self._is_elsewhere(kept):
            message = (
                f"Response with id '{self._id}' runs in another worker process of this gateway, which this connection "
                "does not reach: try again on a new one, or get the response without stream until it has ended."
            )
            raise ClientFault(message, Kind.OVERLOADED, status=503)

    async def _say(self, body: bytes) -> None:
        headers = encode_headers({"content-type": "application/json", **self._headers})
        await self._delivery.attend(lambda: self._delivery.respond(200, headers, body))

    @property
    def _headers(self) -> dict[str, str]:
        return dict.fromkeys(("x-request-id", "request-id", "x-millstream-id"), self._record.id)

    async def _stream_again(self, run: Run | None) -> None:
        after = _number(self._params, "starting_after", -1, least=-1)
        if run is None:
            message = "stream: the events of this response are not held (any more); get it without stream"
            raise ClientFault(message, param="stream")
        await follow(run, after, self._delivery, self._headers)

    async def _cancel(self, run: Run | None, kept: Kept) -> None:
        if not kept.background:
            raise ClientFault("Only responses created with background=true can be cancelled.")
        if run is not None:
            run.cancel()
            await _ended(run)
        await self._say(self._state(run, kept))

    async def _delete(self, run: Run | None) -> None:
        if run is not None:
            run.cancel()
            await _ended(run)
        self._runs.forget(self._id)
        await self._keeper.forget(self._id)
        await self._say(msgspec.json.encode({"id": self._id, "object": "response", "deleted": True}))

    async def _list(self, kept: Kept) -> None:
        before = await self._keeper.history(kept.previous, self._owner) if kept.previous else None
        items = listed([*(before.items if before else ()), *kept.input], self._id)
        if self._params.get("order", "desc") != "asc":
            items.reverse()
        await self._say(msgspec.json.encode(_page(items, self._params)))


async def _ended(run: Run) -> None:
    """An upstream that is closed keeps nobody waiting; if it did, this would say so."""
    try:
        async with asyncio.timeout(_END_TIMEOUT_S):
            while not run.done:
                await run.news()
    except TimeoutError as error:
        raise GatewayBug(f"the response did not end within {_END_TIMEOUT_S:g} s") from error


def _page(items: list[dict[str, Any]], params: Mapping[str, str]) -> dict[str, Any]:
    limit = _number(params, "limit", _PAGE, least=1, most=_MOST_PER_PAGE)
    after = params.get("after")
    if after is not None:
        numbers = [number for number, item in enumerate(items) if item["id"] == after]
        if not numbers:
            raise ClientFault(f"after: no item with id '{after}'", param="after")
        items = items[numbers[0] + 1 :]
    page = items[:limit]
    edges = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
    return {"object": "list", "data": page, **edges, "has_more": len(items) > limit}


def _number(params: Mapping[str, str], name: str, default: int, *, least: int, most: int = 2**53) -> int:
    text = params.get(name)
    if text is None:
        return default
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20) or not least <= int(text) <= most:
        raise ClientFault(f"{name}: expected an integer from {least} to {most}, got {text!r}", param=name)
    return int(text)
