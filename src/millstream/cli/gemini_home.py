"""A home for Gemini CLI where its user logs in otherwise than by a key: that choice stands in a file and wins over
variables, and the file is not ours to change.

It is a folder of ours with links to all that the user's ``~/.gemini`` has (memory, history, extensions), and settings
of its own: the user's, with the log-in that a gateway takes. Settings that are changed in there are gone with the next
launch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from millstream.config import ConfigError

_TAKEN_BY_GATEWAYS = (None, "gemini-api-key", "gateway")
_NOT_LINKED = ("settings.json", "oauth_creds.json", "google_accounts.json")


def home_for(environ: Mapping[str, str], folder: Path, workplace: Path) -> Path | None:
    """``folder`` made such a home, or None where the user's own does. Raises ``ConfigError`` for settings that cannot
    be read, and for ones of the project ``workplace`` that win over any home's."""
    user = Path(environ.get("GEMINI_CLI_HOME") or Path.home()) / ".gemini"
    project = workplace / ".gemini"
    if project != user and (chosen := _login(project / "settings.json")[0]) not in _TAKEN_BY_GATEWAYS:
        raise ConfigError(f"{project / 'settings.json'} logs in by {chosen}, which wins over this gateway: remove it")
    chosen, settings = _login(user / "settings.json")
    if chosen in _TAKEN_BY_GATEWAYS:
        return None
    security = settings["security"]
    settings["security"] = {**security, "auth": {**security["auth"], "selectedType": "gemini-api-key"}}
    own = folder / ".gemini"
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    for entry in user.iterdir():
        link = own / entry.name
        if entry.name not in _NOT_LINKED and not link.is_symlink():
            link.unlink(missing_ok=True)
            link.symlink_to(entry.absolute())
    whole = own / f"settings.{os.getpid()}"
    whole.write_text(json.dumps(settings, indent=2))
    whole.replace(own / "settings.json")  # another launch may be reading it
    return folder


def _login(file: Path) -> tuple[str | None, dict[str, Any]]:
    """What ``file`` chooses, if anything, and all that it says."""
    if not file.exists():
        return None, {}
    try:
        settings = json.loads(file.read_bytes())
        return settings.get("security", {}).get("auth", {}).get("selectedType"), settings
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(f"{file} cannot be read, so how Gemini CLI would log in is not known: {error}") from error
