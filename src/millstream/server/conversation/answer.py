"""One answer, however many models have to be asked for it: nothing is tried again once something of it was said."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Protocol

import msgspec

from millstream.agent.left import BLOCKS, Left
from millstream.agent.run import AgentOptions, AgentRun
from millstream.agent.toolbox import Toolbox
from millstream.core.assemble import error_of
from millstream.core.errors import GatewayBug, Kind, MillstreamError, PolicyRefusal, UpstreamFault
from millstream.core.events import CONTENT_EVENTS, ChoiceEnd, Fault, Finish, MessageStart, TextDelta
from millstream.core.messages import Request
from millstream.core.run_events import RunEntry, RunEvent, Switched
from millstream.pipeline import Gateway, Record
from millstream.server.conversation.whole import whole_call
from millstream.server.runs.run import RunSink

_SAME_EITHER_WAY = frozenset(
    {
        Kind.AUTHENTICATION,
        Kind.PERMISSION,
        Kind.BILLING,
        Kind.NOT_FOUND,
        Kind.RATE_LIMIT,
        Kind.CONTEXT_LENGTH,
        Kind.TOO_LARGE,
        Kind.SHUTDOWN,
    }
)
"""What a provider refuses as a stream for such a reason, it refuses as a whole reply too."""

_SILENT = "silent"


class Call(Protocol):
    """One try."""

    def __call__(self, sink: RunSink) -> Awaitable[None]: ...


class Answer:
    """Passes the events of tries on to ``sink``, as those of one reply. ``ending`` is held back, as more may have to be
    said before. Beyond ``most`` pieces of text the answer is broken off. ``before`` is what another process had said of
    it."""

    def __init__(self, sink: RunSink, most: int, before: Sequence[RunEntry] = ()) -> None:
        self.pieces = [entry.event.text for entry in before if isinstance(entry.event, TextDelta)]
        self.content = has_begun(before)
        """Something was said: this try is the last."""
        self.finished = False
        """It is whole."""
        self.ending: list[RunEvent] = []
        self._sink = sink
        self._most = most
        self._begun = any(isinstance(entry.event, MessageStart) for entry in before)
        self._fault: Fault | None = None
        self._overflow: PolicyRefusal | None = None
        self._waiting: asyncio.Timeout | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def take(self, events: Sequence[RunEvent]) -> Awaitable[None] | None:
        """As ``RunSink``, for tries."""
        said = [event for event in events if self._passes(event)]
        return self._sink.take(said) if said else None

    def _passes(self, event: RunEvent) -> bool:
        if self._overflow is not None:
            return False
        if type(event) is TextDelta:
            if len(self.pieces) >= self._most:
                self._break_off()
                return False
            self.pieces.append(event.text)
        elif isinstance(event, MessageStart):
            first, self._begun = not self._begun, True
            return first
        elif isinstance(event, Fault):
            self._fault = event
            return False
        elif isinstance(event, ChoiceEnd | Finish):
            self.ending.append(event)
            return False
        elif type(event) in CONTENT_EVENTS and not self.content:
            self.content = True
            self._wait_until(None)
        return True

    def _break_off(self) -> None:
        message = f"the answer has more than {self._most} pieces (conversation.max_chunks)"
        self._overflow = PolicyRefusal(message, Kind.TOO_LARGE, code="chunk_limit")
        self._wait_until(asyncio.get_running_loop().time())

    def _wait_until(self, when: float | None) -> None:
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(when)

    async def attempt(self, call: Call, patience: float | None) -> MillstreamError | None:
        """The error that ``call`` ended with, if any. It may say nothing for ``patience`` seconds."""
        self._fault, self.ending = None, []
        try:
            async with asyncio.timeout(patience) as self._waiting:
                await call(self)
        except TimeoutError:
            if self._overflow is not None:
                return self._overflow
            message = f"the model said nothing for {patience} s (conversation.patience)"
            return UpstreamFault(message, Kind.TIMEOUT, code=_SILENT)
        except MillstreamError as error:
            return error
        finally:
            self._waiting = None
        return self._outcome()

    def _outcome(self) -> MillstreamError | None:
        if self._overflow is not None:
            return self._overflow
        if self._fault is not None:
            return error_of(self._fault)
        if not any(isinstance(event, Finish) for event in self.ending):
            return GatewayBug("the answer has no end")
        if not self.content:
            return UpstreamFault("the model's answer is empty", Kind.MALFORMED)
        self.finished = True
        return None


def has_begun(said: Sequence[RunEntry]) -> bool:
    """Something of the answer was said: another one may not begin."""
    return any(isinstance(entry.event, BLOCKS) for entry in said)


class Attempts:
    """Asks ``request.model`` and, for as long as nothing was said, ``fallback``: each for a stream, and for its whole
    reply where the stream failed in a way of its own. A model after which there is another is given ``patience``
    seconds for its first word. ``left`` is what another process had said, if it had begun: that is gone on with."""

    def __init__(
        self,
        gateway: Gateway,
        request: Request,
        record: Record,
        fallback: Sequence[str],
        patience: float,
        left: Left | None = None,
    ) -> None:
        """Raises ``ClientFault`` or ``PolicyRefusal`` where there is no such model to ask first."""
        self._gateway = gateway
        self._request = request
        self._record = record
        self._models = (request.model, *fallback)
        self._patience = patience
        self._first: AgentRun | None = self._run_of(request, left)

    async def run(self, answer: Answer) -> MillstreamError | None:
        """The error it ended with, if any."""
        error: MillstreamError | None = None
        for place, model in enumerate(self._models):
            request = msgspec.structs.replace(self._request, model=model)
            if error is not None:
                self._record.error = None
                answer.take([Switched(model, f"the model before failed: {error.message}")])
            patience = self._patience if place + 1 < len(self._models) else None
            error = await answer.attempt(self._stream(request), patience)
            if error is not None and not answer.content and _may_help(error):
                answer.take([Switched(model, f"its whole reply is asked for, since streaming failed: {error.message}")])
                error = await answer.attempt(self._whole(request), patience)
            if error is None or answer.content:
                break
        self._record.error = error
        return error

    def _stream(self, request: Request) -> Call:
        async def call(sink: RunSink) -> None:
            run, self._first = self._first or self._run_of(request), None
            await run.run(sink)

        return call

    def _whole(self, request: Request) -> Call:
        return lambda sink: whole_call(self._gateway, request, self._record, sink)

    def _run_of(self, request: Request, left: Left | None = None) -> AgentRun:
        return AgentRun(self._gateway, Toolbox(), AgentOptions(), request, self._record, left=left)


def _may_help(error: MillstreamError) -> bool:
    """Another way to ask the same model."""
    return isinstance(error, UpstreamFault) and error.kind not in _SAME_EITHER_WAY and error.code != _SILENT
