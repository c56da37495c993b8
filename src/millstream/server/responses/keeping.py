"""Replies that are kept: written down when they end, found by their id, strung together as conversations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from millstream.core.errors import ClientFault, GatewayBug, Kind
from millstream.dialects.openai_responses.held import UNDER_WAY
from millstream.dialects.openai_responses.state import Item
from millstream.server.responses.tasks import Tasks
from millstream.sessions.base import SessionStore, StoreError
from millstream.telemetry import logs

_PREFIX = "responses/"

_LOOKS = 5
_LOOK_AGAIN_S = 0.02
"""Another process may have told its client of a reply that it is about to write down."""


class Kept(msgspec.Struct, frozen=True):
    """One reply. ``input`` is what its own request said; what came before is that of ``previous``."""

    owner: str
    input: list[dict[str, Any]]
    response: msgspec.Raw
    previous: str | None = None
    background: bool = False


class _State(msgspec.Struct, frozen=True):
    id: str
    status: str = ""
    created_at: float = 0.0
    output: list[dict[str, Any]] = []


@dataclass(frozen=True, slots=True)
class History:
    """What the model has seen of a conversation. ``stored``: a reply that is kept may point to it."""

    items: list[Item]
    stored: bool


class Keeper:
    """Over one store. ``keep_for`` is in seconds; ``max_bytes`` bounds a conversation that is put together; ``alone``:
    no other process writes to the store."""

    def __init__(
        self,
        store: SessionStore,
        tasks: Tasks,
        now: Callable[[], float],
        keep_for: float,
        max_bytes: int,
        *,
        alone: bool = True,
    ) -> None:
        self._store = store
        self._tasks = tasks
        self._now = now
        self._keep_for = keep_for
        self._max_bytes = max_bytes
        self._looks = 1 if alone else _LOOKS
        self._unwritten: dict[str, Kept] = {}

    def keep(self, reply_id: str, kept: Kept) -> None:
        """Findable at once; in the store soon after."""
        self._unwritten[reply_id] = kept
        self._tasks.start(self._write(reply_id, kept))

    async def find(self, reply_id: str, owner: str) -> Kept | None:
        """Raises ``GatewayBug`` where the store cannot be read."""
        kept = self._unwritten.get(reply_id) or await self._read(reply_id)
        for look in range(1, self._looks):
            if kept is not None:
                break
            await asyncio.sleep(_LOOK_AGAIN_S * look)
            kept = await self._read(reply_id)
        return kept if kept is not None and kept.owner == owner else None

    async def forget(self, reply_id: str) -> None:
        self._unwritten.pop(reply_id, None)
        try:
            await self._store.delete(_PREFIX + reply_id)
        except StoreError as error:
            raise _broken(error) from error

    async def history(self, reply_id: str, owner: str) -> History | None:
        """Everything up to and with the reply ``reply_id``; None if there is no such reply.

        Raises ``ClientFault`` if it has not ended, or if what was before it is no longer there.
        """
        found: list[Kept] = []
        size = 0
        step: str | None = reply_id
        while step is not None:
            kept = await self.find(step, owner)
            if kept is None and not found:
                return None
            if kept is None:
                raise _lost(reply_id, step)
            size += len(kept.response) + sum(len(msgspec.json.encode(item)) for item in kept.input)
            if size > self._max_bytes:
                raise ClientFault(f"the conversation is larger than {self._max_bytes} bytes", Kind.TOO_LARGE)
            found.append(kept)
            step = kept.previous
        if state_of(found[0]).status in UNDER_WAY:
            message = f"Previous response with id '{reply_id}' has not ended yet."
            raise ClientFault(message, param="previous_response_id")
        turns = reversed(found)
        return History([item for kept in turns for item in (*kept.input, *state_of(kept).output)], stored=True)

    async def _write(self, reply_id: str, kept: Kept) -> None:
        expires = self._now() + self._keep_for
        try:
            if self._unwritten.get(reply_id) is kept:
                fits = await self._store.put(_PREFIX + reply_id, msgspec.json.encode(kept), expires)
                if not fits:
                    logs.logger.warning("response %s is larger than sessions.max_bytes and was not kept", reply_id)
        except StoreError as error:
            logs.logger.warning("response %s was not kept: %s", reply_id, error)
        finally:
            if self._unwritten.get(reply_id) is kept:
                del self._unwritten[reply_id]

    async def _read(self, reply_id: str) -> Kept | None:
        try:
            data = await self._store.get(_PREFIX + reply_id)
            return None if data is None else msgspec.json.decode(data, type=Kept)
        except StoreError as error:
            raise _broken(error) from error
        except msgspec.MsgspecError as error:
            raise _broken(StoreError(f"response {reply_id} is stored in an unknown form: {error}")) from error


def state_of(kept: Kept) -> _State:
    return msgspec.json.decode(kept.response, type=_State)


def is_under_way(kept: Kept) -> bool:
    return state_of(kept).status in UNDER_WAY


def listed(kept: Sequence[Item], reply_id: str) -> list[dict[str, Any]]:
    """Input items as ``GET …/input_items`` gives them: with ids, and text in parts."""
    return [_with_id(dict(item), f"{reply_id.removeprefix('resp_')}_{number}") for number, item in enumerate(kept)]


def _with_id(item: dict[str, Any], number: str) -> dict[str, Any]:
    kind = item.setdefault("type", "message")
    item.setdefault("id", f"{'msg' if kind == 'message' else 'item'}_{number}")
    if kind == "message":
        if isinstance(item.get("content"), str):
            part = (
                {"type": "output_text", "annotations": []}
                if item.get("role") == "assistant"
                else {"type": "input_text"}
            )
            item["content"] = [{**part, "text": item["content"]}]
        item.setdefault("status", "completed")
    return item


def not_found(reply_id: str) -> ClientFault:
    message = (
        f"Response with id '{reply_id}' not found. This gateway holds replies of upstreams that speak another API; "
        "those of a Responses upstream are held there, and only while they have not expired or been deleted."
    )
    return ClientFault(message, Kind.NOT_FOUND, code="not_found_error")


def previous_not_found(reply_id: str) -> ClientFault:
    message = f"Previous response with id '{reply_id}' not found."
    return ClientFault(
        message, Kind.NOT_FOUND, status=400, code="previous_response_not_found", param="previous_response_id"
    )


def _lost(reply_id: str, step: str) -> ClientFault:
    fault = previous_not_found(step)
    fault.message += f" It comes before '{reply_id}' and has expired or been deleted; send the whole input instead."
    return fault


def _broken(error: StoreError) -> GatewayBug:
    logs.logger.error("%s", error)
    return GatewayBug("stored responses cannot be read; the gateway's log says why")
