"""Why an answer ended: ``finishReason`` ⇄ the canonical reasons.

Source: https://ai.google.dev/api/generate-content#FinishReason and the installed SDK's enumeration.
"""

from __future__ import annotations

from millstream.core.errors import Kind, UpstreamFault
from millstream.core.messages import FinishReason

_FILTERED = (
    "SAFETY RECITATION LANGUAGE BLOCKLIST PROHIBITED_CONTENT SPII IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT "
    "IMAGE_RECITATION IMAGE_OTHER NO_IMAGE MODEL_ARMOR OTHER ESCALATION PUP_LIMITED_DISABLED"
)
_REASONS: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    **dict.fromkeys(_FILTERED.split(), "content_filter"),
}
_BROKEN = frozenset(
    {"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE"},
)
"""The model broke off in the middle of saying something unusable. To take that for an answer would end an agent's
work in silence; another try usually succeeds."""

_UNSIGNED = "MISSING_THOUGHT_SIGNATURE"

_OUT: dict[FinishReason, str] = {
    "stop": "STOP",
    "stop_sequence": "STOP",
    "tool_calls": "STOP",
    "pause": "STOP",
    "length": "MAX_TOKENS",
    "context_window": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "refusal": "SAFETY",
}


def reason_of(written: str, *, called: bool) -> FinishReason:
    """``called``: the answer holds calls for the client, which Google ends with ``STOP`` like any other."""
    reason = _REASONS.get(written, "stop")
    return "tool_calls" if called and reason == "stop" else reason


def failure_of(written: str, message: str | None) -> UpstreamFault | None:
    """The fault that a reason stands for, if the answer cannot be used."""
    said = f": {message}" if message else ""
    if written in _BROKEN:
        return UpstreamFault(f"the model ended with {written}{said}", Kind.MALFORMED, code=written)
    if written == _UNSIGNED:
        text = f"the model ended with {written}{said}"
        return UpstreamFault(text, Kind.INVALID_REQUEST, code=written, retryable=False)
    return None


def reason_out(reason: FinishReason) -> str:
    return _OUT[reason]
