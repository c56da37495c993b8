"""One run, from its first event to its last."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

import msgspec

from millstream.core.errors import DEFAULT_STATUS, GatewayBug, Kind, MillstreamError, PolicyRefusal
from millstream.core.events import (
    ChoiceEnd,
    Fault,
    Finish,
    MessageStart,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from millstream.core.messages import FinishReason
from millstream.core.messages import Usage as TokenUsage
from millstream.core.run_events import (
    RunEnd,
    RunEntry,
    RunEvent,
    RunStart,
    Status,
    StepStart,
    ToolRunEnd,
    encode_entry,
)
from millstream.server.runs.notes import RunNotes
from millstream.server.runs.writing import LOST, Writer
from millstream.sessions.fanout import Tail
from millstream.sessions.journal import Journal
from millstream.telemetry import logs

OnDisconnect = Literal["cancel", "drain", "detach"]
"""What becomes of a run when its last reader has left: it is cancelled; it ends unheard, and only its usage is kept; it
goes on, and everything is kept for whoever comes back."""

_CONTENT = (TextDelta, ReasoningDelta, ToolCallDelta)


class RunAbout(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of a run besides its events. ``holder`` is the process that works on it, ``surface`` the way it came
    in. Only its ``owner`` may read it."""

    holder: str
    owner: str = ""
    surface: str = ""
    model: str = ""
    session_id: str | None = None


class RunSink(Protocol):
    """Where a producer says what happens."""

    def take(self, events: Sequence[RunEvent]) -> Awaitable[None] | None:
        """None: go on. Else to be awaited before the next call."""
        ...


Producer = Callable[[RunSink], Awaitable[None]]
"""Makes a run's events: those of one reply, to its ``Finish`` or ``Fault``, and of the application lane what belongs
between. Of a ``RunStart`` and ``RunEnd`` of its own only the end's reason counts. What it raises instead of a ``Fault``
becomes one."""


class Run:
    """Under way in this process. Implements ``RunSink``. Times that are measured are the loop's, in seconds."""

    def __init__(
        self,
        run_id: str,
        about: RunAbout,
        journal: Journal,
        key: str,
        now: Callable[[], float],
        *,
        on_disconnect: OnDisconnect,
        held: int,
        durable: bool,
    ) -> None:
        self.id = run_id
        self.about = about
        self.key = key
        self.on_disconnect = on_disconnect
        self.tail: Tail[RunEntry] = Tail(held)
        self.writer = Writer(journal, key, self.tail, self._journal_lost, durable=durable)
        self.notes: RunNotes | None = None
        """Where another process might have to go on with it."""
        self.finished = asyncio.Event()
        """Its last entry is said, and kept if it ever will be."""
        self._now = now
        self._time = asyncio.get_running_loop().time
        self._began = self._time()
        self._number = 0
        self._at = 0
        self._readers = 0
        self._draining = False
        self._terminal: Finish | Fault | None = None
        self._told_end: RunEnd | None = None
        self._ending = False
        self._stop: MillstreamError | None = None
        self._task: asyncio.Task[object] | None = None
        self._first_text: float | None = None
        self._texts = 0
        self._steps = 0
        self._tool_calls = 0
        self._usage: TokenUsage | None = None
        self._finish_reason: FinishReason | None = None

    async def written(self) -> None:
        """Returns once all that was said is in the journal, if it is durable."""
        await self.tail.wait(self._number - 1)

    def go_on_after(self, entries: Sequence[RunEntry]) -> None:
        """Before its work begins: ``entries`` are what another process had written of it. Their numbers are counted
        on."""
        self.tail.last = self.tail.unsafe_after = self.writer.kept = self._number = len(entries)
        self._at = entries[-1].at
        self._began -= max(0.0, self._now() - entries[0].at / 1000)
        for entry in entries:
            if isinstance(entry.event, TextDelta):
                self._texts += 1
                if self._first_text is None:
                    self._first_text = (entry.at - entries[0].at) / 1000
            else:
                self._note(entry.event)

    @property
    def over(self) -> bool:
        return self.tail.closed

    def nothing_after(self, number: int) -> bool:
        """Number ``number`` is its last entry, and will be."""
        return self._ending and number == self._number

    def take(self, events: Sequence[RunEvent]) -> Awaitable[None] | None:
        if self._draining:
            events = [event for event in events if not isinstance(event, _CONTENT)]
        self._at = at = max(self._at, int(self._now() * 1000))  # a clock that is set back must not be seen
        number = self._number
        size = 0
        entries: list[RunEntry] = []
        for event in events:
            if type(event) is TextDelta:
                self._texts += 1
                if self._first_text is None:
                    self._first_text = self._time() - self._began
            elif not self._note(event):
                continue
            number += 1
            entry = encode_entry(number, at, event)
            size += len(entry.data)
            entries.append(entry)
        self._number = number
        return self.writer.add(entries, size) if entries else None

    def _note(self, event: RunEvent) -> bool:
        """What the run's end will tell. False for an event that has no place."""
        if isinstance(event, Usage | MessageStart):
            self._usage = event.usage or self._usage
        elif isinstance(event, ChoiceEnd):
            self._finish_reason = self._finish_reason or event.reason
        elif isinstance(event, StepStart):
            self._steps += 1
        elif isinstance(event, ToolRunEnd):
            self._tool_calls += 1
        elif isinstance(event, Finish | Fault):
            if self._terminal is not None:
                return False
            self._terminal = event
        elif isinstance(event, RunStart):
            return self._number == 0
        elif isinstance(event, RunEnd) and not self._ending:
            self._told_end = event  # of which the reason is news: the rest is counted here
            return False
        return True

    def joined(self) -> None:
        """A reader has come."""
        self._readers += 1

    def left(self) -> None:
        """A reader has gone, before the run's end or after it."""
        self._readers -= 1
        if self._readers or self.over or self._terminal is not None:
            return
        if self.on_disconnect == "cancel":
            self.cancel("its client left")
        elif self.on_disconnect == "drain" and not self._draining:
            self.take([Status("drained", "the client left; what was said from here on is not kept")])
            self._draining = True

    def cancel(self, why: str = "it was asked to stop") -> None:
        self.interrupt(
            PolicyRefusal(f"the run was cancelled: {why}", Kind.CANCELLED, status=DEFAULT_STATUS[Kind.CANCELLED])
        )

    def interrupt(self, reason: Exception) -> None:
        """It ends with ``reason``, unless it is at its end already."""
        if self._stop is not None or self._terminal is not None:
            return
        self._stop = reason if isinstance(reason, MillstreamError) else GatewayBug(str(reason))
        if self._task is not None:
            self._task.cancel()

    async def work(self, producer: Producer, limit: float) -> None:
        """To its end, whatever that is; at most ``limit`` seconds of it."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.writer.write())
                try:
                    error = await self._produced(producer, limit)
                    if self._terminal is None:
                        error = error or GatewayBug("the run ended without an end")
                        error.content_sent = self._texts > 0
                        self.take([Fault.of(error)])
                    self.take([self._end()])
                finally:
                    self.writer.close()
        finally:
            self.tail.close()
            self.finished.set()
            # Else what it has said would wait for the garbage collector, and that may be long.
            self.writer.let_go()
            self.notes = None

    async def _produced(self, producer: Producer, limit: float) -> MillstreamError | None:
        """The error it ended with, if any."""
        self.take([RunStart(self.id, self.about.model, self.about.session_id)])
        self._task = asyncio.current_task()
        timeout = asyncio.timeout(limit)
        try:
            async with timeout:
                if self._stop is None:
                    await producer(self)
        except asyncio.CancelledError:
            if self._stop is None or self._task is None:
                raise
            self._task.uncancel()
        except MillstreamError as error:
            return error
        except Exception as error:
            if timeout.expired():
                message = f"the run took longer than {limit:g} s (runs.limit)"
                return PolicyRefusal(message, Kind.TIMEOUT, code="run_limit")
            logs.logger.error("run %s failed", self.id, exc_info=error)
            return GatewayBug(f"an internal error; the gateway's log has it as {self.id}")
        finally:
            self._task = None
        return self._stop

    def _end(self) -> RunEnd:
        self._ending = True
        fault = self._terminal if isinstance(self._terminal, Fault) else None
        if fault is not None and fault.code == LOST:
            self._told_end, fault = RunEnd("lost"), None
        told = "finished" if self._told_end is None else self._told_end.reason
        reason = told if fault is None else "cancelled" if fault.kind is Kind.CANCELLED else "failed"
        return RunEnd(
            reason,
            steps=max(self._steps, 1),
            tool_calls=self._tool_calls,
            seconds=round(self._time() - self._began, 6),
            usage=self._usage,
            finish_reason=self._finish_reason,
            first_text=None if self._first_text is None else round(self._first_text, 6),
            texts=self._texts,
        )

    def _journal_lost(self) -> None:
        self.interrupt(GatewayBug("the run's journal is not its own any more", code="journal_lost", retryable=True))


def notes_of(sink: RunSink) -> RunNotes | None:
    """Where turns are noted of the run that ``sink`` is, if they are."""
    return sink.notes if isinstance(sink, Run) else None


async def settled(sink: RunSink) -> None:
    """Returns once all that was said is in the journal, where another process may have to go on from there."""
    if isinstance(sink, Run) and sink.notes is not None:
        await sink.written()
