"""What the settings say about answers that break off."""

from __future__ import annotations

from millstream.config import Config, ConfigError
from millstream.pipeline import Continuation


def continuation_of(config: Config) -> Continuation | None:
    """None: they fail."""
    return Continuation(config.upstream.continue_with) if config.upstream.on_cut == "continue" else None


def recovers(config: Config) -> bool:
    """Whether runs of gateways that died are gone on with. Raises ``ConfigError``."""
    if config.runs.recover == "continue" and config.upstream.on_cut != "continue":
        raise ConfigError('runs.recover: to continue runs, set upstream.on_cut = "continue" as well')
    return config.runs.recover == "continue"
