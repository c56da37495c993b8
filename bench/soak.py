"""Streams that finish, fail, break off, are read slowly or left, for as long as one likes: are the gateway's memory and
descriptors afterwards what they were? ``make soak ARGS="--minutes 30"``.

Prints a table, and exits with 1 where they grew.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mixed import Mixed
from raw_upstream import RawUpstream
from rich.console import Console
from rich.table import Table
from wires import AnthropicWire, ChatWire

AT_ONCE = 50
ROUND = 400
SAMPLES = 20
_ALLOWED_MB = 5.0
_SETTLE_S = 60.0
_CONFIG = """\
default_model = "up/m"
[providers.up]
dialect = "openai_chat"
base_url = "{upstream}/v1"
default_model = "m"
[server]
eager_after = 60  # however slow the machine is, a refusal keeps its status
[upstream]
retries = 0
[sessions]
path = "{folder}/sessions.db"
[log]
format = "json"
"""


@dataclass(frozen=True)
class Sample:
    """Of the gateway: resident memory in MB and open descriptors, after so many exchanges."""

    seconds: float
    exchanges: int
    memory: float
    descriptors: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    minutes: float = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as name:
        return asyncio.run(_soak(Path(name), minutes * 60))


async def _soak(folder: Path, seconds: float) -> int:
    mixed = Mixed(("127.0.0.1", 0), "up", AnthropicWire(), ChatWire())
    async with RawUpstream(mixed.answer) as upstream:
        config = folder / "millstream.toml"
        config.write_text(_CONFIG.format(upstream=upstream.url, folder=folder))
        command = [sys.executable, "-m", "millstream", "serve", "--config", str(config), "--port", "0"]
        with (folder / "log").open("wb") as log:
            gateway = await asyncio.create_subprocess_exec(
                *command, "--address-only", "--until-eof", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        try:
            assert gateway.stdout is not None
            url = (await gateway.stdout.readline()).decode().strip()
            mixed.turn_to(("127.0.0.1", int(url.rpartition(":")[2])))
            samples = await _samples(mixed, upstream, gateway.pid, seconds)
        finally:
            if gateway.returncode is None:
                gateway.terminate()
            await gateway.wait()
    _print(samples, mixed)
    return _verdict(samples)


async def _samples(mixed: Mixed, upstream: RawUpstream, pid: int, seconds: float) -> list[Sample]:
    """The first after one round, the last once the gateway is idle again."""
    began = time.monotonic()
    samples: list[Sample] = []
    number = 0
    while not samples or time.monotonic() - began < seconds:
        await mixed.round(ROUND, AT_ONCE, number)
        upstream.calls.clear()
        number += 1
        if time.monotonic() - began >= len(samples) * seconds / SAMPLES:
            samples.append(_sample(pid, began, mixed))
    # What idles in the pool of connections is closed after half a minute.
    end = time.monotonic() + _SETTLE_S
    while upstream.open and time.monotonic() < end:  # noqa: ASYNC110  # the gateway does not tell
        await asyncio.sleep(1.0)
    return [*samples, _sample(pid, began, mixed)]


def _sample(pid: int, began: float, mixed: Mixed) -> Sample:
    status = Path(f"/proc/{pid}/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Sample(time.monotonic() - began, mixed.ends.total(), int(kilobytes) / 1024, descriptors)


def _print(samples: Sequence[Sample], mixed: Mixed) -> None:
    table = Table("minutes", "exchanges", "memory MB", "descriptors")
    for sample in samples:
        row = (f"{sample.seconds / 60:.1f}", f"{sample.exchanges}", f"{sample.memory:.1f}", f"{sample.descriptors}")
        table.add_row(*row)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    console.print(table)
    console.print(", ".join(f"{kind}: {count}" for kind, count in mixed.ends.items()))


def _verdict(samples: Sequence[Sample]) -> int:
    """Memory is held against the first half, in which allocators and caches reach their size: the more slow readers
    there happen to be at once, the larger."""
    settled = max(sample.memory for sample in samples[: max(1, len(samples) // 2)])
    last = samples[-1]
    grown = last.memory - settled
    lost = last.descriptors - min(sample.descriptors for sample in samples)
    print(f"memory {grown:+.1f} MB over the first half's most; descriptors {lost:+d} over the fewest there were")
    return 1 if grown > _ALLOWED_MB or lost > 0 else 0


if __name__ == "__main__":
    sys.exit(main())
