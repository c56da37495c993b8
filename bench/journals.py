"""What journals cost: an entry appended and read, on each store. By hand: ``python bench/journals.py``, half a minute.

Entries of 120 bytes, as runs have them. CPU is that of this process, all threads; Redis's own comes beside it.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from millstream.sessions.journal import Journal
from millstream.sessions.journal_memory import MemoryJournal
from millstream.sessions.journal_redis import RedisJournal
from millstream.sessions.journal_sqlite import SqliteJournal

_ENTRY = b"x" * 120
_LATER = 1e12
_MOST = 1 << 33
_ROUNDS = (("one by one", 1, 1, 1500), ("in twenties", 1, 20, 1500), ("100 runs, in twenties", 100, 20, 40))
"""Name, runs at once, entries of an append, appends of a run."""


def _cpu(process: int | None) -> tuple[float, float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    server = 0.0
    if process is not None:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
        server = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used.ru_utime + used.ru_stime, server


async def _measure(name: str, make: Callable[[], Journal], server: int | None) -> None:
    journal = make()
    for what, runs, size, appends in _ROUNDS:
        keys = [f"{what}/{number}" for number in range(runs)]
        await asyncio.gather(*(journal.create(key, b"", _LATER) for key in keys))

        async def write(key: str, size: int = size, appends: int = appends) -> None:
            for _ in range(appends):
                await journal.append(key, [_ENTRY] * size)

        async def read(key: str, last: int = size * appends) -> None:
            seen = 0
            while seen < last:
                seen += len((await journal.read(key, seen)).entries)

        for verb, work in (("append", write), ("read", read)):
            began, before = time.perf_counter(), _cpu(server)
            await asyncio.gather(*(work(key) for key in keys))
            took, after = time.perf_counter() - began, _cpu(server)
            entries = runs * size * appends
            cpu, servers = ((b - a) / entries * 1e6 for a, b in zip(before, after, strict=True))
            line = f"{name:7} {what:22} {verb:7} {cpu:8.2f} µs CPU an entry, {took / entries * 1e6:8.2f} µs passed"
            print(line + (f", Redis {servers:6.2f}" if server is not None else ""), flush=True)
    key = "wake"
    await journal.create(key, b"", _LATER)
    reader, times = make() if name != "memory" else journal, []
    for number in range(100):
        waiting = asyncio.create_task(reader.wait(key, number, 30))
        await asyncio.sleep(0.02)
        began = time.perf_counter()
        await journal.append(key, [_ENTRY])
        await waiting
        times.append(time.perf_counter() - began)
    print(f"{name:7} a reader elsewhere hears of an append after {sorted(times)[50] * 1e3:.2f} ms (median)", flush=True)
    await journal.aclose()
    if reader is not journal:
        await reader.aclose()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="j") as folder:
        asyncio.run(_measure("memory", lambda: MemoryJournal(time.time, _MOST), None))
        path = Path(folder) / "journal.db"
        asyncio.run(_measure("sqlite", lambda: SqliteJournal(path, time.time, _MOST), None))
        program = shutil.which("redis-server")
        if program is None:
            print("no redis-server")
            return
        socket = Path(folder) / "s"
        command = [program, "--port", "0", "--unixsocket", str(socket), "--dir", folder, "--save", ""]
        command += ["--appendonly", "yes", "--appendfsync", "everysec"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
            while not socket.exists():
                time.sleep(0.02)
            asyncio.run(_measure("redis", lambda: RedisJournal(f"unix://{socket}", time.time, _MOST), server.pid))
            server.terminate()


if __name__ == "__main__":
    main()
