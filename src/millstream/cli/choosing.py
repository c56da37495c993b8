"""Providers by the names that people give, and the setting that makes one the default."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from millstream.config import ConfigError
from millstream.providers.catalog import Provider


def named(providers: Mapping[str, Provider], name: str) -> Provider:
    """Raises ``ConfigError`` that names the nearest ones."""
    found = providers.get(name)
    if found is None:
        near = difflib.get_close_matches(name, providers, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else "millstream provider lists them"
        raise ConfigError(f"no provider {name!r} here; {hint}")
    return found


def model_setting(provider: Provider, model: str | None) -> str:
    """What ``default_model`` must be.

    Raises ``ConfigError`` where no model is named and none is known, and for what cannot be a model's name.
    """
    if provider.kind == "embedded":
        return provider.name
    own = model or provider.default_model
    if own is not None and not all(sign.isprintable() and sign != " " for sign in own):
        raise ConfigError(f"{own!r} cannot be a model's name: it has spaces, or signs that cannot be printed")
    if own is None:
        raise ConfigError(f"{provider.name} has no default model: name one with --model")
    return own if own.startswith(f"{provider.name}/") else f"{provider.name}/{own}"


def key_variable(provider: Provider) -> str:
    """What the provider's stored key goes by. Raises ``ConfigError`` for one that takes none from there."""
    if provider.key_env is not None:
        return provider.key_env
    if provider.key is not None:
        raise ConfigError(f"the key of {provider.name} is in the settings (providers.{provider.name}): change it there")
    variable = f"{provider.name.upper().replace('-', '_')}_API_KEY"
    hint = f"providers.{provider.name}.api_key_env = {variable!r}"
    raise ConfigError(f"{provider.name} needs no key; if yours does, set {hint} first")
