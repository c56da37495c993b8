"""The runs of this process, and the way to those of others that share its journal."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import msgspec

from millstream.agent.approval import Verdict
from millstream.core.errors import ClientFault, GatewayBug, Kind, PolicyRefusal, UpstreamFault
from millstream.core.run_events import RunEnd, RunEntry, RunStart, Status, decode_entry, encode_entry
from millstream.server.identity import caller, on_behalf_of
from millstream.server.model_api import Deliveries
from millstream.server.responses.tasks import Tasks
from millstream.server.runs.notes import ASKED, Asked, RunNotes, begin_anew, take_notes
from millstream.server.runs.reader import Reader
from millstream.server.runs.run import OnDisconnect, Producer, Run, RunAbout
from millstream.server.runs.watch import Answer, Answered, Cancel, Watch
from millstream.sessions.base import StoreError
from millstream.sessions.journal import Journal, JournalError, NoSuchStream, StreamInfo
from millstream.telemetry import logs

PREFIX = "runs/"
"""Of the keys of runs in the journal; what follows is the run's id."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")
RECOVERED = "recovered"
"""The ``Status`` of a run that another process goes on with."""

_CATCH_UP_S = 5.0
"""How long a reader who has seen more than the journal has is waited for: the rest may be on its way."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """As ``[runs]`` of the configuration has them."""

    limit: float = 300.0
    most: int = 1000
    keep_for: float = 24 * 3600.0
    held: int = 1024 * 1024
    durable: bool = False
    recover: bool = False
    """Runs whose process died are gone on with. They are durable: nobody has been told more than is written down."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """A run whose process died: ``request`` as it was given at its start, the ``turns`` that were noted of it, and its
    ``entries`` so far."""

    id: str
    about: RunAbout
    request: bytes
    turns: Sequence[bytes]
    entries: Sequence[RunEntry]


Revive = Callable[[Orphan], Producer | None]
"""What goes on with it; None where nothing can."""


class RunExists(Exception):
    """There is a run of this id already: attach to it."""


class Runs:
    """``async with`` it where the application begins and ends. ``holder`` is this process, among those that share the
    journal."""

    def __init__(
        self,
        journal: Journal,
        deliveries: Deliveries,
        now: Callable[[], float],
        new_id: Callable[[], str],
        holder: str,
        options: RunOptions,
        revive: Revive | None = None,
        answer: Answer | None = None,
    ) -> None:
        """``answer`` takes what other processes' clients answer to questions of the runs here."""
        self.journal = journal
        self.options = options
        self.now = now
        self.resumes = 0
        """How often a run was read on from the middle."""
        self._deliveries = deliveries
        self._new_id = new_id
        self._holder = holder
        self._tasks = Tasks()
        self._here: dict[str, Run] = {}
        self._revive = revive
        self._watch = Watch(journal, holder, now, self._here, PREFIX, self._take_over, answer)
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._watching = asyncio.create_task(self._watch.keep_watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while self._here:  # the server interrupts them when they may go on no longer
                await next(iter(self._here.values())).finished.wait()
        finally:
            if self._watching is not None:
                self._watching.cancel()
                await asyncio.wait({self._watching})
            await self._tasks.__aexit__(kind, error, trace)

    def is_here(self, run_id: str) -> bool:
        """Under way in this process."""
        return run_id in self._here

    def new_id(self) -> str:
        return f"run_{self._new_id().rpartition('_')[2]}"

    async def start(
        self,
        run_id: str,
        about: RunAbout,
        producer: Producer,
        *,
        on_disconnect: OnDisconnect = "detach",
        asked: Callable[[], bytes] | None = None,
    ) -> Run:
        """Begin a run. Whoever wants to read it opens it next. ``asked`` gives its request, for another process to go
        on with it where runs are recovered.

        Raises ``RunExists``, ``ClientFault`` for an id that cannot be one, ``PolicyRefusal`` (429) where there are too
        many, and ``UpstreamFault`` (503) where it has to be kept but cannot be.
        """
        if not _ID.fullmatch(run_id):
            raise ClientFault("run_id: write up to 128 letters, digits, and _ . : -", param="run_id")
        if len(self._here) >= self.options.most:
            message = f"{self.options.most} runs are under way already (runs.most)"
            raise PolicyRefusal(message, Kind.RATE_LIMIT, retry_after=10)
        if run_id in self._here:
            raise RunExists
        run = self._made(run_id, about, on_disconnect)
        self._here[run_id] = run
        try:
            await self._create(run, asked)
        except BaseException:
            del self._here[run_id]
            raise
        self._deliveries.add(run)
        self._tasks.start(self._to_its_end(run, producer, self.options.limit))
        return run

    def _made(self, run_id: str, about: RunAbout, on_disconnect: OnDisconnect) -> Run:
        return Run(
            run_id,
            msgspec.structs.replace(about, holder=self._holder),
            self.journal,
            PREFIX + run_id,
            self.now,
            on_disconnect=on_disconnect,
            held=self.options.held,
            durable=self._durable,
        )

    @property
    def _durable(self) -> bool:
        return self.options.durable or self.options.recover

    async def _take_over(self, info: StreamInfo) -> bool:
        """Go on with a run whose process died, and whose lease is ours by now."""
        run_id = info.key.removeprefix(PREFIX)
        if await self._goes_on(run_id, info):
            return True
        if self.options.recover:
            await self._forget(run_id)
        return False

    async def _goes_on(self, run_id: str, info: StreamInfo) -> bool:
        if self._revive is None or not self.options.recover or len(self._here) >= self.options.most:
            return False
        try:
            asked, turns, noted = await take_notes(self.journal, run_id)
            entries = await self._all(info)
            with on_behalf_of(asked.caller):
                producer = self._revive(Orphan(run_id, about_of(info), bytes(asked.request), turns, entries))
            if producer is None:
                return False
            run = self._made(run_id, about_of(info), "detach")
            run.notes = RunNotes(self.journal, run_id, noted, run.written)
            at = max(int(self.now() * 1000), entries[-1].at if entries else 0)
            news = Status(RECOVERED) if entries else RunStart(run_id, run.about.model, run.about.session_id)
            entry = encode_entry(info.last + 1, at, news)
            await self.journal.append(info.key, [entry.data], expected=info.last, about=msgspec.json.encode(run.about))
        except JournalError:
            return False
        run.go_on_after([*entries, entry])
        self._here[run_id] = run
        self._deliveries.add(run)
        left = self.options.limit - (self.now() - info.created)
        with on_behalf_of(asked.caller):
            self._tasks.start(self._to_its_end(run, producer, max(left, 1.0)))
        return True

    async def _all(self, info: StreamInfo) -> list[RunEntry]:
        """Raises ``JournalError`` where the beginning is gone."""
        entries: list[RunEntry] = []
        while len(entries) < info.last:
            batch = await self.journal.read(info.key, len(entries))
            entries += [decode_entry(batch.first + place, data) for place, data in enumerate(batch.entries)]
        return entries

    async def _create(self, run: Run, asked: Callable[[], bytes] | None) -> None:
        expires = self.now() + self.options.keep_for
        first = False
        request: Asked | None = None
        try:
            if asked is not None and self.options.recover:  # first, since from the next step on it may be left
                request = Asked(caller(), msgspec.Raw(asked()))
                first = await self.journal.create(ASKED + run.id, msgspec.json.encode(request), expires)
            if not await self.journal.create(run.key, msgspec.json.encode(run.about), expires):
                if first:
                    await self.journal.delete(ASKED + run.id)
                raise RunExists
            if request is not None:
                await self._note(run, None if first else request)
            await self._watch.lease(run)
        except StoreError as error:
            if self._durable:
                message = f"the run cannot be kept: {error}"
                raise UpstreamFault(message, Kind.OVERLOADED, status=503, code="journal_unreachable") from error
            logs.logger.warning("run %s is not kept: %s", run.id, error)
            run.writer.give_up()

    async def _note(self, run: Run, request: Asked | None) -> None:
        """``request`` where another run of that id left its own behind."""
        try:
            noted = 0 if request is None else await begin_anew(self.journal, run.id, request)
        except JournalError:
            return  # whoever else wanted to begin it took it away: nobody will go on with this one
        run.notes = RunNotes(self.journal, run.id, noted, run.written)

    async def _to_its_end(self, run: Run, producer: Producer, limit: float) -> None:
        try:
            await run.work(producer, limit)
        finally:
            self._deliveries.discard(run)
            del self._here[run.id]
        if self.options.recover:
            await self._forget(run.id)

    async def _forget(self, run_id: str) -> None:
        """What was asked, once nobody will go on with it."""
        try:
            await self.journal.delete(ASKED + run_id)
        except StoreError as error:
            logs.logger.warning("the request of run %s is kept until it expires: %s", run_id, error)

    async def open(self, run_id: str, owner: str, after: int = 0) -> Reader | None:
        """A reader of what follows number ``after``, to be closed by whoever has it; None where nothing follows and
        nothing will.

        Raises ``ClientFault``: 404 for a run that is not there, or not ``owner``'s; 400 for a number beyond its end.
        """
        self.resumes += after > 0
        run = self._here.get(run_id)
        if run is not None:
            if run.about.owner != owner:
                raise _unknown(run_id)
            if after > run.tail.last:
                raise _beyond(after, run.tail.last)
            return None if run.nothing_after(after) else Reader(self.journal, run.key, run, after)
        info = await self._caught_up(run_id, owner, after)
        if info.sealed and after >= info.last:
            if after > info.last:
                await self._check_lost(info, after)
            return None
        return Reader(self.journal, info.key, None, after)

    async def read(self, run_id: str, owner: str) -> Reader:
        """A reader of all of it, to be closed by whoever has it. Raises as ``open`` does."""
        reader = await self.open(run_id, owner)
        if reader is None:
            raise GatewayBug(f"run {run_id} has no events")
        return reader

    async def _caught_up(self, run_id: str, owner: str, after: int) -> StreamInfo:
        deadline = asyncio.get_running_loop().time() + _CATCH_UP_S
        while True:
            info = await self.info(run_id, owner)
            left = deadline - asyncio.get_running_loop().time()
            if after <= info.last or info.sealed:
                return info
            if left <= 0 or not await self.journal.wait(info.key, info.last, left):
                raise _beyond(after, info.last)

    async def _check_lost(self, info: StreamInfo, after: int) -> None:
        """A reader has seen more than was kept: that can be, if the gateway died before it wrote all of it down."""
        batch = await self.journal.read(info.key, info.last - 1)
        event = decode_entry(info.last, batch.entries[-1]).event
        if not (isinstance(event, RunEnd) and event.reason == "lost"):
            raise _beyond(after, info.last)
        message = (
            f"the run broke off, and what it had said after event {info.last - 2} was not written down; "
            f"you have its events to number {after}, and there are no more"
        )
        raise ClientFault(message, Kind.NOT_FOUND, status=410, code="run_lost")

    async def info(self, run_id: str, owner: str) -> StreamInfo:
        """Raises ``ClientFault`` (404)."""
        try:
            info = await self.journal.info(PREFIX + run_id)
        except NoSuchStream:
            raise _unknown(run_id) from None
        if about_of(info).owner != owner:
            raise _unknown(run_id)
        return info

    async def listed(self, owner: str, most: int = 100) -> Sequence[tuple[StreamInfo, RunAbout]]:
        """Those of ``owner``, the newest first."""
        infos = [(info, about_of(info)) for info in await self.journal.list(PREFIX)]
        return [(info, about) for info, about in infos if about.owner == owner][:most]

    async def cancel(self, run_id: str, owner: str) -> bool:
        """Whichever process works on it. False where it has ended. Raises ``ClientFault`` (404)."""
        run = self._here.get(run_id)
        if run is not None and run.about.owner == owner:
            run.cancel()
            return True
        info = await self.info(run_id, owner)
        if info.sealed:
            return False
        try:
            await self._watch.tell(about_of(info).holder, Cancel(run_id))
        except JournalError:
            return True  # its gateway has died; the run is sealed soon
        return True

    async def pass_on(self, run_id: str, owner: str, question: str, verdict: Verdict) -> None:
        """The answer to a question of a run, to the process that it runs in. Raises ``ClientFault`` (404)."""
        info = await self.info(run_id, owner)
        with suppress(JournalError):  # its gateway has died; the run goes on elsewhere, or is sealed soon
            await self._watch.tell(about_of(info).holder, Answered(run_id, question, owner, verdict))

    async def delete(self, run_id: str, owner: str) -> None:
        """Cancelled if it is under way, and forgotten. Raises ``ClientFault`` (404)."""
        run = self._here.get(run_id)
        await self.cancel(run_id, owner)
        if run is not None:
            await run.finished.wait()
        await self.journal.delete(PREFIX + run_id)


def about_of(info: StreamInfo) -> RunAbout:
    try:
        return msgspec.json.decode(info.about, type=RunAbout)
    except msgspec.MsgspecError as error:
        raise GatewayBug(f"the journal has {info.key} as something else than a run") from error


def _unknown(run_id: str) -> ClientFault:
    return ClientFault(f"there is no run {run_id!r}, or it is kept no longer", Kind.NOT_FOUND, code="run_not_found")


def _beyond(after: int, last: int) -> ClientFault:
    return ClientFault(f"event {after} is beyond the run's last one, {last}", code="past_end", param="last-event-id")


def unreachable(error: StoreError) -> UpstreamFault:
    """What a client is told that asked for something which only the journal knows."""
    return UpstreamFault(f"the journal cannot be reached: {error}", status=503)
