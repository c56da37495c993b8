"""Many runs at once, and many readers of one."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from gateway_site import run
from run_site import Hand, all_of, runs_on, texts

from millstream.core.run_events import RunEnd
from millstream.server.runs.run import RunAbout
from millstream.sessions.journal_sqlite import SqliteJournal

ABOUT = RunAbout("", model="up/m")
RUNS = 2000
READERS = 500


def test_two_thousand_runs_at_once_are_each_kept_whole(tmp_path: Path) -> None:
    async def main() -> None:
        journal = SqliteJournal(tmp_path / "j.db", time.time, 2**28)
        async with runs_on(journal, most=RUNS) as runs:
            hands = [Hand() for _ in range(RUNS)]
            started = [await runs.start(f"r{number}", ABOUT, hand) for number, hand in enumerate(hands)]
            for hand in hands:
                await hand.begun.wait()
            for piece in ("a", "b", "c"):
                for number, hand in enumerate(hands):
                    hand.say(f"{piece}{number}")
                await asyncio.sleep(0)
            for hand in hands:
                hand.finish()
            for one in started:
                await one.finished.wait()
            for number in range(0, RUNS, 97):
                kept = await all_of(await runs.open(f"r{number}", ""))
                assert texts(kept) == [f"a{number}", f"b{number}", f"c{number}"]
                assert isinstance(kept[-1].event, RunEnd)
        await journal.aclose()

    run(main(), 60)


def test_five_hundred_readers_of_one_run_all_get_all_of_it() -> None:
    async def main() -> None:
        async with runs_on(held=2000) as runs:  # so little that many read the journal
            hand = Hand()
            await runs.start("r", ABOUT, hand)
            await hand.begun.wait()
            readers = [asyncio.create_task(all_of(await runs.open("r", ""))) for _ in range(READERS)]
            for number in range(100):
                hand.say(f"piece {number}")
                if number % 10 == 0:
                    await asyncio.sleep(0)
            hand.finish()
            found = await asyncio.gather(*readers)
            assert texts(found[0]) == [f"piece {number}" for number in range(100)]
            assert all([entry.data for entry in one] == [entry.data for entry in found[0]] for one in found)

    run(main(), 60)
