"""A gateway in a process of its own, whose runs are in a file or in Redis: to be killed. Arguments: that file or its
URL, the upstream's base URL, for how many seconds its word holds that it works on a run, and ``continue`` where answers
are gone on with. Writes its address when it is up."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Literal, cast

from millstream.config import Config, ProviderConfig, RunsConfig, UpstreamConfig
from millstream.server.runs import watch
from millstream.sessions.journal import Journal
from millstream.sessions.journal_redis import RedisJournal
from millstream.sessions.journal_sqlite import SqliteJournal
from millstream.testing.gateway import GatewayThread


def main(place: str, upstream: str, lease: str, mode: Literal["fail", "continue"] = "fail") -> None:
    watch.LEASE_S = float(lease)
    watch.EVERY_S = watch.LEASE_S / 4
    provider = ProviderConfig(dialect="openai_chat", base_url=upstream, quirks={"continues": ["*"]})
    config = Config(
        default_model="up/m",
        providers={"up": provider},
        upstream=UpstreamConfig(on_cut=mode),
        runs=RunsConfig(recover=mode),
    )
    journal: Journal
    if place.startswith("unix:"):
        journal = RedisJournal(place, time.time, 2**26)
    else:
        journal = SqliteJournal(Path(place), time.time, 2**26)
    with GatewayThread(config, journal=journal) as gateway:
        sys.stdout.write(f"{gateway.address[1]}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    place, upstream, lease, *mode = sys.argv[1:]
    main(place, upstream, lease, cast("Literal['fail', 'continue']", mode[0] if mode else "fail"))
