"""Runs in which everything happens that a run can tell of, for renderers to be held against schemas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from millstream.core import events as ev
from millstream.core import run_events as app
from millstream.core.errors import Kind
from millstream.core.messages import Opaque, Usage
from millstream.core.run_events import RunEntry, encode_entry

Ending = Literal["finished", "failed", "cancelled"]
USAGE = Usage(100, 20, 60, 10, 5)
_SIGNED = Opaque("anthropic", "c2lnbmVk")


def everything(ending: Ending) -> Sequence[RunEntry]:
    return [
        encode_entry(number, 1_700_000_000_000 + number, event)
        for number, event in enumerate([*_SAID, *_CALLED, *_RAN, *_TOLD, *_end(ending)], 1)
    ]


_SAID: tuple[app.RunEvent, ...] = (
    app.RunStart("run_1", "m", "t1"),
    app.StepStart(1),
    ev.MessageStart("msg_1", "m"),
    ev.ReasoningStart(0),
    ev.ReasoningDelta(0, "Hm."),
    ev.ReasoningEnd(0, _SIGNED),
    ev.ReasoningStart(1, redacted=_SIGNED),
    ev.ReasoningEnd(1),
    ev.TextStart(2),
    ev.TextDelta(2, 'Let me "look"\n\u2028'),
    ev.Citation(2, "anthropic", {}, "https://example.com/a", "A", "cited"),
    ev.Citation(2, "anthropic", {}, "https://example.com/b"),
    ev.Citation(2, "anthropic", {}, None, "A book"),
    ev.TextEnd(2, _SIGNED),
    ev.Media(3, "image/png", data="aGVsbG8="),
    ev.Media(4, "image/png", url="https://example.com/a.png"),
)
_CALLED: tuple[app.RunEvent, ...] = (
    ev.ToolCallStart(5, "c5", "Page"),
    ev.ToolCallDelta(5, '{"a":'),
    ev.ToolCallDelta(5, "1}"),
    ev.ToolCallEnd(5, _SIGNED),
    ev.ToolCallStart(6, "c6", "Page"),
    ev.ToolCallDelta(6, '{"a":'),
    ev.ToolCallEnd(6),
    ev.ToolCallStart(7, "c7", "Patch", kind="custom"),
    ev.ToolCallDelta(7, "*** Begin"),
    ev.ToolCallEnd(7),
    ev.ToolCallStart(8, "c8", "web_search", kind="server"),
    ev.ToolCallDelta(8, "{}"),
    ev.ToolCallEnd(8),
    ev.ServerToolResult(9, "anthropic", "c8", {"found": [1]}),
    ev.ToolCallStart(10, "c10", "web_search", kind="server"),
    ev.ToolCallDelta(10, '{"q"'),
    ev.ToolCallEnd(10),
)
_RAN: tuple[app.RunEvent, ...] = (
    app.StepStart(2),
    app.ToolDetected("r1", "Read"),
    app.ToolRunStart("r1", "Read", '{"path":"a"}'),
    app.ToolRunProgress("r1", "Read", 1, 2, "half"),
    app.ToolRunProgress("r1", "Read"),
    app.ToolRunEnd("r1", "Read", "text"),
    app.ToolDetected("r2", "Write"),
    app.ApprovalAsked("a2", "r2", "Write", '{"path":"b"}'),
    app.ApprovalGiven("a2", "r2", approved=True),
    app.ToolRunStart("r2", "Write", '{"path":"b"}'),
    app.ToolRunEnd("r2", "Write", "no room", is_error=True),
    app.ToolDetected("r3", "Bash"),
    app.ApprovalAsked("a3", "r3", "Bash", "{}"),
    app.ApprovalGiven("a3", "r3", approved=False, reason="too risky"),
    app.ToolRunEnd("r3", "Bash", "it was denied", is_error=True),
    app.ToolDetected("r4", "Bash"),
    app.ApprovalAsked("a4", "r4", "Bash", "{}"),
    app.ApprovalGiven("a4", "r4", approved=False),
    app.ToolRunEnd("r4", "Bash", "it was denied", is_error=True),
)
_TOLD: tuple[app.RunEvent, ...] = (
    app.StepStart(3),
    app.Status("processing"),
    app.Status("continued", "after a cut"),
    app.Switched("other/model", "it was overloaded"),
    app.Context("asks", {"river": "Nile"}),
    app.Suggestions(("a", "b", "c")),
    ev.TextStart(11),
    ev.TextDelta(11, "Done."),
    ev.Usage(USAGE),
)


def _end(ending: Ending) -> Sequence[app.RunEvent]:
    if ending == "finished":
        return [ev.TextEnd(11), ev.Finish(), app.RunEnd("finished", 3, 4, 1.5, USAGE, "stop")]
    cancelled = ending == "cancelled"
    kind = Kind.CANCELLED if cancelled else Kind.OVERLOADED
    fault = ev.Fault("upstream", kind, "no more", 503, retryable=True, retry_after=2.0)
    return [fault, app.RunEnd(ending, 3, 4, 1.5, None if cancelled else USAGE)]
