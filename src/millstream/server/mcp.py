"""MCP servers as the configuration names them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from millstream.config import ConfigError, McpServerConfig, state_path
from millstream.tools.mcp.settings import (
    Address,
    OAuth,
    Program,
    ServerSettings,
    ToolSettings,
    VariableMissing,
    expanded,
)


def mcp_settings(servers: Mapping[str, McpServerConfig], environ: Mapping[str, str]) -> dict[str, ServerSettings]:
    """Those that are enabled. Raises ``ConfigError``, also where a variable that a text names is not set."""
    return {name: _settings(name, config, environ) for name, config in servers.items() if config.enabled}


def _settings(name: str, config: McpServerConfig, environ: Mapping[str, str]) -> ServerSettings:
    try:
        target = _target(name, config, environ)
    except VariableMissing as error:
        raise ConfigError(f"mcp_servers.{name}: the environment variable {error} is not set") from error
    return ServerSettings(
        target,
        allow=config.allow if config.allow is not None else config.enabled_tools,
        deny=config.deny + config.disabled_tools,
        startup_timeout=config.startup_timeout_sec or config.startup_timeout,
        timeout=config.tool_timeout_sec or config.timeout,
        permission=config.permission,
        tools={tool: ToolSettings(own.timeout, own.permission) for tool, own in config.tools.items()},
    )


def _target(name: str, config: McpServerConfig, environ: Mapping[str, str]) -> Program | Address:
    here = f"mcp_servers.{name}"
    if (config.command is None) == (config.url is None):
        raise ConfigError(f"{here}: give it either a command, which is started, or a url")
    if config.command is not None:
        if config.type not in (None, "stdio"):
            raise ConfigError(f"{here}.type: {config.type} is for a url; a command is spoken to over stdio")
        command = Path(expanded(config.command, environ)).expanduser()
        args = tuple(expanded(argument, environ) for argument in config.args)
        cwd = Path(expanded(config.cwd, environ)).expanduser() if config.cwd is not None else None
        return Program(str(command), args, _all_expanded(config.env, environ), cwd)
    url = expanded(config.url or "", environ)
    if config.type == "stdio" or not url.startswith(("http://", "https://")):
        raise ConfigError(f"{here}.url: {url} is not an address of a streamable HTTP server (http://… or https://…)")
    headers = _all_expanded({**config.headers, **config.http_headers}, environ)
    if config.bearer_token_env_var is not None:
        headers["Authorization"] = "Bearer " + expanded(f"${{{config.bearer_token_env_var}}}", environ)
    return Address(url, headers, _oauth(name, url, config, environ))


def _all_expanded(texts: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    return {name: expanded(text, environ) for name, text in texts.items()}


def _oauth(name: str, url: str, config: McpServerConfig, environ: Mapping[str, str]) -> OAuth | None:
    oauth = config.oauth
    if oauth.grant is None:
        return None
    secret = oauth.client_secret
    if oauth.client_secret_env is not None:
        secret = expanded(f"${{{oauth.client_secret_env}}}", environ)
    if oauth.grant == "client_credentials" and (oauth.client_id is None or secret is None):
        raise ConfigError(f"mcp_servers.{name}.oauth: client_credentials needs client_id and client_secret")
    kept = hashlib.sha256(f"{name}\n{url}".encode()).hexdigest()[:16]
    tokens = Path(oauth.tokens).expanduser() if oauth.tokens else state_path().parent / "mcp" / f"{kept}.json"
    return OAuth(tokens, oauth.grant, oauth.client_id, secret, oauth.scope, oauth.port)
