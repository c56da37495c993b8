"""What the gateway answers about itself, as types. A field that is ``UNSET`` may be missing."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from millstream.server.openapi.shapes import Timestamp

Seconds = Annotated[float, Meta(description="Seconds.")]
Day = Annotated[str, Meta(extra_json_schema={"format": "date"})]


class Health(msgspec.Struct, frozen=True):
    """``config`` is the same wherever the settings are. ``worker`` and ``pid`` are there where several processes
    serve."""

    status: Literal["ok"]
    version: str
    uptime_s: Seconds
    open_streams: int
    config: str
    worker: int | UnsetType = UNSET
    pid: int | UnsetType = UNSET


class Ended(msgspec.Struct, frozen=True):
    finished: int
    failed: int
    cancelled: int


class RecentBucket(msgspec.Struct, frozen=True):
    finished: int
    failed: int
    cancelled: int
    output_tokens: int


class Recent(msgspec.Struct, frozen=True):
    """The last ten minutes, the oldest bucket first."""

    bucket_s: int
    buckets: list[RecentBucket]


class FirstContent(msgspec.Struct, frozen=True):
    p50: float
    p95: float
    p99: float


class ModelState(msgspec.Struct, frozen=True):
    """``first_content_ms`` is of so many ``samples``, the latest."""

    model: str
    requests: Ended
    first_content_ms: FirstContent | None
    samples: int
    input_tokens: int
    output_tokens: int


class ProviderState(msgspec.Struct, frozen=True):
    """``lacks`` says why it is unusable."""

    name: str
    state: Literal["ok", "failing", "unused", "unusable"]
    lacks: str | None
    requests: Ended
    failures_in_a_row: int
    last_success: Timestamp | None
    last_failure: Timestamp | None
    last_error: str | None
    last_error_status: int | None


class GatewayState(msgspec.Struct, frozen=True):
    """Figures since the gateway began. ``worker`` is the one that answered, of ``processes`` whose figures they are."""

    version: str
    now: Timestamp
    uptime_s: Seconds
    worker: int | None
    processes: int
    open_streams: int
    default_model: str
    requests: Ended
    clients: dict[str, int]
    errors: dict[str, int]
    recent: Recent
    models: list[ModelState]
    providers: list[ProviderState]
    endpoints: list[str]


class UsageTotal(msgspec.Struct, frozen=True):
    """``input_tokens`` includes ``cache_read_tokens``. Nobody knows the price of ``unpriced`` requests."""

    requests: int
    failed: int
    unpriced: int
    input_tokens: int
    cache_read_tokens: int
    output_tokens: int
    cost_usd: float


class UsageRow(UsageTotal, frozen=True, kw_only=True):
    """Of one group: what it was asked to be grouped ``by`` is there."""

    key: str | UnsetType = UNSET
    user: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    day: Day | UnsetType = UNSET


class UsageReport(msgspec.Struct, frozen=True, rename={"first": "from", "last": "to"}):
    """The dearest group first. Both days are part of it."""

    first: Day
    last: Day
    usage: list[UsageRow]
    total: UsageTotal
