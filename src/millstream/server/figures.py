"""What a process has counted, and what all that serve one address have together."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from millstream.pipeline import Gateway
from millstream.server.model_api import Deliveries
from millstream.server.request_log import tell
from millstream.server.tally import Tally, summed
from millstream.telemetry.metrics import Family, Metrics, counted, joined


class Figures(msgspec.Struct):
    """``families`` are for Prometheus, ``uptime`` is in seconds. ``processes`` live and are counted in."""

    families: list[Family] = []
    tally: Tally = msgspec.field(default_factory=Tally)
    open_streams: int = 0
    uptime: float = 0.0
    processes: int = 1

    def without_families(self) -> Figures:
        return msgspec.structs.replace(self, families=[])

    def of_the_dead(self) -> Figures:
        """What stays of a process that has ended."""
        return Figures(counted(self.families), self.tally, 0, self.uptime, 0)


def together(parts: Iterable[Figures]) -> Figures:
    parts = list(parts)
    return Figures(
        joined(part.families for part in parts),
        summed(part.tally for part in parts),
        sum(part.open_streams for part in parts),
        max((part.uptime for part in parts), default=0.0),
        sum(part.processes for part in parts),
    )


class Figured:
    """The figures of ``gateway``'s process, from now on. ``all`` is told those of others too, where there are any."""

    def __init__(
        self,
        gateway: Gateway,
        deliveries: Deliveries,
        metrics: Metrics | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.all: Callable[[bool], Awaitable[Figures]] = self._alone
        """With what is for Prometheus or without. Raises ``GatewayBug`` where they cannot be had."""
        self._tally = Tally()
        self._gateway = gateway
        self._deliveries = deliveries
        self._metrics = metrics
        self._clock = clock
        self._began = clock()
        gateway.observers.append(self._tally.observe)

    def mine(self, scraped: bool) -> Figures:
        """``scraped``: with what is for Prometheus, which with many models takes milliseconds."""
        tell(self._gateway)
        families = self._metrics.families() if scraped and self._metrics is not None else []
        return Figures(families, self._tally, len(self._deliveries), self._clock() - self._began)

    async def _alone(self, scraped: bool) -> Figures:
        return self.mine(scraped)
