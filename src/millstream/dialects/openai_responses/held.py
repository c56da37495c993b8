"""Replies that are kept here, for clients whose upstream speaks another API and keeps nothing.

Their ids are ours. Who keeps them, and for how long, is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec

from millstream.core.errors import MillstreamError
from millstream.core.events import Event, MessageStart
from millstream.core.messages import Reply
from millstream.dialects.base import ReplyContext
from millstream.dialects.openai_responses import OpenAIResponses
from millstream.dialects.openai_responses.emit import SSE, Emitter
from millstream.dialects.openai_responses.errors import wire_error_event
from millstream.dialects.openai_responses.render import ResponsesRenderer, render_reply

UNDER_WAY = ("queued", "in_progress")
Ended = Callable[[bytes], None]
"""Takes the final response object, before the client has it."""


def error_event(error: MillstreamError, number: int) -> bytes:
    """A failure to go on telling a reply, which itself goes on."""
    emit = Emitter(SSE, number)
    emit.event(b"error", {"error": wire_error_event(error)})
    return b"".join(emit.take())


class HeldRenderer(ResponsesRenderer):
    """A reply under our own id, whatever id its upstream gave it."""

    def __init__(self, context: ReplyContext, ended: Ended) -> None:
        self._ended = ended
        super().__init__(context)

    def ended(self, final: bytes) -> None:
        self._ended(final)

    def opening(self) -> bytes:
        """What a client is told of a reply that nothing is known of yet: the two events that take the place of those
        at the beginning of an upstream's reply. Only for a renderer whose context has ``started``."""
        emit = Emitter(self._framing)
        emit.response(b"response.created", self.snapshot("queued"))
        emit.response(b"response.in_progress", self.snapshot("in_progress"))
        return b"".join(emit.take())

    def cancelled(self) -> bytes:
        """The end of a reply that was called off; nothing if it had ended. The API has no event of its own for it:
        ``response.failed`` is what clients take for an end, and the object in it says ``cancelled``."""
        if self._final is not None:
            return b""
        self._final = self.snapshot("cancelled")
        self._emit.response(b"response.failed", self._final)
        self._blocks.clear()
        self.ended(self._final)
        return b"".join(self._emit.take())

    def _begin(self, start: MessageStart) -> None:
        super()._begin(msgspec.structs.replace(start, id=""))


class HeldResponses(OpenAIResponses):
    """The dialect of one call whose reply is ours to keep: earlier replies in it have been resolved."""

    stateful: tuple[str, ...] = ("conversation", "prompt")

    def __init__(self, reply_id: str, ended: Ended, *, started: bool = False) -> None:
        """``started``: the client has the beginning of the reply, by ``HeldRenderer.opening``."""
        self._reply_id = reply_id
        self._ended = ended
        self._started = started

    def renderer(self, context: ReplyContext) -> HeldRenderer:
        return HeldRenderer(self._own(context), self._ended)

    def render_reply(self, reply: Reply, context: ReplyContext) -> bytes:
        body = render_reply(msgspec.structs.replace(reply, id=""), self._own(context))
        self._ended(body)
        return body

    def _own(self, context: ReplyContext) -> ReplyContext:
        return replace(context, reply_id=self._reply_id, started=context.started or self._started)


class QueuedResponses(OpenAIResponses):
    """The dialect of a call that an upstream of this API runs in the background: its answer need not be whole."""

    def parse_reply(self, body: bytes) -> list[Event]:
        try:
            queued = msgspec.json.decode(body, type=_Queued)
        except msgspec.MsgspecError:
            return super().parse_reply(body)
        return [MessageStart(queued.id, queued.model)] if queued.status in UNDER_WAY else super().parse_reply(body)


class _Queued(msgspec.Struct):
    id: str = ""
    model: str = ""
    status: str = ""
