"""A gateway in a process of its own, whose runs are in a file: to be killed. Arguments: that file, the upstream's base
URL, and for how many seconds its word holds that it works on a run. Writes its address when it is up."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from millstream.config import Config, ProviderConfig
from millstream.server.runs import watch
from millstream.sessions.journal_sqlite import SqliteJournal
from millstream.testing.gateway import GatewayThread


def main(path: str, upstream: str, lease: str) -> None:
    watch.LEASE_S = float(lease)
    watch.EVERY_S = watch.LEASE_S / 4
    config = Config(default_model="up/m", providers={"up": ProviderConfig(dialect="openai_chat", base_url=upstream)})
    with GatewayThread(config, journal=SqliteJournal(Path(path), time.time, 2**26)) as gateway:
        sys.stdout.write(f"{gateway.address[1]}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
