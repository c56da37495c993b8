"""MCP servers whose tools run here."""

from __future__ import annotations

from typing import Literal

import msgspec

from millstream.config.units import Port, Seconds


class McpToolConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What differs for one tool of a server. ``timeout`` in seconds; None leaves the server's value."""

    timeout: Seconds | None = None
    permission: Literal["allow", "ask", "deny"] | None = None


class McpOAuthConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How to get a token for a server; without ``grant``, not by OAuth. ``tokens`` is the file it is kept in."""

    grant: Literal["authorization_code", "client_credentials"] | None = None
    client_id: str | None = None
    client_secret: str | None = None
    client_secret_env: str | None = None
    scope: str | None = None
    port: Port = 0
    """Where the browser returns to after a login, on this machine; 0 lets the system choose."""
    tokens: str | None = None


class McpServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """An MCP server: ``command`` is started here, ``url`` is spoken to over streamable HTTP. Times are in seconds.

    ``${NAME}`` and ``${NAME:-default}`` in texts are environment variables. From ``type`` on, the names are those
    that other clients give the same things.
    """

    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str | None = None
    url: str | None = None
    headers: dict[str, str] = {}
    oauth: McpOAuthConfig = McpOAuthConfig()
    enabled: bool = True
    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    permission: Literal["allow", "ask", "deny"] = "allow"
    startup_timeout: Seconds = 30.0
    timeout: Seconds = 60.0
    tools: dict[str, McpToolConfig] = {}
    type: Literal["stdio", "http", "streamable-http", "streamable_http", "streamableHttp"] | None = None
    http_headers: dict[str, str] = {}
    bearer_token_env_var: str | None = None
    enabled_tools: tuple[str, ...] | None = None
    disabled_tools: tuple[str, ...] = ()
    startup_timeout_sec: Seconds | None = None
    tool_timeout_sec: Seconds | None = None
