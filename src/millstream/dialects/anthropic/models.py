"""What a model's name tells about how it wants to be asked.

Source: which fields Claude Code 2.1.329 sends to which model. From 4.6 on Claude models think adaptively, with an
effort, and take ``role: "system"`` within ``messages``; before, they take a ``budget_tokens`` and no such role. Models
of others behind this API are asked in the older way, which all of them understand.
"""

from __future__ import annotations

import re

_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d+)(?:[-.](\d{1,2})(?!\d))?")
_ADAPTIVE_FROM = (4, 6)


def is_adaptive(model: str) -> bool:
    """``claude-sonnet-4-5@20250929`` → false, ``anthropic/claude-opus-4.6`` → true, ``kimi-k2`` → false."""
    found = _VERSION.search(model)
    if found is None:
        return "claude" in model
    return (int(found.group(1)), int(found.group(2) or 0)) >= _ADAPTIVE_FROM
