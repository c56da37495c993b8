"""What a process has served since it began, in figures.

They are counted once per request, when it has ended, and take bounded space however many requests, models and errors
there are. Nothing in them is of what was asked or answered. They are plain values, so that processes can tell each
other of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from millstream.core.errors import Kind, UpstreamFault
from millstream.pipeline import End, Record

BUCKET_S = 5
BUCKETS = 120
SAMPLES = 500
"""First-content times that are kept of each model: percentiles are of the last so many."""

MOST_MODELS = 50
OTHER = "(other models)"
_ASKERS = frozenset({Kind.INVALID_REQUEST, Kind.NOT_FOUND, Kind.TOO_LARGE})
"""What is wrong with a request, even where it takes its provider to say so."""


class Ends(msgspec.Struct):
    finished: int = 0
    failed: int = 0
    cancelled: int = 0

    def add(self, end: End) -> None:
        setattr(self, end, getattr(self, end) + 1)

    def take(self, other: Ends) -> None:
        self.finished += other.finished
        self.failed += other.failed
        self.cancelled += other.cancelled

    def said(self) -> dict[str, int]:
        return {"finished": self.finished, "failed": self.failed, "cancelled": self.cancelled}


class OfModel(msgspec.Struct):
    ends: Ends = msgspec.field(default_factory=Ends)
    first: list[float] = msgspec.field(default_factory=list)
    input_tokens: int = 0
    output_tokens: int = 0

    def take(self, other: OfModel) -> None:
        self.ends.take(other.ends)
        self.first += other.first
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens


class Health(msgspec.Struct):
    """``in_a_row`` counts the failures since the last success."""

    ends: Ends = msgspec.field(default_factory=Ends)
    in_a_row: int = 0
    good_at: float | None = None
    bad_at: float | None = None
    error: str | None = None
    status: int | None = None

    def take(self, other: Health) -> None:
        """``other`` is of another process. Failures before anybody's last success are over."""
        self.ends.take(other.ends)
        good_at = max((at for at in (self.good_at, other.good_at) if at is not None), default=None)
        rows = [one.in_a_row for one in (self, other) if good_at is None or (one.bad_at or 0.0) > good_at]
        self.in_a_row, self.good_at = sum(rows), good_at
        if other.bad_at is not None and (self.bad_at is None or other.bad_at > self.bad_at):
            self.bad_at, self.error, self.status = other.bad_at, other.error, other.status


class Bucket(msgspec.Struct):
    number: int
    ends: Ends = msgspec.field(default_factory=Ends)
    output_tokens: int = 0


class Tally(msgspec.Struct):
    """An observer of a gateway's requests."""

    ends: Ends = msgspec.field(default_factory=Ends)
    models: dict[str, OfModel] = msgspec.field(default_factory=dict)
    providers: dict[str, Health] = msgspec.field(default_factory=dict)
    clients: dict[str, int] = msgspec.field(default_factory=dict)
    errors: dict[str, int] = msgspec.field(default_factory=dict)
    buckets: list[Bucket] = msgspec.field(default_factory=list)

    def observe(self, record: Record, status: int, end: End, began: float, now: float) -> None:
        self.ends.add(end)
        self.clients[record.dialect] = self.clients.get(record.dialect, 0) + 1
        if end == "failed" and record.error is not None:
            kind = record.error.kind.value
            self.errors[kind] = self.errors.get(kind, 0) + 1
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
            del model.first[:-SAMPLES]
        if record.usage is not None:
            model.input_tokens += record.usage.input_tokens
            model.output_tokens += tokens
        self._judge(self.providers.setdefault(record.route.provider, Health()), record, end, now)

    def _bucket(self, now: float) -> Bucket:
        number = int(now // BUCKET_S)
        if not self.buckets or self.buckets[-1].number < number:
            self.buckets.append(Bucket(number))
            del self.buckets[:-BUCKETS]
        return self.buckets[-1]

    def _model(self, name: str) -> OfModel:
        if name not in self.models and len(self.models) >= MOST_MODELS:
            name = OTHER  # a client may ask a provider for any name
        return self.models.setdefault(name, OfModel())

    def _judge(self, health: Health, record: Record, end: End, now: float) -> None:
        health.ends.add(end)
        error = record.error
        if isinstance(error, UpstreamFault) and error.kind not in _ASKERS:
            health.in_a_row += 1
            health.bad_at, health.error, health.status = now, error.kind.value, error.status
        elif end == "finished" or record.first_content_at is not None:
            health.in_a_row = 0
            health.good_at = now

    def take(self, other: Tally) -> None:
        """Add what another process has served."""
        self.ends.take(other.ends)
        for name, model in other.models.items():
            self.models.setdefault(name, OfModel()).take(model)
        for name, health in other.providers.items():
            self.providers.setdefault(name, Health()).take(health)
        self.clients = dict(Counter(self.clients) + Counter(other.clients))
        self.errors = dict(Counter(self.errors) + Counter(other.errors))
        buckets = {bucket.number: bucket for bucket in self.buckets}
        for bucket in other.buckets:
            mine = buckets.setdefault(bucket.number, Bucket(bucket.number))
            mine.ends.take(bucket.ends)
            mine.output_tokens += bucket.output_tokens
        self.buckets = sorted(buckets.values(), key=lambda bucket: bucket.number)


def summed(tallies: Iterable[Tally]) -> Tally:
    whole = Tally()
    for tally in tallies:
        whole.take(tally)
    return whole
