"""Names → dialects and providers. The one place that knows them all.

Packages of others add a dialect through the entry point group ``millstream.dialects``: the entry's name is the
dialect's, its value an object that fulfils ``dialects.base.Dialect``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from millstream import keystore
from millstream.config import Config, ConfigError, ProviderConfig, SearchConfig, secret
from millstream.dialects.base import Dialect
from millstream.providers import address, catalog
from millstream.providers.catalog import Provider, Row

if TYPE_CHECKING:
    from millstream.tools.base import ToolSource
    from millstream.tools.workspace import RunAgent, SearchBackend

_ADDRESS_PART = re.compile(r"[A-Za-z0-9._:/-]+")

_DIALECTS = {
    "anthropic": "millstream.dialects.anthropic",
    "openai_chat": "millstream.dialects.openai_chat",
    "openai_responses": "millstream.dialects.openai_responses",
    "gemini": "millstream.dialects.gemini",
}


def dialects() -> dict[str, Dialect]:
    """Every dialect by name, ours and those of installed packages."""
    found: dict[str, Dialect] = {name: import_module(module).DIALECT for name, module in _DIALECTS.items()}
    for entry in entry_points(group="millstream.dialects"):
        found[entry.name] = entry.load()
    return found


def providers(config: Config, environ: Mapping[str, str]) -> dict[str, Provider]:
    """Every provider by name: the catalog with the configuration laid over it. Raises ``ConfigError``.

    Keys come from the configuration, else from ``environ``, else from what its owner has stored.
    """
    known = dialects()
    stored = keystore.stored(environ)
    shipped = catalog.rows()
    found: dict[str, Provider] = {}
    for name in [*config.providers, *(name for name in shipped if name not in config.providers)]:
        own = config.providers.get(name, ProviderConfig())
        row, missing = placed(_merged(name, shipped.get(name), own, known), own.values, environ, f"providers.{name}")
        key = secret(own.api_key, row.api_key_env, own.api_key_file, environ, f"providers.{name}")
        if key is None and row.api_key_env is not None:
            key = stored.get(row.api_key_env)
        configured = name in config.providers or (row.api_key_env is not None and key is not None)
        try:
            found[name] = catalog.provider(name, row, known[row.dialect], key, configured=configured, missing=missing)
        except msgspec.ValidationError as error:
            raise ConfigError(f"providers.{name}.quirks: {error}") from error
    return found


def workspace_tools(config: Config, environ: Mapping[str, str], run_agent: RunAgent | None = None) -> ToolSource | None:
    """The tools of ``[tools.workspace]``; None without a root. ``run_agent`` does the work of Task.

    Raises ``ConfigError``.
    """
    own = config.tools.workspace
    if own.root is None:
        return None
    from millstream.tools import workspace

    root = Path(own.root).expanduser()
    if not root.is_dir():
        raise ConfigError(f"tools.workspace.root: {own.root} is not a directory")
    options = workspace.WorkspaceOptions(
        root=root,
        allow=frozenset(own.allow),
        network=own.network,
        unsafe=own.unsafe,
        readable=tuple(Path(path).expanduser() for path in own.readable),
        timeouts=own.timeouts,
        output_limit=own.output_limit,
        private_addresses=own.private_addresses,
        task_iterations=own.task_iterations,
        search=_search_backend(own.search, environ),
    )
    if own.skip is not None:
        options = replace(options, skip=own.skip)
    return workspace.WorkspaceTools(options, run_agent)


def _search_backend(own: SearchConfig, environ: Mapping[str, str]) -> SearchBackend | None:
    if own.service is None:
        return None
    from millstream.tools.workspace import SearchBackend

    where = "tools.workspace.search"
    env = own.api_key_env or (None if own.service == "searxng" else f"{own.service.upper()}_API_KEY")
    key = secret(own.api_key, env, own.api_key_file, environ, where)
    if own.service == "searxng" and own.url is None:
        raise ConfigError(f"{where}.url is missing: the address of the SearXNG to ask")
    if own.service != "searxng" and key is None:
        raise ConfigError(f"{where}.api_key is missing: set it, or the environment variable {env}")
    return SearchBackend(own.service, key, own.url)


def placed(row: Row, own: Mapping[str, str], environ: Mapping[str, str], owner: str) -> tuple[Row, tuple[str, ...]]:
    """``row`` with its address completed, and where the first value that is not there is looked for.

    Raises ``ConfigError`` for a value that it has no use for, or that cannot be part of an address.
    """
    for name, text in own.items():
        if name not in row.values:
            raise ConfigError(f"{owner}.values.{name} is not one of {', '.join(sorted(row.values)) or 'its values'}")
        if not _ADDRESS_PART.fullmatch(text):
            raise ConfigError(f"{owner}.values.{name}: {text!r} cannot be part of an address")
    found = address.values_of(row, own, environ)
    row = address.filled(row, found)
    missing = address.missing(row)
    if row.kind == "http" and not missing and not row.base_url.startswith(("http://", "https://")):
        raise ConfigError(f"{owner}: its address {row.base_url!r} is not an http(s) URL")
    return row, missing


def _merged(name: str, row: Row | None, own: ProviderConfig, known: Mapping[str, Dialect]) -> Row:
    dialect = own.dialect or (row.dialect if row else None)
    if dialect is None:
        raise ConfigError(f"providers.{name}.dialect is missing: one of {', '.join(sorted(known))}")
    if dialect not in known:
        near = difflib.get_close_matches(dialect, known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(sorted(known))}"
        raise ConfigError(f"providers.{name}.dialect: no dialect {dialect!r}; {hint}")
    base = row or Row(dialect=dialect)
    base_url = own.base_url or base.base_url
    if base.kind == "http" and not base_url.startswith(("http://", "https://", "{")):
        problem = f"{base_url!r} is not an http(s) URL" if base_url else "is missing"
        raise ConfigError(f"providers.{name}.base_url {problem}: write what the dialect's own SDK takes as base URL")
    return msgspec.structs.replace(
        base,
        dialect=dialect,
        base_url=base_url,
        api_key_env=own.api_key_env or (None if own.api_key or own.api_key_file else base.api_key_env),
        auth=own.auth or base.auth,
        default_model=own.default_model or base.default_model,
        headers={**base.headers, **own.headers},
        quirks={**(base.quirks if row and row.dialect == dialect else {}), **own.quirks},
    )
