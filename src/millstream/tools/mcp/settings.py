"""What there is to know about an MCP server before it is started."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from millstream.tools.base import Permission

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


@dataclass(frozen=True, slots=True)
class Program:
    """A server that is started here and spoken to over its standard input and output."""

    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    """Besides the few variables that every program needs (``PATH``, ``HOME``, …); nothing else is inherited."""
    cwd: Path | None = None


@dataclass(frozen=True, slots=True)
class OAuth:
    """How a token is obtained. ``tokens`` is the file it is kept in, readable by its owner only.

    ``client_credentials`` needs ``client_id`` and ``client_secret``; with ``authorization_code`` a person logs in once,
    and a client without ``client_id`` registers itself. ``port`` 0 lets the system choose where the browser returns to.
    """

    tokens: Path
    grant: Literal["authorization_code", "client_credentials"] = "authorization_code"
    client_id: str | None = None
    client_secret: str | None = None
    scope: str | None = None
    port: int = 0


@dataclass(frozen=True, slots=True)
class Address:
    """A server that runs elsewhere and speaks streamable HTTP."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    oauth: OAuth | None = None


@dataclass(frozen=True, slots=True)
class ToolSettings:
    """What differs for one tool; None leaves the server's value. ``timeout`` in seconds."""

    timeout: float | None = None
    permission: Permission | None = None


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Times in seconds. ``allow`` and ``deny`` are tool names, with ``*`` and ``?``; ``allow`` None: all of them."""

    target: Program | Address
    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    startup_timeout: float = 30.0
    timeout: float = 60.0
    permission: Permission = "allow"
    tools: Mapping[str, ToolSettings] = field(default_factory=dict)
    check_every: float = 60.0
    """How long a server may be silent before it is asked whether it still answers."""
    check_timeout: float = 10.0
    backoff: float = 0.5
    """The wait before the first restart. It doubles with each failure, up to ``max_backoff``."""
    max_backoff: float = 60.0
    stop_timeout: float = 2.0
    """How long a program may take to end by itself, and again after it was told to."""

    def admits(self, tool: str) -> bool:
        named = self.allow is None or any(fnmatchcase(tool, pattern) for pattern in self.allow)
        return named and not any(fnmatchcase(tool, pattern) for pattern in self.deny)


class VariableMissing(Exception):
    """A text names an environment variable that is not set. The message is that name."""


def expanded(text: str, environ: Mapping[str, str]) -> str:
    """``text`` with ``${NAME}`` and ``${NAME:-default}`` replaced, as in other clients. Raises ``VariableMissing``."""

    def value(match: re.Match[str]) -> str:
        name, default = match.groups()
        found = environ.get(name, default)
        if found is None:
            raise VariableMissing(name)
        return found

    return _VARIABLE.sub(value, text)
