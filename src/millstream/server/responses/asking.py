"""A request for a reply, made ready: what it builds on is found, and what becomes of its reply is decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from millstream.core.errors import ClientFault, Kind
from millstream.dialects.base import ClientCall, Dialect
from millstream.dialects.openai_responses import wire
from millstream.dialects.openai_responses.held import HeldResponses, QueuedResponses
from millstream.dialects.openai_responses.state import Item, continued, input_items
from millstream.pipeline import Gateway
from millstream.policy.caller import Owner
from millstream.server.responses.keeping import History, Keeper, Kept, previous_not_found

_OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})


class _State(msgspec.Struct):
    """What a request says of state. The API takes null for all of it."""

    previous_response_id: str | None = None
    store: bool | None = None
    background: bool | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """``call`` goes through the gateway in ``dialect``. ``held``: the reply is ours, and its id is ``reply_id``."""

    call: ClientCall
    dialect: Dialect
    reply_id: str
    held: bool
    store: bool
    background: bool
    keep: Callable[[bytes], None]
    """Writes down a state of the response object, if it is to be stored."""


Find = Callable[[str], History | None]
"""Replies that only the asker knows (those of one connection)."""


class Asking:
    """``ended`` is told of each final response object of ours. ``runs_tools``: the call's tools run here, so that its
    reply is made of several of the upstream's, and none of them is what the client goes on from."""

    def __init__(
        self,
        gateway: Gateway,
        dialect: Dialect,
        keeper: Keeper,
        owner: Owner,
        max_bytes: int,
        runs_tools: Callable[[ClientCall], bool],
    ) -> None:
        self._runs_tools = runs_tools
        self._gateway = gateway
        self._dialect = dialect
        self._keeper = keeper
        self._owner = owner
        self._max_bytes = max_bytes

    async def prepare(
        self,
        call: ClientCall,
        request_id: str,
        *,
        known: Find = lambda _: None,
        ended: Callable[[bytes], None] = lambda _: None,
    ) -> Asked:
        """Raises ``ClientFault`` for a body that cannot be read, a model or an earlier reply that is not known."""
        envelope = self._dialect.peek(call)
        route = self._gateway.routes.resolve(envelope.model)
        native = self._gateway.upstreams[route.provider].provider.dialect.name == wire.NAME
        state = _state(call.body)
        previous = state.previous_response_id
        history = await self._history(previous, known) if previous else None
        if history is None and previous and not native:
            raise previous_not_found(previous)
        ours = not native or ((history is not None or not previous) and self._runs_tools(call))
        if history is not None:
            call = self._continued(call, history, previous if ours else None)
        reply_id = f"resp_{request_id.removeprefix('ms_')}"
        if not ours:
            dialect = QueuedResponses() if state.background else self._dialect
            return Asked(call, dialect, reply_id, False, False, False, lambda _: None)
        store, background = state.store is not False, state.background is True
        linked = history is not None and history.stored
        own = input_items(call.body)[len(history.items) if history is not None and linked else 0 :] if store else []
        if background and not store:
            raise ClientFault("background: a reply that runs in the background must be stored", param="background")

        owner = self._owner()

        def keep(response: bytes) -> None:
            if store:
                before = previous if linked else None
                kept = Kept(owner, [dict(item) for item in own], msgspec.Raw(response), before, background)
                self._keeper.keep(reply_id, kept)

        def end(response: bytes) -> None:
            ended(response)
            keep(response)

        held = HeldResponses(reply_id, end, started=background)
        return Asked(call, held, reply_id, True, store, background, keep)

    async def _history(self, reply_id: str, known: Find) -> History | None:
        return known(reply_id) or await self._keeper.history(reply_id, self._owner())

    def _continued(self, call: ClientCall, history: History, echoed: str | None) -> ClientCall:
        """The call with its whole input. ``echoed`` is the id that the reply is to say it continues."""
        references = {item["id"]: item for item in history.items if isinstance(item.get("id"), str)}
        _check_outputs(history.items, input_items(call.body))
        body = continued(call.body, history.items, references)
        if len(body) > self._max_bytes:
            raise ClientFault(f"the conversation is larger than {self._max_bytes} bytes", Kind.TOO_LARGE)
        if echoed is not None:
            said: dict[str, Any] = msgspec.json.decode(body)
            body = msgspec.json.encode({**said, "previous_response_id": echoed})
        return replace(call, body=body)


def _state(body: bytes) -> _State:
    try:
        return msgspec.json.decode(body, type=_State)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ClientFault(f"the request cannot be read: {error}") from error


def _check_outputs(before: Sequence[Item], new: Sequence[Item]) -> None:
    """Raises ``ClientFault`` for the result of a call that nobody made, which this API refuses."""
    made = {item.get("call_id") for item in (*before, *new) if item.get("type") not in _OUTPUTS}
    for item in new:
        if item.get("type") in _OUTPUTS and item.get("call_id") not in made:
            message = f"No tool call found for function call output with call_id {item.get('call_id')}."
            raise ClientFault(message, param="input")


def whole_input(call: ClientCall) -> list[Item]:
    """All that the model is given by ``call``, once it has been made ready."""
    return list(input_items(call.body))
