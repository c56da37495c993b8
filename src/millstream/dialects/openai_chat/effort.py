"""How much to think: canonical → the words of one provider."""

from __future__ import annotations

from typing import Any

from millstream.core.messages import Reasoning
from millstream.dialects.openai_chat.quirks import OpenAIChatQuirks, reasoning_style

_SCALE = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_LOW_BUDGET = 4096
_MEDIUM_BUDGET = 16384


def reasoning_fields(wanted: Reasoning, quirks: OpenAIChatQuirks, model: str) -> dict[str, Any] | None:
    """Fields of the request, none of them where the provider's default is what was asked for. None if ``model`` cannot
    be told."""
    match reasoning_style(quirks, model):
        case "effort":
            effort = _effort(wanted)
            return {"reasoning_effort": _nearest(effort, quirks.efforts)} if effort else {}
        case "openrouter":
            return _openrouter(wanted, quirks)
        case "thinking":
            return _thinking(wanted, quirks)
        case "template":
            if wanted.mode not in ("enabled", "disabled"):
                return {}
            return {"chat_template_kwargs": {"enable_thinking": wanted.mode == "enabled"}}
        case "none" | "always":
            return None


def _effort(wanted: Reasoning) -> str | None:
    if wanted.mode == "disabled":
        return "none"
    if wanted.effort is not None or wanted.budget is None:
        return wanted.effort
    if wanted.budget <= _LOW_BUDGET:
        return "low"
    return "medium" if wanted.budget <= _MEDIUM_BUDGET else "high"


def _nearest(effort: str, known: tuple[str, ...]) -> str:
    """The most of the ``known`` that is not more than ``effort``; the least of them if all are."""
    if effort in known or effort not in _SCALE:
        return effort
    ranked = sorted((name for name in known if name in _SCALE), key=_SCALE.index)
    below = [name for name in ranked if _SCALE.index(name) <= _SCALE.index(effort)]
    return below[-1] if below else ranked[0] if ranked else effort


def _openrouter(wanted: Reasoning, quirks: OpenAIChatQuirks) -> dict[str, Any]:
    if wanted.effort is None and wanted.budget is not None and wanted.mode != "disabled":
        return {"reasoning": {"max_tokens": wanted.budget}}
    effort = _effort(wanted)
    if effort is not None:
        return {"reasoning": {"effort": _nearest(effort, quirks.efforts)}}
    return {"reasoning": {"enabled": True}} if wanted.mode is not None else {}


def _thinking(wanted: Reasoning, quirks: OpenAIChatQuirks) -> dict[str, Any]:
    """An effort alone does not turn thinking on: whoever sends no more means the provider's default."""
    fields: dict[str, Any] = {}
    if wanted.mode is not None:
        fields["thinking"] = {"type": "disabled" if wanted.mode == "disabled" else "enabled"}
    effort = _effort(wanted)
    if quirks.thinking_effort and effort is not None and wanted.mode != "disabled":
        fields["reasoning_effort"] = _nearest(effort, quirks.efforts)
    return fields
