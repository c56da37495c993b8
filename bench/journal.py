"""What keeping runs costs: PYTHONPATH=tests/support .venv/bin/python bench/journal.py [--redis URL]

Processor time of this process (its threads included; Redis' own is not) per event, for runs that say 20 events per
read, one by itself and 2,000 at once; elapsed time until a reader who comes back has the first of 10,000 events; and
processor time per event and reader of 500 readers.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from run_site import ENDING, OPENING, Hand, all_of, runs_on

from millstream.core.events import TextDelta
from millstream.core.run_events import encode_entry
from millstream.server.runs.run import RunAbout, RunSink
from millstream.sessions.journal import Journal
from millstream.sessions.journal_memory import MemoryJournal
from millstream.sessions.journal_sqlite import SqliteJournal

ABOUT = RunAbout("", model="up/m")
EVENTS = 100_000
BATCH = 20
KEPT = 10_000
READERS = 500
RUNS = 2000
ROUNDS = 5


def _without() -> float:
    """The events alone, written as JSON for their readers."""
    began = time.process_time()
    for number in range(EVENTS):
        encode_entry(number + 1, 1, TextDelta(0, "token "))
    return (time.process_time() - began) / EVENTS


async def _says(sink: RunSink) -> None:
    sink.take(OPENING)
    for _ in range(EVENTS // BATCH):
        wait = sink.take([TextDelta(0, "token ") for _ in range(BATCH)])
        await (wait or asyncio.sleep(0))
    sink.take(ENDING)


async def _writing(journal: Journal, name: str) -> float:
    async with runs_on(journal, held=100_000, limit=600.0) as runs:
        began = time.process_time()
        run = await runs.start(name, ABOUT, _says)
        await run.finished.wait()
        return (time.process_time() - began) / EVENTS


async def _at_once(journal: Journal, name: str) -> float:
    """Many runs of a hundred events."""

    async def says(sink: RunSink) -> None:
        sink.take(OPENING)
        for _ in range(5):
            wait = sink.take([TextDelta(0, "token ") for _ in range(BATCH)])
            await (wait or asyncio.sleep(0))
        sink.take(ENDING)

    async with runs_on(journal, limit=600.0, most=RUNS + 1) as runs:
        began = time.process_time()
        started = [await runs.start(f"{name}-{number}", ABOUT, says) for number in range(RUNS)]
        await asyncio.gather(*(run.finished.wait() for run in started))
        return (time.process_time() - began) / (RUNS * 5 * BATCH)


async def _coming_back(journal: Journal, name: str) -> float:
    async with runs_on(journal, held=100_000, limit=600.0) as runs:

        async def says(sink: RunSink) -> None:
            sink.take([*OPENING, *(TextDelta(0, "token ") for _ in range(KEPT)), *ENDING])

        run = await runs.start(name, ABOUT, says)
        await run.finished.wait()
        began = time.perf_counter()
        reader = await runs.open(name, "")
        assert reader is not None
        await reader.next()
        return time.perf_counter() - began


async def _readers(journal: Journal, name: str) -> float:
    async with runs_on(journal) as runs:
        hand = Hand()
        await runs.start(name, ABOUT, hand)
        await hand.begun.wait()
        readers = [asyncio.create_task(all_of(await runs.open(name, ""))) for _ in range(READERS)]
        await asyncio.sleep(0)
        began = time.process_time()
        for _ in range(100):
            hand.say("token ")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        hand.finish()
        await asyncio.gather(*readers)
        return (time.process_time() - began) / (100 * READERS)


async def _all(name: str, journal: Journal) -> None:
    writing = statistics.median([await _writing(journal, f"w{n}-{time.time_ns()}") for n in range(ROUNDS)])
    at_once = await _at_once(journal, f"a{time.time_ns()}")
    back = statistics.median([await _coming_back(journal, f"b{n}-{time.time_ns()}") for n in range(ROUNDS)])
    readers = statistics.median([await _readers(journal, f"r{n}-{time.time_ns()}") for n in range(ROUNDS)])
    told = (
        f"{writing * 1e6:6.2f} µs/event",
        f"{at_once * 1e6:6.2f} of {RUNS} runs",
        f"{back * 1e3:6.1f} ms to the first of {KEPT}",
        f"{readers * 1e6:6.2f} µs/event and reader",
    )
    print(f"{name:8}{'  '.join(told)}")
    await journal.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--redis", help="such as redis://localhost:6379/0")
    url = parser.parse_args().redis
    print(f"{'none':8}{statistics.median(_without() for _ in range(ROUNDS)) * 1e6:6.2f} µs/event")
    with tempfile.TemporaryDirectory() as folder:
        stores: dict[str, Callable[[], Journal]] = {
            "memory": lambda: MemoryJournal(time.time, 2**30),
            "sqlite": lambda: SqliteJournal(Path(folder) / "j.db", time.time, 2**30),
        }
        if url is not None:
            from millstream.sessions.journal_redis import RedisJournal

            stores["redis"] = lambda: RedisJournal(url, time.time, 2**30)

        async def one(name: str) -> None:
            await _all(name, stores[name]())

        for name in stores:
            asyncio.run(one(name))


if __name__ == "__main__":
    main()
