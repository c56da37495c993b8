"""What a process does for runs besides running them: it says that it lives, hears what others ask of it, and ends the
runs of those that have died."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import msgspec

from millstream.agent.approval import Verdict
from millstream.core.errors import ClientFault, GatewayBug
from millstream.server.runs.run import Run
from millstream.server.runs.writing import LOST, last_words
from millstream.sessions.base import StoreError
from millstream.sessions.journal import Journal, JournalError, NoSuchStream, StreamInfo
from millstream.telemetry import logs

LEASE_S = 6.0
"""A process that has not said for so long that it works on a run does so no more."""

EVERY_S = 2.0
_CONTROL = "control/"
_CONTROL_FOR_S = 24 * 3600.0
_RETRY_S = 1.0


TakeOver = Callable[[StreamInfo], Awaitable[bool]]


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Somebody wants the run to end."""

    run_id: str


class Answered(msgspec.Struct, frozen=True, tag=True):
    """``owner`` has answered a question of the run."""

    run_id: str
    question: str
    owner: str
    verdict: Verdict


Wish = Cancel | Answered
Answer = Callable[[str, str, Verdict, str], object]
"""Gets run, question, verdict and owner. May raise ``ClientFault``."""


class Watch:
    """``runs`` are those of this process, which is called ``holder``. ``take_over`` goes on with a run that was left,
    or says false: then it is sealed."""

    def __init__(
        self,
        journal: Journal,
        holder: str,
        now: Callable[[], float],
        runs: Mapping[str, Run],
        prefix: str,
        take_over: TakeOver,
        answer: Answer | None = None,
    ) -> None:
        self._journal = journal
        self._holder = holder
        self._now = now
        self._runs = runs
        self._prefix = prefix
        self._take_over = take_over
        self._answer = answer
        self._control = _CONTROL + holder
        self._heard = 0

    async def keep_watch(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._again_and_again(self._hear, 0.0))
            group.create_task(self._again_and_again(self._renew_leases, EVERY_S))
            group.create_task(self._again_and_again(self._seal_orphans, EVERY_S))

    async def _again_and_again(self, duty: Callable[[], Awaitable[None]], every: float) -> None:
        failing = False
        while True:
            pause = every
            try:
                await duty()
                failing = False
            except (StoreError, JournalError) as error:
                if not failing:
                    logs.logger.warning("runs: %s", error)
                failing = True
                pause = max(every, _RETRY_S)
            except Exception:  # without its watch, every run of this process would be taken for left
                logs.logger.exception("runs: the watch stumbled")
                pause = max(every, _RETRY_S)
            await asyncio.sleep(pause)

    async def lease(self, run: Run) -> None:
        await self._journal.lease(run.key, self._holder, LEASE_S)

    async def _renew_leases(self) -> None:
        for run in list(self._runs.values()):
            if not (run.over or run.writer.given_up):
                try:
                    await self.lease(run)
                except JournalError:
                    continue  # deleted: its writer notices

    async def _seal_orphans(self) -> None:
        for info in await self._journal.orphans(self._prefix):
            run = self._runs.get(info.key.removeprefix(self._prefix))
            if run is not None and not run.writer.given_up:
                continue
            if info.leased_until == 0 and self._now() - info.created < LEASE_S:
                continue  # it has just been made
            await self._seal(info)

    async def _seal(self, info: StreamInfo) -> None:
        try:
            if not await self._journal.lease(info.key, self._holder, LEASE_S):
                return
            if await self._take_over(info):
                logs.logger.warning("%s was left by a gateway that died, and goes on here", info.key)
                return
            error = GatewayBug(
                f"the gateway that worked on this run died; what it said after event {info.last} was not written down",
                code=LOST,
                retryable=True,
            )
            await self._journal.seal(info.key, last_words(info.last, int(self._now() * 1000), error))
        except NoSuchStream:
            return
        logs.logger.warning("%s was left by a gateway that died, and is sealed", info.key)

    async def _hear(self) -> None:
        """What other processes ask for."""
        try:
            if not await self._journal.wait(self._control, self._heard, _CONTROL_FOR_S / 24):
                return
            batch = await self._journal.read(self._control, self._heard)
        except NoSuchStream:
            self._heard = 0
            await self._journal.create(self._control, b"", self._now() + _CONTROL_FOR_S)
            return
        self._heard += len(batch.entries)
        for entry in batch.entries:
            self._heed(msgspec.json.decode(entry, type=Wish))

    def _heed(self, wish: Wish) -> None:
        run = self._runs.get(wish.run_id)
        if run is None:
            return
        if isinstance(wish, Cancel):
            run.cancel()
        elif self._answer is not None:
            with suppress(ClientFault):  # it was checked where it was given
                self._answer(wish.run_id, wish.question, wish.verdict, wish.owner)

    async def tell(self, holder: str, wish: Wish) -> None:
        """A process that has only begun may not have made its stream yet, and finds the wish in it when it does."""
        key, said = _CONTROL + holder, [msgspec.json.encode(wish)]
        try:
            await self._journal.append(key, said)
        except NoSuchStream:
            await self._journal.create(key, b"", self._now() + _CONTROL_FOR_S)
            await self._journal.append(key, said)
