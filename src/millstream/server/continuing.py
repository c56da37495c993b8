"""What the settings say about answers that break off."""

from __future__ import annotations

from millstream.config import Config
from millstream.pipeline import Continuation


def continuation_of(config: Config) -> Continuation | None:
    """None: they fail."""
    return Continuation(config.upstream.continue_with) if config.upstream.on_cut == "continue" else None
