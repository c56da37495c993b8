"""What a gateway makes of its settings: the table of model names, and the key that clients must show.

Apart from the gateway itself, so that a command which only asks for them does not load all that serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from millstream.config import Config, ConfigError, secret
from millstream.core.errors import ClientFault
from millstream.policy.routing import Routes
from millstream.providers.catalog import Provider

EMBEDDED = "embedded"


def routes(config: Config, providers: Mapping[str, Provider]) -> Routes:
    """The table of model names. Raises ``ConfigError`` where a name the configuration gives leads nowhere."""
    table = Routes(
        providers={name: p.default_model if p.usable else None for name, p in providers.items()},
        default=config.default_model or _default_model(providers),
        aliases=config.aliases,
        unknown=config.unknown_model,
        own_models={name: p.own_models for name, p in providers.items()},
    )
    named = [("default_model", table.default), *((f"aliases.{a}", a) for a in config.aliases)]
    for setting, name in [*named, *(("upstream.continue_with", name) for name in config.upstream.continue_with)]:
        try:
            replace(table, unknown="error").resolve(name)
        except ClientFault as fault:
            raise ConfigError(f"{setting}: {fault.message}") from fault
    return table


def server_key(config: Config, environ: Mapping[str, str]) -> str | None:
    """The key clients must show. Raises ``ConfigError`` where one is asked for but missing: never open by mistake."""
    server = config.server
    key = secret(server.api_key, server.api_key_env, server.api_key_file, environ, "server")
    if not key and server.api_key_env is not None:
        raise ConfigError(f"server.api_key_env: the environment variable {server.api_key_env} is not set")
    if not key and (server.api_key_file is not None or server.api_key is not None):
        raise ConfigError("server: the key that clients must show is empty; fill it, or leave the setting out")
    return key


def _default_model(providers: Mapping[str, Provider]) -> str:
    """The first configured provider that says which model it is for; with none, the model in this process."""
    for provider in providers.values():
        if provider.configured and provider.usable and provider.default_model:
            return f"{provider.name}/{provider.default_model}"
    return EMBEDDED
