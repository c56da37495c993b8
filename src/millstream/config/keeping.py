"""What outlives a request: the store, runs and their journal, streams of apps, background responses."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from millstream.config.units import Seconds


class SessionsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where what outlives a request is kept. ``path`` is the SQLite file, beside which ``journal.db`` holds the runs;
    without it, the one of ``state_path``."""

    store: Literal["sqlite", "memory", "redis"] = "sqlite"
    path: str | None = None
    redis_url: str | None = None
    """Such as ``redis://[user:password@]host:6379/0``, ``rediss://`` with TLS; needed for redis only."""
    max_bytes: Annotated[int, msgspec.Meta(gt=0)] = 512 * 1024 * 1024
    """All that is kept together; beyond it, what was kept longest ago is forgotten."""
    keep_for: Seconds = 30 * 24 * 3600.0


class ResponsesConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Background responses and WebSockets of the Responses API. Times are in seconds, sizes in bytes."""

    background_runs: Annotated[int, msgspec.Meta(ge=0)] = 64
    """How many may run at once; with 0, none."""
    run_limit: Seconds = 3600.0
    """A background response that takes longer than this fails."""
    run_buffer: Annotated[int, msgspec.Meta(gt=0)] = 16 * 1024 * 1024
    """The events of one background response that are held for whoever comes back; the oldest are let go of first."""
    connection_limit: Seconds = 3600.0
    """A WebSocket takes no further requests after this long."""


class RunsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Runs: replies that are kept in a journal while they are made, for whoever comes back. Times are in seconds."""

    limit: Seconds = 300.0
    """A run that takes longer than this fails."""
    most: Annotated[int, msgspec.Meta(gt=0)] = 1000
    """How many may be under way in one process."""
    on_disconnect: Literal["cancel", "drain", "detach"] = "cancel"
    """What becomes of a run of an app when its last reader has left, unless the request says it."""
    keep_for: Seconds = 24 * 3600.0
    """From its beginning on, a run can be read for so long."""
    held: Annotated[int, msgspec.Meta(gt=0)] = 1024 * 1024
    """Bytes of a run's newest events that are held for its readers; those behind read the journal."""
    durable: bool = False
    """An event is delivered only once the journal has it."""
    recover: Literal["fail", "continue"] = "fail"
    """What becomes of a run whose gateway died: it fails, or another that shares its journal goes on with it. Needs
    ``upstream.on_cut`` to continue, and makes runs durable."""
    heartbeat: Seconds = 15.0
    """Silence after which an app is sent a sign of life."""
    compression: bool = True
    """Streams for apps are compressed where the client asks for it."""


class StreamsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Streams that apps make and follow at ``/v1/stream/``. Times are in seconds."""

    poll: Seconds = 20.0
    """A reader who waits for what comes next is told after so long that nothing came."""
    follow: Seconds = 60.0
    """A connection of events ends after so long, and its reader comes again."""
