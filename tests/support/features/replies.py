"""What an upstream may answer, by example: events, and the text in them that a client must find again."""

from __future__ import annotations

from typing import Any

from millstream.core import events as ev
from millstream.core.messages import FinishReason, Opaque, Request, Tool, Usage
from millstream.dialects.base import ReplyContext
from millstream.registry import dialects

_FINISH = (ev.ChoiceEnd(0, "stop"), ev.Finish())
_CALL = ev.ToolCallStart(0, "call_1", "CALLED")


def _block(*events: ev.Event) -> tuple[ev.Event, ...]:
    return ev.MessageStart("reply_1", "m"), *events, *_FINISH


def _counted(**counts: Any) -> tuple[ev.Event, ...]:
    return _block(ev.Usage(Usage(1000, 500, **counts)))


def _ended(reason: FinishReason) -> tuple[ev.Event, ...]:
    said = (ev.TextStart(0), ev.TextDelta(0, "a"), ev.TextEnd(0))
    return ev.MessageStart("reply_1", "m"), *said, ev.ChoiceEnd(0, reason, "END"), ev.Finish()


_PAGE = {"type": "page", "url": "https://MARK"}
_CITED = ev.Citation(0, "elsewhere", _PAGE, url="https://MARK", title="t", cited_text="a", start=0, end=1)

REPLIES: dict[str, tuple[tuple[ev.Event, ...], str]] = {
    "text": (_block(ev.TextStart(0), ev.TextDelta(0, "MARK"), ev.TextEnd(0)), "MARK"),
    "refusal": (_block(ev.TextStart(0, kind="refusal"), ev.TextDelta(0, "MARK"), ev.TextEnd(0)), "MARK"),
    "log probabilities": (
        _block(ev.TextStart(0), ev.TextDelta(0, "a", {"elsewhere": {"logprobs": ["MARK"]}}), ev.TextEnd(0)),
        "MARK",
    ),
    "citation of a web page": (_block(ev.TextStart(0), ev.TextDelta(0, "a"), _CITED, ev.TextEnd(0)), "https://MARK"),
    "thought": (_block(ev.ReasoningStart(0), ev.ReasoningDelta(0, "MARK"), ev.ReasoningEnd(0)), "MARK"),
    "signature of a thought": (
        _block(ev.ReasoningStart(0), ev.ReasoningDelta(0, "a"), ev.ReasoningEnd(0, Opaque("elsewhere", "MARK"))),
        "MARK",
    ),
    "hidden thought": (
        _block(ev.ReasoningStart(0, redacted=Opaque("elsewhere", "MARK")), ev.ReasoningEnd(0)),
        "MARK",
    ),
    "function call": (_block(_CALL, ev.ToolCallDelta(0, '{"a":"MARK"}'), ev.ToolCallEnd(0)), "MARK"),
    "signature of a call": (
        _block(_CALL, ev.ToolCallDelta(0, "{}"), ev.ToolCallEnd(0, Opaque("elsewhere", "MARK"))),
        "MARK",
    ),
    "call with free text": (
        _block(ev.ToolCallStart(0, "call_1", "FREE", kind="custom"), ev.ToolCallDelta(0, "MARK"), ev.ToolCallEnd(0)),
        "MARK",
    ),
    "call that the provider runs": (
        _block(
            ev.ToolCallStart(0, "call_1", "web_search", kind="server"),
            ev.ToolCallDelta(0, '{"query":"MARK"}'),
            ev.ToolCallEnd(0),
        ),
        "MARK",
    ),
    "what it gave": (_block(ev.ServerToolResult(0, "elsewhere", "call_1", {"x": 1}, text="MARK")), "MARK"),
    "picture": (_block(ev.Media(0, "image/png", "MARK")), "MARK"),
    "block of a kind yet unknown, of another API": (_block(ev.UnknownBlock(0, "elsewhere", {"type": "MARK"})), "MARK"),
    "tokens read": (_block(ev.Usage(Usage(7654321, 1))), "7654321"),
    "tokens written": (_block(ev.Usage(Usage(1, 7654321))), "7654321"),
    "tokens read from a cache": (_counted(cache_read_tokens=543), "543"),
    "tokens written to a cache": (_counted(cache_write_tokens=543), "543"),
    "tokens thought": (_counted(reasoning_tokens=345), "345"),
    "end: stop sequence": (_ended("stop_sequence"), "END"),
    "end: length": (_ended("length"), ""),
    "end: content filter": (_ended("content_filter"), ""),
    "end: context window": (_ended("context_window"), ""),
    "end: pause": (_ended("pause"), ""),
}


def heard(client: str, events: tuple[ev.Event, ...]) -> str:
    """The stream that a client of this dialect gets."""
    tools = (Tool("FREE", kind="custom"),)
    request = Request(client, "m", (), tools=tools, stream=True, include_usage=True, logprobs=True)
    renderer = dialects()[client].renderer(ReplyContext("reply_1", 1_700_000_000, request))
    return renderer.render(events).decode()
