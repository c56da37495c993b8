"""Where the settings and the state are when nobody says."""

from __future__ import annotations

from pathlib import Path

import platformdirs


def default_path() -> Path:
    """Where the configuration is looked for when no file is named."""
    return platformdirs.user_config_path("millstream") / "config.toml"


def state_path() -> Path:
    """Where sessions are kept when the configuration names no file."""
    return platformdirs.user_state_path("millstream") / "sessions.db"
