"""What becomes of runs whose journal, or whose gateway, fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest
from gateway_site import run
from run_site import BEFORE_TEXT, OPENING, BrittleJournal, Hand, all_of, runs_on, saying, texts

from millstream.core.errors import ClientFault, UpstreamFault
from millstream.core.events import Fault, TextDelta
from millstream.core.run_events import RunEnd, RunEntry, RunStart, encode_entry
from millstream.server.runs import watch, writing
from millstream.server.runs.run import RunAbout, RunSink
from millstream.sessions.journal_memory import MemoryJournal

ABOUT = RunAbout("", model="up/m")


def _fault(entries: Sequence[RunEntry]) -> Fault:
    fault, end = entries[-2].event, entries[-1].event
    assert isinstance(fault, Fault)
    assert isinstance(end, RunEnd)
    return fault


async def _tick() -> None:
    """Others' turn, and time for what they wait for."""
    await asyncio.sleep(0.001)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_PAUSES_S", (0.001, 0.001))


@pytest.mark.usefixtures("_impatient")
def test_a_journal_that_fails_for_a_moment_has_everything_in_the_end() -> None:
    async def main() -> None:
        journal = BrittleJournal()
        async with runs_on(journal) as runs:
            hand = Hand()
            await runs.start("r", ABOUT, hand)
            live = await runs.open("r", "")
            await hand.begun.wait()
            hand.say("a")
            journal.broken = True
            hand.say("b")
            await journal.asked.wait()
            journal.broken = False
            hand.say("c")
            hand.finish()
            got = await all_of(live)
            assert texts(got) == ["a", "b", "c"]
            assert await all_of(await runs.open("r", "")) == got

    run(main())


@pytest.mark.usefixtures("_impatient")
def test_what_was_written_although_the_store_says_it_failed_is_not_written_twice() -> None:
    async def main() -> None:
        journal = BrittleJournal()
        async with runs_on(journal) as runs:
            hand = Hand()
            await runs.start("r", ABOUT, hand)
            live = await runs.open("r", "")
            await hand.begun.wait()
            journal.after_all = True
            hand.say("a")
            hand.say("b")
            hand.finish()
            got = await all_of(live)
            assert texts(got) == ["a", "b"]
            assert await all_of(await runs.open("r", "")) == got

    run(main())


@pytest.mark.usefixtures("_impatient")
def test_where_the_journal_stays_broken_the_attached_reader_gets_all_and_a_later_one_hears_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writing, "_TOO_MUCH", 1000)

    async def main() -> None:
        journal = BrittleJournal()
        async with runs_on(journal) as runs:
            hand = Hand()
            started = await runs.start("r", ABOUT, hand)
            live = await runs.open("r", "")
            await hand.begun.wait()
            hand.say("kept")
            while started.writer.kept < 4:
                await _tick()
            journal.broken = True
            pieces = [f"lost {number}" for number in range(100)]
            for piece in pieces:
                hand.say(piece)
                await _tick()
            while not started.writer.given_up:
                await _tick()
            journal.broken = False
            hand.finish()
            got = await all_of(live)
            assert texts(got) == ["kept", *pieces]
            assert isinstance(got[-1].event, RunEnd)
            assert got[-1].event.reason == "finished"
            await started.finished.wait()
            later = await all_of(await runs.open("r", ""))
            assert texts(later) == ["kept"]
            assert _fault(later).code == "events_lost"
            assert "event 4" in _fault(later).message
            with pytest.raises(ClientFault, match="not written down") as lost:
                await runs.open("r", "", 50)
            assert lost.value.status == 410

    run(main())


def test_a_run_goes_on_unkept_where_the_journal_cannot_be_had_at_all() -> None:
    async def main() -> None:
        journal = BrittleJournal()
        async with runs_on(journal) as runs:
            journal.broken = True
            await runs.start("r", ABOUT, saying("a"))
            assert texts(await all_of(await runs.open("r", ""))) == ["a"]
            journal.broken = False

    run(main())


def test_a_durable_run_does_not_begin_where_it_cannot_be_kept() -> None:
    async def main() -> None:
        journal = BrittleJournal()
        async with runs_on(journal, durable=True) as runs:
            journal.broken = True
            with pytest.raises(UpstreamFault, match="cannot be kept"):
                await runs.start("r", ABOUT, saying("a"))
            journal.broken = False
            await runs.start("r", ABOUT, saying("a"))

    run(main())


@pytest.mark.usefixtures("_impatient")
def test_a_durable_run_shows_nothing_that_is_not_kept() -> None:
    async def main() -> None:
        journal = BrittleJournal()
        async with runs_on(journal, durable=True) as runs:
            hand = Hand()
            started = await runs.start("r", ABOUT, hand)
            live = await runs.open("r", "")
            await hand.begun.wait()
            hand.say("a")
            assert live is not None
            seen: list[RunEntry] = []
            while "a" not in texts(seen):
                seen += await live.next()
                assert (await journal.info("runs/r")).last >= seen[-1].number
            journal.broken = True
            hand.say("b")
            await started.finished.wait()
            assert _fault(await all_of(live)).code == "journal_lost"
            assert hand.stopped is not None
            journal.broken = False

    run(main())


def test_a_full_queue_to_the_journal_holds_the_producer_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_FULL", 100)

    async def main() -> None:
        async with runs_on() as runs:
            hand = Hand()
            await runs.start("r", ABOUT, hand)
            await hand.begun.wait()
            wait = hand.say("x" * 200)
            assert wait is not None
            await wait
            hand.finish()
            assert texts(await all_of(await runs.open("r", ""))) == ["x" * 200]

    run(main())


def test_the_run_of_a_process_that_died_is_sealed_and_says_so() -> None:
    clock = [1000.0]

    async def main() -> None:
        journal = MemoryJournal(lambda: clock[0], 2**20)
        await journal.create("runs/r", b'{"holder":"dead"}', 10**6)
        await journal.lease("runs/r", "dead", watch.LEASE_S)
        events = [RunStart("r"), *OPENING, TextDelta(0, "said")]
        entries = [encode_entry(number, 5, event).data for number, event in enumerate(events, 1)]
        await journal.append("runs/r", entries)
        monkey = pytest.MonkeyPatch()
        monkey.setattr(watch, "EVERY_S", 0.005)
        try:
            async with runs_on(journal, now=lambda: clock[0]) as runs:
                reader = await runs.open("r", "")
                assert reader is not None
                assert len(await reader.next()) == 4
                assert not (await journal.info("runs/r")).sealed, "its holder may live still"
                clock[0] += watch.LEASE_S + 0.1
                left = await all_of(reader)
                assert _fault(left).code == "run_lost"
                assert "event 4" in _fault(left).message
                assert isinstance(left[-1].event, RunEnd)
                assert left[-1].event.reason == "lost"
                with pytest.raises(ClientFault, match="no more") as lost:
                    await runs.open("r", "", 20)  # it had been told more than was written down
                assert lost.value.code == "run_lost"
        finally:
            monkey.undo()

    run(main())


def test_a_run_is_sealed_within_ten_seconds_of_its_gateways_death() -> None:
    # A lease runs out, and then the next look finds it; half a second is for the store.
    assert watch.LEASE_S + watch.EVERY_S + 0.5 < 10


def test_a_run_whose_journal_another_sealed_stops_and_ends() -> None:
    async def main() -> None:
        journal = MemoryJournal(time.time, 2**20)
        async with runs_on(journal) as runs:
            hand = Hand()
            started = await runs.start("r", ABOUT, hand)
            live = await runs.open("r", "")
            while started.writer.kept < BEFORE_TEXT:
                await _tick()
            await journal.seal("runs/r", writing.last_words(3, 1, ClientFault("taken for dead")))
            hand.say("too late")
            await started.finished.wait()
            assert _fault(await all_of(live)).code == "journal_lost"
            assert "taken for dead" in _fault(await all_of(await runs.open("r", ""))).message

    run(main())


def test_a_reader_of_a_trimmed_run_hears_where_it_can_go_on() -> None:
    async def main() -> None:
        journal = MemoryJournal(time.time, 20_000)
        async with runs_on(journal, held=1000) as runs:

            async def long(sink: RunSink) -> None:
                sink.take(OPENING)
                for number in range(600):
                    wait = sink.take([TextDelta(0, f"piece {number}")])
                    await (wait or _tick())

            started = await runs.start("r", ABOUT, long)
            await started.finished.wait()
            reader = await runs.open("r", "")
            assert reader is not None
            with pytest.raises(ClientFault, match="first that is left") as gone:
                await reader.next()
            assert gone.value.status == 410
            first = (await journal.info("runs/r")).first
            assert (await all_of(await runs.open("r", "", first - 1)))[0].number == first

    run(main())
