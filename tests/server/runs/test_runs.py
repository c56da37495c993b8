"""Runs, without any surface: their numbers, their readers, their ends."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest
from gateway_site import run
from run_site import BEFORE_TEXT, Hand, all_of, runs_on, saying, texts

from millstream.agent.approval import Verdict
from millstream.core.errors import ClientFault, Kind, PolicyRefusal, UpstreamFault
from millstream.core.events import Fault, Finish, TextDelta, Usage
from millstream.core.run_events import RunEnd, RunStart, Status
from millstream.server.runs.manager import RunExists
from millstream.server.runs.run import RunAbout, RunSink
from millstream.server.runs.watch import Answered, Watch
from millstream.sessions.journal import StreamInfo
from millstream.sessions.journal_memory import MemoryJournal

ABOUT = RunAbout("", surface="test", model="up/m")


def test_numbers_count_from_one_without_holes_and_every_reader_gets_the_same_bytes() -> None:
    async def main() -> None:
        async with runs_on() as runs:
            hand = Hand()
            await runs.start("r", ABOUT, hand)
            live = await runs.open("r", "")
            await hand.begun.wait()
            hand.say("a")
            hand.say("b", "c")
            hand.finish()
            first = await all_of(live)
            again = await all_of(await runs.open("r", ""))
            assert [entry.number for entry in first] == list(range(1, len(first) + 1))
            assert [entry.data for entry in first] == [entry.data for entry in again]
            assert first == again
            assert isinstance(first[0].event, RunStart)
            end = first[-1].event
            assert isinstance(end, RunEnd)
            assert (end.reason, end.texts, end.finish_reason) == ("finished", 3, "stop")
            assert end.usage is not None
            assert end.usage.output_tokens == 5

    run(main())


@pytest.mark.parametrize("after", range(BEFORE_TEXT + 9))
def test_reading_on_gives_exactly_what_follows(after: int) -> None:
    async def main() -> None:
        async with runs_on() as runs:
            await runs.start("r", ABOUT, saying("a", "b", "c"))
            whole = await all_of(await runs.open("r", ""))
            assert len(whole) == BEFORE_TEXT + 8
            reader = await runs.open("r", "", after) if after <= len(whole) else None
            assert (await all_of(reader) if reader is not None else []) == whole[after:]

    run(main())


def test_a_reader_who_stalls_holds_nobody_up_and_misses_nothing() -> None:
    async def main() -> None:
        async with runs_on(held=2000) as runs:
            hand = Hand()
            started = await runs.start("r", ABOUT, hand)
            stalled = await runs.open("r", "")
            quick = await runs.open("r", "")
            assert stalled is not None
            await hand.begun.wait()
            pieces = [f"piece {number} " * 3 for number in range(500)]
            for piece in pieces:
                if (wait := hand.say(piece)) is not None:
                    await wait
                await asyncio.sleep(0)
            assert started.tail.after(0) is None, "the whole run is held in memory"
            hand.finish()
            got = await all_of(quick)
            assert texts(got) == pieces
            assert await all_of(stalled) == got

    run(main())


def test_many_readers_wait_for_one_run() -> None:
    async def main() -> None:
        async with runs_on() as runs:
            hand = Hand()
            await runs.start("r", ABOUT, hand)
            await hand.begun.wait()
            readers = [asyncio.create_task(all_of(await runs.open("r", "", after % 3))) for after in range(100)]
            hand.say("a")
            hand.finish()
            found = await asyncio.gather(*readers)
            assert {len(entries) + number % 3 for number, entries in enumerate(found)} == {len(found[0])}

    run(main())


def test_of_two_starts_with_one_id_one_runs() -> None:
    async def main() -> None:
        async with runs_on() as runs, runs_on(runs.journal, holder="two") as others:
            outcomes = await asyncio.gather(
                *(which.start("r", ABOUT, saying("a")) for which in (runs, runs, others)), return_exceptions=True
            )
            assert sum(isinstance(outcome, RunExists) for outcome in outcomes) == 2
            assert texts(await all_of(await runs.open("r", ""))) == ["a"]
            assert texts(await all_of(await others.open("r", ""))) == ["a"]

    run(main())


def test_any_process_reads_and_cancels_a_run_of_another() -> None:
    async def main() -> None:
        async with runs_on() as here, runs_on(here.journal, holder="two") as elsewhere:
            hand = Hand()
            await here.start("r", ABOUT, hand)
            await hand.begun.wait()
            hand.say("a")
            reader = await elsewhere.open("r", "")
            assert reader is not None
            assert not reader.here
            assert await elsewhere.cancel("r", "")
            entries = await all_of(reader)
            assert texts(entries) == ["a"]
            assert isinstance(entries[-2].event, Fault)
            assert entries[-2].event.kind is Kind.CANCELLED
            assert isinstance(entries[-1].event, RunEnd)
            assert entries[-1].event.reason == "cancelled"
            assert isinstance(hand.stopped, asyncio.CancelledError)
            assert not await elsewhere.cancel("r", ""), "it has ended"

    run(main())


def test_a_run_is_cancelled_with_its_last_reader() -> None:
    async def main() -> None:
        async with runs_on() as runs:
            hand = Hand()
            started = await runs.start("r", ABOUT, hand, on_disconnect="cancel")
            readers = [await runs.open("r", ""), await runs.open("r", "")]
            await hand.begun.wait()
            for reader in readers:
                assert hand.stopped is None
                assert reader is not None
                reader.close()
                reader.close()
            await started.finished.wait()
            assert isinstance(hand.stopped, asyncio.CancelledError)

    run(main())


def test_a_run_that_drains_keeps_its_usage_but_not_what_nobody_heard() -> None:
    async def main() -> None:
        async with runs_on() as runs:
            hand = Hand()
            started = await runs.start("r", ABOUT, hand, on_disconnect="drain")
            reader = await runs.open("r", "")
            await hand.begun.wait()
            hand.say("heard")
            assert reader is not None
            reader.close()
            hand.say("unheard")
            hand.finish()
            await started.finished.wait()
            entries = await all_of(await runs.open("r", ""))
            assert texts(entries) == ["heard"]
            assert any(isinstance(entry.event, Status) for entry in entries)
            assert any(isinstance(entry.event, Usage) for entry in entries)
            assert isinstance(entries[-2].event, Finish)

    run(main())


def test_a_detached_run_goes_on_alone() -> None:
    async def main() -> None:
        async with runs_on() as runs:
            hand = Hand()
            started = await runs.start("r", ABOUT, hand, on_disconnect="detach")
            reader = await runs.open("r", "")
            await hand.begun.wait()
            assert reader is not None
            reader.close()
            hand.say("unheard")
            hand.finish()
            await started.finished.wait()
            assert texts(await all_of(await runs.open("r", ""))) == ["unheard"]

    run(main())


def test_a_run_that_takes_too_long_fails_and_says_so() -> None:
    async def main() -> None:
        async with runs_on(limit=0.01) as runs:
            await runs.start("r", ABOUT, Hand())
            entries = await all_of(await runs.open("r", ""))
            fault = entries[-2].event
            assert isinstance(fault, Fault)
            assert (fault.code, fault.kind) == ("run_limit", Kind.TIMEOUT)
            assert isinstance(entries[-1].event, RunEnd)
            assert entries[-1].event.reason == "failed"

    run(main())


@pytest.mark.parametrize(
    ("error", "kind"),
    [(UpstreamFault("no", Kind.OVERLOADED), Kind.OVERLOADED), (ValueError("a bug"), Kind.INTERNAL)],
)
def test_what_a_producer_raises_ends_the_run(error: Exception, kind: Kind) -> None:
    async def fails(sink: RunSink) -> None:
        raise error

    async def main() -> None:
        async with runs_on() as runs:
            await runs.start("r", ABOUT, fails)
            entries = await all_of(await runs.open("r", ""))
            fault = entries[-2].event
            assert isinstance(fault, Fault)
            assert fault.kind is kind
            assert "a bug" not in fault.message

    run(main())


def test_nothing_of_a_reply_follows_its_end() -> None:
    async def main() -> None:
        async def twice(sink: RunSink) -> None:
            await saying("a")(sink)
            sink.take([Finish(), RunEnd("max_iterations")])

        async with runs_on() as runs:
            await runs.start("r", ABOUT, twice)
            entries = await all_of(await runs.open("r", ""))
            assert sum(isinstance(entry.event, Finish | Fault) for entry in entries) == 1
            assert [entry.event.reason for entry in entries if isinstance(entry.event, RunEnd)] == ["max_iterations"]

    run(main())


def test_a_clock_that_is_set_back_is_not_seen() -> None:
    times = itertools.chain([1000.0, 1000.0], itertools.cycle([500.0, 2000.0]))

    async def main() -> None:
        async with runs_on(now=lambda: next(times), keep_for=10**6) as runs:
            hand = Hand()
            await runs.start("r", ABOUT, hand)
            reader = await runs.open("r", "")
            await hand.begun.wait()
            for _ in range(6):
                hand.say("a")
            hand.finish()
            moments = [entry.at for entry in await all_of(reader)]
            assert moments == sorted(moments)
            end_seconds = moments[-1] - moments[0]
            assert end_seconds >= 0

    run(main())


def test_a_number_far_beyond_the_end_is_refused_while_it_runs_and_after() -> None:
    async def main() -> None:
        async with runs_on() as runs:
            hand = Hand()
            started = await runs.start("r", ABOUT, hand)
            await hand.begun.wait()
            with pytest.raises(ClientFault, match="beyond") as refused:
                await runs.open("r", "", 10**12)
            assert refused.value.code == "past_end"
            hand.finish()
            await started.finished.wait()
            with pytest.raises(ClientFault, match="beyond"):
                await runs.open("r", "", 10**12)

    run(main())


def test_a_run_is_its_owners_alone() -> None:
    async def main() -> None:
        async with runs_on() as runs:
            hand = Hand()
            started = await runs.start("r", RunAbout("", owner="me"), hand)
            await hand.begun.wait()
            for _ in range(2):  # while it runs, and once it has ended
                with pytest.raises(ClientFault, match="no run"):
                    await runs.open("r", "you")
                with pytest.raises(ClientFault, match="no run"):
                    await runs.cancel("r", "you")
                assert not await runs.listed("you")
                assert len(await runs.listed("me")) == 1
                hand.finish()
                await started.finished.wait()

    run(main())


def test_there_may_not_be_too_many_runs() -> None:
    async def main() -> None:
        async with runs_on(most=1) as runs:
            hand = Hand()
            started = await runs.start("r", ABOUT, hand)
            with pytest.raises(PolicyRefusal, match=r"runs\.most"):
                await runs.start("s", ABOUT, saying("a"))
            hand.finish()
            await started.finished.wait()
            await runs.start("s", ABOUT, saying("a"))

    run(main())


@pytest.mark.parametrize("run_id", ["", "../x", "a b", "x" * 129, "a/b", "ä"])
def test_an_id_that_cannot_be_one_is_refused(run_id: str) -> None:
    async def main() -> None:
        async with runs_on() as runs:
            with pytest.raises(ClientFault, match="run_id"):
                await runs.start(run_id, ABOUT, saying("a"))

    run(main())


def test_runs_end_with_their_application_and_say_why() -> None:
    async def main() -> None:
        hand = Hand()
        async with runs_on() as runs:
            await runs.start("r", ABOUT, hand)
            await hand.begun.wait()
        async with runs_on(runs.journal, holder="two") as later:
            entries = await all_of(await later.open("r", ""))
            fault = entries[-2].event
            assert isinstance(fault, Fault)
            assert fault.kind is Kind.SHUTDOWN

    run(main())


def test_a_deleted_run_is_gone() -> None:
    async def main() -> None:
        async with runs_on() as runs:
            hand = Hand()
            await runs.start("r", ABOUT, hand)
            await hand.begun.wait()
            await runs.delete("r", "")
            assert isinstance(hand.stopped, asyncio.CancelledError)
            with pytest.raises(ClientFault, match="no run"):
                await runs.open("r", "")

    run(main())


def test_text_is_said_as_it_comes() -> None:
    async def main() -> None:
        async with runs_on() as runs:
            hand = Hand()
            await runs.start("r", ABOUT, hand)
            reader = await runs.open("r", "")
            assert reader is not None
            await hand.begun.wait()
            while reader.number < BEFORE_TEXT:
                await reader.next()
            for piece in ("a", "b", "c"):
                hand.say(piece)
                (entry,) = await reader.next()
                assert isinstance(entry.event, TextDelta)
                assert entry.event.text == piece
            reader.close()

    run(main())


def test_what_is_asked_of_a_process_before_it_listens_is_heard_when_it_does() -> None:
    async def main() -> None:
        journal = MemoryJournal(time.time, 2**20)
        heard: asyncio.Queue[str] = asyncio.Queue()

        async def never(_: StreamInfo) -> bool:
            return False

        def answer(run_id: str, question: str, verdict: Verdict, owner: str) -> None:
            heard.put_nowait(question)

        async with runs_on(journal) as runs:
            hand = Hand()
            run = await runs.start("early", RunAbout(""), hand)
            await hand.begun.wait()
            one = Watch(journal, "late", time.time, {"early": run}, "run/", never, answer)
            await Watch(journal, "other", time.time, {}, "run/", never).tell(
                "late", Answered("early", "ap_1", "", Verdict(True))
            )
            listening = asyncio.create_task(one.keep_watch())
            assert await heard.get() == "ap_1"
            listening.cancel()
            hand.finish()

    run(main())
