"""The loads: how many streams, how fast, how long, and which figures each is for."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["steady", "replies", "flood", "idle", "leave"]

RAMP_PER_TICK = 3
TICK_S = 0.01
_QUICK_WINDOW_S = 2.0
_QUICK_STREAMS = 300


@dataclass(frozen=True, kw_only=True)
class Load:
    """``rate`` is events per second and stream; 0 is as fast as the socket takes. Times are in seconds.

    ``kind`` chooses the figures: ``steady`` delays and CPU per event, ``replies`` replies per second, ``flood`` events
    per second, ``idle`` memory of open streams, ``leave`` how soon an upstream is closed after its client.
    """

    name: str
    title: str
    kind: Kind
    streams: int
    rate: int = 0
    events: int = 0
    """Deltas of a reply. For ``steady`` loads it follows from the times."""
    window: float = 5.0
    settle: float = 1.0
    rest: float = 15.0
    """How long replies may go on after the window before they count as unfinished."""
    whole: bool = False
    hold: bool = False
    """The upstream falls silent after the first event."""
    leave_gap_ms: float | None = None
    """After the window clients leave mid-stream, one each so many milliseconds."""
    in_quick: bool = True

    @property
    def again(self) -> bool:
        """A finished stream is followed by the next one, on the same connection."""
        return self.kind in ("replies", "flood")

    @property
    def ramp(self) -> float:
        return self.streams / RAMP_PER_TICK * TICK_S

    @property
    def events_per_reply(self) -> int:
        """Enough that the first stream opened outlives the window."""
        if self.events:
            return self.events
        return math.ceil(self.rate * (self.ramp + self.settle + self.window + 0.5))

    @property
    def prompt(self) -> str:
        """What tells the upstream what to send; the percent signs become the request's number."""
        hold = " hold=1" if self.hold else ""
        return f"[load rate={self.rate} events={self.events_per_reply}{hold} id=%%%%%%%%]"

    def quick(self) -> Load:
        """The same with a shorter window, and memory of fewer streams."""
        fewer = min(self.streams, _QUICK_STREAMS) if self.kind == "idle" else self.streams
        return replace(self, window=min(self.window, _QUICK_WINDOW_S), settle=min(self.settle, 0.5), streams=fewer)


LOADS = (
    Load(name="single", title="1 stream × 100 events/s", kind="steady", streams=1, rate=100),
    Load(name="steady500", title="500 streams × 20 events/s", kind="steady", streams=500, rate=20),
    Load(name="steady1000", title="1000 streams × 20 events/s", kind="steady", streams=1000, rate=20, in_quick=False),
    Load(
        name="flood",
        title="flood: 32 streams of 20,000 events, no pacing",
        kind="flood",
        streams=32,
        events=20_000,
        window=3.0,
        settle=0.5,
    ),
    Load(
        name="short",
        title="short replies: 20 events, 32 in flight",
        kind="replies",
        streams=32,
        events=20,
        window=3.0,
        settle=0.5,
    ),
    Load(
        name="whole",
        title="whole replies (stream: false): 20 events, 32 in flight",
        kind="replies",
        streams=32,
        events=20,
        window=3.0,
        settle=0.5,
        whole=True,
    ),
    Load(
        name="idle",
        title="open idle streams: memory of each",
        kind="idle",
        streams=1000,
        events=2,
        window=1.0,
        hold=True,
        leave_gap_ms=0.2,
    ),
    Load(
        name="leave-silent",
        title="clients leave while the upstream is silent",
        kind="leave",
        streams=100,
        events=2,
        window=0.2,
        settle=0.5,
        hold=True,
        leave_gap_ms=5.0,
    ),
    Load(
        name="leave-flowing",
        title="clients leave while events flow (20/s)",
        kind="leave",
        streams=100,
        rate=20,
        events=2000,
        window=0.2,
        settle=0.5,
        leave_gap_ms=5.0,
    ),
)
