"""The configuration folder of Kimi Code (``~/.kimi-code``, before ``~/.kimi``): ``config.toml`` and ``mcp.json``.

https://moonshotai.github.io/kimi-code/en/configuration/config-files.html
"""

from __future__ import annotations

from typing import Any

import msgspec

from millstream.cli.importing.result import Imported, KeyRef, route
from millstream.cli.importing.source import Source
from millstream.config import McpServerConfig

_TYPES = {
    "kimi": ("openai_chat", "https://api.moonshot.ai/v1"),
    "openai": ("openai_chat", "https://api.openai.com/v1"),
    "openai_legacy": ("openai_chat", "https://api.openai.com/v1"),
    "openai_responses": ("openai_responses", "https://api.openai.com/v1"),
    "anthropic": ("anthropic", "https://api.anthropic.com"),
    "google-genai": ("gemini", "https://generativelanguage.googleapis.com"),
    "google_genai": ("gemini", "https://generativelanguage.googleapis.com"),
    "gemini": ("gemini", "https://generativelanguage.googleapis.com"),
}
_LIKE = {"kimi": "moonshot"}


def convert(tree: Any, mcp: Any = None) -> Imported:
    """``mcp`` is what ``mcp.json`` holds. Everything that has a meaning here; the rest is named in ``left``."""
    source = Source(tree)
    found = Imported()
    names = {name: ours for name in source.keys("providers") if (ours := _provider(source, name, found))}
    models: dict[str, str] = {}
    for alias in source.keys("models"):
        provider, model = (source.get(str, "models", alias, part) for part in ("provider", "model"))
        if provider not in names or model is None:
            source.refuse("models", alias)
            continue
        models[alias] = route(names[provider], model)
        if models[alias] != alias:
            found.aliases[alias] = models[alias]
    default = source.get(str, "default_model")
    if default in models:
        found.default_model = models[default]
    else:
        source.refuse("default_model")
    found.left += [_explained(name) for name in source.left()]
    if mcp is not None:
        _mcp(Source(mcp), found)
    return found


def _provider(source: Source, name: str, found: Imported) -> str | None:
    at = ("providers", name)
    kind = source.get(str, *at, "type") or ""
    if kind not in _TYPES:
        source.refuse(*at)
        return None
    dialect, usual = _TYPES[kind]
    inner = {part.rpartition("_")[0]: part for part in source.keys(*at, "env")}
    base_url = source.get(str, *at, "base_url")
    key = KeyRef(source.get(str, *at, "api_key") or None, source.get(str, *at, "api_key_env"))
    for part in inner.values():
        if part.endswith("_API_KEY") and key == KeyRef():
            key = KeyRef(source.get(str, *at, "env", part))
        elif part.endswith("_BASE_URL") and base_url is None:
            base_url = source.get(str, *at, "env", part)
    headers = source.get(dict, *at, "custom_headers")
    return found.provider(
        name, dialect=dialect, base_url=(base_url or usual).rstrip("/"), key=key, headers=headers, like=_LIKE.get(kind)
    )


def _mcp(source: Source, found: Imported) -> None:
    fields = {field.name for field in msgspec.structs.fields(McpServerConfig)}
    for name in source.keys("mcpServers"):
        table = {}
        for part in source.keys("mcpServers", name):
            if part in fields:
                table[part] = source.get(object, "mcpServers", name, part)
        try:
            msgspec.convert(table, McpServerConfig)
        except msgspec.ValidationError:
            source.refuse("mcpServers", name)
            continue
        found.mcp_servers[name] = table
    found.left += [f"mcp.json: {name}" for name in source.left()]


def _explained(name: str) -> str:
    return f"{name} (a login, not a key: millstream set-key stores one)" if name.endswith(".oauth") else name
