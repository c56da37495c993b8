"""What an import leads to: our settings, the keys that go elsewhere, and what is to be said about the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from millstream.providers import catalog

_LOCAL = ("ollama", "vllm", "llamacpp", "lmstudio")
"""Rows whose address is only where such a server usually is."""


@dataclass(frozen=True, slots=True)
class KeyRef:
    """A key as it is given elsewhere: itself, or the variable that holds it."""

    value: str | None = None
    variable: str | None = None


@dataclass(slots=True)
class Imported:
    """``settings`` is a tree for our TOML; ``keys`` are by the variables that it names; ``left`` is for people."""

    default_model: str | None = None
    server: dict[str, Any] = field(default_factory=dict)
    upstream: dict[str, Any] = field(default_factory=dict)
    providers: dict[str, dict[str, Any]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    mcp_servers: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    def settings(self) -> dict[str, Any]:
        tree: dict[str, Any] = {"default_model": self.default_model} if self.default_model else {}
        sections = {
            "server": self.server,
            "upstream": self.upstream,
            "providers": {name: table for name, table in self.providers.items() if table},
            "aliases": self.aliases,
            "mcp_servers": self.mcp_servers,
        }
        return tree | {name: table for name, table in sections.items() if table}

    def provider(
        self,
        name: str,
        *,
        dialect: str,
        base_url: str,
        key: KeyRef,
        headers: Mapping[str, str] | None = None,
        like: str | None = None,
        quirks: Mapping[str, Any] | None = None,
    ) -> str:
        """The name that models of this upstream go by here: that of a catalog's row with the same address, else of a
        provider of one's own, called ``name`` if that is free and with the quirks of the row ``like``."""
        rows = catalog.rows()
        table: dict[str, Any] = {"headers": dict(headers)} if headers else {}
        row = _same(rows, dialect, base_url, name)
        if row is not None:
            known = row
            if rows[row].base_url.rstrip("/") != base_url.rstrip("/"):
                table["base_url"] = base_url
        else:
            known = self._free(name, rows)
            table |= {"dialect": dialect, "base_url": base_url}
        more = {**(rows[like].quirks if like in rows and row is None and rows[like].dialect == dialect else {})}
        if more or quirks:
            table["quirks"] = {**more, **(quirks or {})}
        variable = self._hold(known, rows.get(known), key)
        if variable is not None and (row is None or variable != rows[known].api_key_env):
            table["api_key_env"] = variable
        self.providers[known] = {**self.providers.get(known, {}), **table}
        return known

    def _free(self, name: str, rows: Mapping[str, catalog.Row]) -> str:
        plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "imported"
        return f"{plain}-own" if plain in rows else plain

    def _hold(self, name: str, row: catalog.Row | None, key: KeyRef) -> str | None:
        """The variable that the key is looked for in, and keeps a key that is given itself for it."""
        if key.variable is not None:
            return key.variable
        if not key.value:
            return None
        usual = row.api_key_env if row is not None else None
        if row is not None and usual is None:
            return None  # a server that asks for none: others' settings have to name something
        variable = usual or f"{re.sub(r'[^A-Za-z0-9]+', '_', name).upper()}_API_KEY"
        if self.keys.get(variable, key.value) != key.value:
            self.left.append(f"a second key for {variable}: the first one is kept")
        self.keys.setdefault(variable, key.value)
        return variable


def _same(rows: Mapping[str, catalog.Row], dialect: str, base_url: str, name: str) -> str | None:
    """The row that is meant: same address and dialect, or a server of one's own machine by its usual name."""
    if name in _LOCAL and rows[name].dialect == dialect:
        return name
    wanted = urlsplit(base_url.rstrip("/"))
    for known, row in rows.items():
        if row.dialect == dialect and row.kind == "http" and urlsplit(row.base_url.rstrip("/")) == wanted:
            return known
    return None


def route(provider: str, model: str) -> str:
    return f"{provider}/{model}"
