"""What many exchanges of every end leave behind: nothing. ``bench/soak.py`` does the same for half an hour."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from gateway_site import Site, run
from mixed import KINDS, Mixed
from wires import Wire

from millstream.pipeline import Exchange
from millstream.providers.transport.connection import Connection
from millstream.server.connection import ClientConnection
from millstream.server.deliver import Delivery

AT_ONCE = 24
ROUND = 20 * len(KINDS)
LIMIT_S = 120.0

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts descriptors in /proc")


OBJECTS = (Exchange, Delivery, ClientConnection)


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _held(kinds: Sequence[type]) -> dict[str, int]:
    """How many objects of each kind something still holds."""
    gc.collect()
    found = [type(thing) for thing in gc.get_objects()]
    return {kind.__name__: found.count(kind) for kind in kinds}


async def settles(ask: Callable[[], object], want: object) -> None:
    """Waits until ``ask`` gives ``want``: the last sockets are closed a moment after the last byte has come."""
    found = None
    try:
        async with asyncio.timeout(10):
            while found != want:
                found = await asyncio.to_thread(ask)
    except TimeoutError:
        raise AssertionError(f"{found} instead of {want}") from None


def test_exchanges_of_every_end_leave_nothing_behind(site: Site, client: Wire, upstream: Wire) -> None:
    gateway = site.gateway(retries=0)

    async def side_by_side(count: int, seed: int) -> Mixed:
        mixed = Mixed(gateway.address, f"{upstream.name}-up", client, upstream)
        async with site.upstream(mixed.answer) as asked:
            await mixed.round(count, AT_ONCE, seed)
            await settles(lambda: gateway.open_streams, 0)
            # Whoever was answered to the end left a connection that the next one may use.
            assert asked.open <= AT_ONCE
        await settles(lambda: _held(OBJECTS), {kind.__name__: 0 for kind in OBJECTS})
        assert _held([Connection])["Connection"] <= AT_ONCE
        return mixed

    def counts() -> tuple[int, int]:
        return _descriptors(), gateway.call(lambda: len(asyncio.all_tasks()))

    async def main() -> None:
        await side_by_side(len(KINDS), 0)  # what is made once, at first use, is made now
        before = await asyncio.to_thread(counts)
        mixed = await side_by_side(ROUND, 1)
        assert mixed.ends == dict.fromkeys(KINDS, ROUND // len(KINDS))
        await settles(counts, before)

    run(main(), LIMIT_S)
