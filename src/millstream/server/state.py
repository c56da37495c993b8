"""``GET /api/v1/state``: what this process has served since it began, in figures.

They are counted once per request, when it has ended, and take bounded space however many requests, models and errors
there are. Nothing in them is of what was asked or answered.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from millstream import __version__
from millstream.core.errors import Kind, UpstreamFault
from millstream.core.timestamps import timestamp
from millstream.pipeline import End, Gateway, Record
from millstream.server.model_api import Deliveries

BUCKET_S = 5
BUCKETS = 120
SAMPLES = 500
"""First-content times that are kept of each model: percentiles are of the last so many."""

MOST_MODELS = 50
OTHER = "(other models)"
_SHARES = (50, 95, 99)
_ASKERS = frozenset({Kind.INVALID_REQUEST, Kind.NOT_FOUND, Kind.TOO_LARGE})
"""What is wrong with a request, even where it takes its provider to say so."""


@dataclass(slots=True)
class _Ends:
    finished: int = 0
    failed: int = 0
    cancelled: int = 0

    def add(self, end: End) -> None:
        setattr(self, end, getattr(self, end) + 1)

    def said(self) -> dict[str, int]:
        return {"finished": self.finished, "failed": self.failed, "cancelled": self.cancelled}


@dataclass(slots=True)
class _Model:
    ends: _Ends = field(default_factory=_Ends)
    first: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(slots=True)
class _Health:
    """``in_a_row`` counts the failures since the last success."""

    ends: _Ends = field(default_factory=_Ends)
    in_a_row: int = 0
    good_at: float | None = None
    bad_at: float | None = None
    error: str | None = None
    status: int | None = None


@dataclass(slots=True)
class _Bucket:
    number: int
    ends: _Ends = field(default_factory=_Ends)
    output_tokens: int = 0


class Tally:
    """An observer of a gateway's requests."""

    def __init__(self) -> None:
        self.ends = _Ends()
        self.models: dict[str, _Model] = {}
        self.providers: dict[str, _Health] = {}
        self.clients: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.buckets: deque[_Bucket] = deque(maxlen=BUCKETS)

    def observe(self, record: Record, status: int, end: End, began: float, now: float) -> None:
        self.ends.add(end)
        self.clients[record.dialect] += 1
        if end == "failed" and record.error is not None:
            self.errors[record.error.kind.value] += 1
        tokens = record.usage.output_tokens if record.usage is not None else 0
        bucket = self._bucket(now)
        bucket.ends.add(end)
        bucket.output_tokens += tokens
        if record.route is None:
            return
        model = self._model(record.route.name)
        model.ends.add(end)
        if record.first_content_at is not None:
            model.first.append(max(0.0, record.first_content_at - began))
        if record.usage is not None:
            model.input_tokens += record.usage.input_tokens
            model.output_tokens += tokens
        self._judge(self.providers.setdefault(record.route.provider, _Health()), record, end, now)

    def _bucket(self, now: float) -> _Bucket:
        number = int(now // BUCKET_S)
        if not self.buckets or self.buckets[-1].number < number:
            self.buckets.append(_Bucket(number))
        return self.buckets[-1]

    def _model(self, name: str) -> _Model:
        if name not in self.models and len(self.models) >= MOST_MODELS:
            name = OTHER  # a client may ask a provider for any name
        return self.models.setdefault(name, _Model())

    def _judge(self, health: _Health, record: Record, end: End, now: float) -> None:
        health.ends.add(end)
        error = record.error
        if isinstance(error, UpstreamFault) and error.kind not in _ASKERS:
            health.in_a_row += 1
            health.bad_at, health.error, health.status = now, error.kind.value, error.status
        elif end == "finished" or record.first_content_at is not None:
            health.in_a_row = 0
            health.good_at = now


class StateEndpoint:
    """``answer`` is a handler of Starlette. ``endpoints`` are the paths that this gateway serves; ``worker`` is this
    process's number where it is one of several, each of which has figures of its own."""

    def __init__(
        self,
        gateway: Gateway,
        deliveries: Deliveries,
        endpoints: Sequence[str],
        worker: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tally = Tally()
        gateway.observers.append(self.tally.observe)
        self._gateway = gateway
        self._deliveries = deliveries
        self._endpoints = sorted(set(endpoints))
        self._worker = worker
        self._clock = clock
        self._began = clock()

    async def answer(self, _: Request) -> Response:
        headers = {"cache-control": "no-store"}
        return Response(msgspec.json.encode(self.state()), 200, headers, "application/json")

    def state(self) -> dict[str, Any]:
        tally = self.tally
        now = self._gateway.now()
        return {
            "version": __version__,
            "now": timestamp(int(now * 1000)),
            "uptime_s": round(self._clock() - self._began, 1),
            "worker": self._worker,
            "open_streams": len(self._deliveries),
            "default_model": self._gateway.routes.default,
            "requests": tally.ends.said(),
            "clients": dict(tally.clients.most_common()),
            "errors": dict(tally.errors.most_common()),
            "recent": {"bucket_s": BUCKET_S, "buckets": self._recent(now)},
            "models": [_model(name, model) for name, model in sorted(tally.models.items())],
            "providers": [self._provider(name) for name in sorted(self._gateway.upstreams)],
            "endpoints": self._endpoints,
        }

    def _recent(self, now: float) -> list[dict[str, int]]:
        """The oldest first, without gaps, up to the present one."""
        last = int(now // BUCKET_S)
        known = {bucket.number: bucket for bucket in self.tally.buckets}
        found = [known.get(number) or _Bucket(number) for number in range(last - BUCKETS + 1, last + 1)]
        return [bucket.ends.said() | {"output_tokens": bucket.output_tokens} for bucket in found]

    def _provider(self, name: str) -> dict[str, Any]:
        provider = self._gateway.upstreams[name].provider
        health = self.tally.providers.get(name, _Health())
        if not provider.usable:
            state = "unusable"
        elif health.in_a_row:
            state = "failing"
        else:
            state = "ok" if health.good_at is not None else "unused"
        return {
            "name": name,
            "state": state,
            "lacks": provider.lacks if not provider.usable else None,
            "requests": health.ends.said(),
            "failures_in_a_row": health.in_a_row,
            "last_success": _moment(health.good_at),
            "last_failure": _moment(health.bad_at),
            "last_error": health.error,
            "last_error_status": health.status,
        }


def percentile(ordered: Sequence[float], share: int) -> float:
    """The smallest of ``ordered`` that at least ``share`` per cent of them do not exceed."""
    return ordered[max(0, -(-len(ordered) * share // 100) - 1)]


def _model(name: str, model: _Model) -> dict[str, Any]:
    ordered = sorted(model.first)
    first = {f"p{share}": round(percentile(ordered, share) * 1000, 1) for share in _SHARES} if ordered else None
    return {
        "model": name,
        "requests": model.ends.said(),
        "first_content_ms": first,
        "samples": len(ordered),
        "input_tokens": model.input_tokens,
        "output_tokens": model.output_tokens,
    }


def _moment(at: float | None) -> str | None:
    return None if at is None else timestamp(int(at * 1000))
