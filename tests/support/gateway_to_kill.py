"""A gateway in a process of its own, whose runs are in a file or in Redis: to be killed. Arguments: that file or its
URL, the upstream's base URL, for how many seconds its word holds that it works on a run, and ``continue`` where answers
are gone on with. Writes its address when it is up.

Its tools write their names into the file that ``MILLSTREAM_TEST_TOOLS`` names. ``look`` changes nothing; ``look`` and
``change`` never come back where they are called for the first time.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from millstream.config import Config, ConversationConfig, ProviderConfig, RunsConfig, UpstreamConfig
from millstream.server.runs import watch
from millstream.sessions.journal import Journal
from millstream.sessions.journal_redis import RedisJournal
from millstream.sessions.journal_sqlite import SqliteJournal
from millstream.testing.gateway import GatewayThread
from millstream.tools.base import ToolContext, ToolOutcome, ToolSpec


class _Noted:
    """A ``ToolSource``."""

    name = "noted"

    def __init__(self, file: Path) -> None:
        self._file = file

    async def list(self) -> Sequence[ToolSpec]:
        return [
            ToolSpec(name, name, {"type": "object"}, self.name, read_only=name == "look")
            for name in ("quick", "look", "change")
        ]

    async def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        with self._file.open("a") as file:
            file.write(f"{name}\n")
        if name != "quick" and self._file.read_text().splitlines().count(name) == 1:
            await asyncio.Event().wait()
        return ToolOutcome("done")

    async def aclose(self) -> None:
        return


def main(place: str, upstream: str, lease: str, mode: Literal["fail", "continue"] = "fail") -> None:
    watch.LEASE_S = float(lease)
    watch.EVERY_S = watch.LEASE_S / 4
    provider = ProviderConfig(dialect="openai_chat", base_url=upstream, quirks={"continues": ["*"]})
    config = Config(
        default_model="up/m",
        providers={"up": provider},
        upstream=UpstreamConfig(on_cut=mode),
        runs=RunsConfig(recover=mode),
        conversation=ConversationConfig(intent=False, suggestions=False),
    )
    journal: Journal
    if place.startswith("unix:"):
        journal = RedisJournal(place, time.time, 2**26)
    else:
        journal = SqliteJournal(Path(place), time.time, 2**26)
    noted = os.environ.get("MILLSTREAM_TEST_TOOLS")
    tools = [_Noted(Path(noted))] if noted else []
    with GatewayThread(config, journal=journal, tools=tools) as gateway:
        sys.stdout.write(f"{gateway.address[1]}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    place, upstream, lease, *mode = sys.argv[1:]
    main(place, upstream, lease, cast("Literal['fail', 'continue']", mode[0] if mode else "fail"))
