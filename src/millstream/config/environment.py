"""What the environment says: settings by variables of ours, and secrets by variables of anyone's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from millstream.config.errors import ConfigError
from millstream.config.names import fields_of
from millstream.config.tree import Config

ENV_PREFIX = "MILLSTREAM_"
_ENV_SHORT = {"MILLSTREAM_HOST": "server.host", "MILLSTREAM_PORT": "server.port"}


def from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Dotted names → values. Variables that only begin like ours are left alone."""
    found: dict[str, str] = {}
    top = fields_of(Config)
    for variable, text in sorted(environ.items()):
        name = variable.removeprefix(ENV_PREFIX).lower()
        if variable in _ENV_SHORT:
            found[_ENV_SHORT[variable]] = text
        elif variable.startswith(ENV_PREFIX) and ("__" in name or name in top):
            found[name.replace("__", ".")] = text
    return found


def secret(value: str | None, env: str | None, file: str | None, environ: Mapping[str, str], owner: str) -> str | None:
    """A credential given directly, by a file or by a variable's name. Raises ``ConfigError`` for an unreadable file."""
    if value is not None:
        return value
    if file is not None:
        try:
            return Path(file).expanduser().read_text().strip()
        except OSError as error:
            raise ConfigError(f"{owner}.api_key_file: cannot read {file}: {error.strerror}") from error
    return environ.get(env) or None if env is not None else None
