"""What is noted of a run for others to go on with it: whose it is, what it asked, and who may still add to it."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from gateway_site import run
from run_site import ENDING, OPENING, all_of, runs_on

from millstream.core.errors import UpstreamFault
from millstream.core.messages import Message, TextPart
from millstream.policy.caller import ANYBODY, Caller
from millstream.server.identity import caller, on_behalf_of
from millstream.server.runs import watch
from millstream.server.runs.manager import Orphan
from millstream.server.runs.notes import ASKED, Asked
from millstream.server.runs.run import Producer, RunAbout, RunSink, notes_of
from millstream.sessions.journal_memory import MemoryJournal

ANN = Caller("ann", owner="ann")
ABOUT = RunAbout("", model="up/m")
TURN = Message("assistant", (TextPart("Let me look."),))
EVER = 10.0**6


async def _finish(sink: RunSink) -> None:
    sink.take([*OPENING, *ENDING])


class _Reviver:
    """Keeps what it was given, and whose turn it was when it went on. It ends the run once it ``may_end``."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.orphans: list[Orphan] = []
        self.callers: list[Caller] = []

    def __call__(self, orphan: Orphan) -> Producer:
        self.orphans.append(orphan)

        async def produce(sink: RunSink) -> None:
            self.callers.append(caller())
            self.begun.set()
            await self.may_end.wait()
            await _finish(sink)

        return produce


async def _taken_over(journal: MemoryJournal, clock: list[float]) -> _Reviver:
    """What ``runs/r`` was begun as, by a process that says no longer that it lives."""
    clock[0] += watch.LEASE_S + 1
    reviver = _Reviver()
    reviver.may_end.set()
    async with runs_on(journal, now=lambda: clock[0], holder="two", recover=True, revive=reviver) as runs:
        await all_of(await runs.open("r", ""))
    return reviver


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EVERY_S", 0.005)


def test_what_another_process_uses_counts_for_whoever_began_the_run() -> None:
    async def main() -> None:
        clock = [1000.0]
        journal = MemoryJournal(lambda: clock[0], 2**20)
        with on_behalf_of(ANN):
            asked = msgspec.json.encode(Asked(caller(), msgspec.Raw(b'"question"')))
        await journal.create(ASKED + "r", asked, EVER)
        await journal.create("runs/r", msgspec.json.encode(ABOUT), EVER)
        reviver = await _taken_over(journal, clock)
        assert reviver.callers == [ANN]
        assert reviver.orphans[0].request == b'"question"'
        assert caller() == ANYBODY

    run(main())


def test_who_began_a_run_is_kept_with_what_was_asked() -> None:
    async def main() -> None:
        journal = MemoryJournal(lambda: 1000.0, 2**20)
        kept: list[bytes] = []

        async def produce(sink: RunSink) -> None:
            kept.append((await journal.info(ASKED + "r")).about)
            await _finish(sink)

        async with runs_on(journal, now=lambda: 1000.0, recover=True) as runs:
            with on_behalf_of(ANN):
                await runs.start("r", ABOUT, produce, asked=lambda: b'"question"')
            await all_of(await runs.open("r", ""))
        assert msgspec.json.decode(kept[0], type=Asked).caller == ANN
        assert not await journal.list(ASKED)

    run(main())


def test_a_process_that_was_thought_dead_can_note_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so runs no tool, whatever it is about to do."""
    monkeypatch.setattr(watch.Watch, "_renew_leases", _never)  # it does not come to it

    async def main() -> None:
        clock = [1000.0]
        journal = MemoryJournal(lambda: clock[0], 2**20)
        errors: list[UpstreamFault] = []
        reviver = _Reviver()

        async def stays(sink: RunSink) -> None:
            notes = notes_of(sink)
            assert notes is not None
            sink.take(OPENING)
            await notes.add(TURN)
            async with runs_on(journal, now=lambda: clock[0], holder="two", recover=True, revive=reviver) as others:
                clock[0] += watch.LEASE_S + 1
                await reviver.begun.wait()
                try:
                    await notes.add(TURN)
                except UpstreamFault as error:
                    errors.append(error)
                reviver.may_end.set()
                await all_of(await others.open("r", ""))

        async with runs_on(journal, now=lambda: clock[0], holder="one", recover=True) as runs:
            started = await runs.start("r", ABOUT, stays, asked=lambda: b'"question"')
            await started.finished.wait()
        assert reviver.orphans[0].turns == [msgspec.json.encode(TURN)]
        assert [error.code for error in errors] == ["journal_unreachable"]

    run(main())


async def _never(_: watch.Watch) -> None:
    return


def test_what_a_run_of_the_same_id_left_behind_is_not_taken_for_its_own() -> None:
    async def main() -> None:
        clock = [1000.0]
        journal = MemoryJournal(lambda: clock[0], 2**20)
        before = Asked(ANYBODY, msgspec.Raw(b'"another question"'))
        await journal.create(ASKED + "r", msgspec.json.encode(before), EVER)
        await journal.append(ASKED + "r", [msgspec.json.encode(TURN)])
        kept: list[tuple[bytes, list[bytes]]] = []

        async def produce(sink: RunSink) -> None:
            info = await journal.info(ASKED + "r")
            kept.append((info.about, list((await journal.read(ASKED + "r", 0)).entries)))
            await _finish(sink)

        async with runs_on(journal, now=lambda: clock[0], recover=True) as runs:
            await runs.start("r", ABOUT, produce, asked=lambda: b'"question"')
            await all_of(await runs.open("r", ""))
        # As it was when it had just begun, in the journal of another.
        (about, entries) = kept[0]
        other = MemoryJournal(lambda: clock[0], 2**20)
        await other.create(ASKED + "r", about, EVER)
        await other.append(ASKED + "r", entries)
        await other.create("runs/r", msgspec.json.encode(ABOUT), EVER)
        (orphan,) = (await _taken_over(other, clock)).orphans
        assert (orphan.request, orphan.turns) == (b'"question"', [])

    run(main())
