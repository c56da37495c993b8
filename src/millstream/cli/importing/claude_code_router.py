"""The ``config.json`` of claude-code-router. https://github.com/musistudio/claude-code-router#configuration"""

from __future__ import annotations

import re
from typing import Any

from millstream.cli.importing.result import Imported, KeyRef, route
from millstream.cli.importing.source import Source

_VARIABLE = re.compile(r"\$\{?(\w+)\}?")
_LIKE = ("openrouter", "deepseek", "groq")
"""Transformers that stand for what the catalog's row of that name says by its quirks."""
_DIALECTS = {"anthropic": "anthropic", "gemini": "gemini", "openai-responses": "openai_responses"}
_ENDINGS = (
    ("/chat/completions", "openai_chat"),
    ("/v1/messages", "anthropic"),
    ("/messages", "anthropic"),
    ("/responses", "openai_responses"),
    ("/v1beta/models", "gemini"),
)
_MS = 1000


def convert(tree: Any) -> Imported:
    """Everything that has a meaning here; the rest is named in ``left``."""
    source = Source(tree)
    found = Imported()
    names = dict(_provider(source, number, found) for number in range(source.count("Providers")))
    _routes(source, names, found)
    host, port = source.get(str, "HOST"), source.get(int, "PORT")
    found.server |= {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    variable = _VARIABLE.fullmatch(source.get(str, "APIKEY") or "")
    if variable is not None:
        found.server["api_key_env"] = variable[1]
    else:
        source.refuse("APIKEY")
    timeout = source.get(int, "API_TIMEOUT_MS")
    if timeout:
        found.upstream["head_timeout"] = timeout / _MS
    found.left += [_explained(name) for name in source.left()]
    return found


def _provider(source: Source, number: int, found: Imported) -> tuple[str, str]:
    """Its name there, and here."""
    at = ("Providers", number)
    name = source.get(str, *at, "name") or f"provider-{number}"
    address = (source.get(str, *at, "api_base_url") or "").rstrip("/")
    source.get(list, *at, "models")  # any model can be asked for here
    dialect, like, quirks = _transformers(source, number)
    base_url = address
    for ending, meant in _ENDINGS:
        if address.endswith(ending):
            base_url, dialect = address.removesuffix(ending), dialect or meant
            break
    if not base_url:
        source.refuse(*at)
        return name, name
    key = key_ref(source.get(str, *at, "api_key"))
    ours = dialect or "openai_chat"
    limits = quirks if ours == "openai_chat" else {}
    return name, found.provider(name, dialect=ours, base_url=base_url, key=key, like=like, quirks=limits)


def _transformers(source: Source, number: int) -> tuple[str | None, str | None, dict[str, Any]]:
    """The dialect, the catalog's row and the quirks that a provider's transformers stand for."""
    dialect, like = None, None
    quirks: dict[str, Any] = {}
    at = ("Providers", number, "transformer", "use")
    for place in range(source.count(*at)):
        name = source.get(str, *at, place) or source.get(str, *at, place, 0) or ""
        if name.lower() in _DIALECTS:
            dialect = _DIALECTS[name.lower()]
        elif name in _LIKE:
            like = name
        elif name == "maxtoken" and (most := source.get(int, *at, place, 1, "max_tokens")):
            quirks["max_output_tokens"] = {"*": most}
        else:
            source.refuse(*at, place)
    return dialect, like, quirks


def _routes(source: Source, names: dict[str, str], found: Imported) -> None:
    goals = {}
    for use in ("default", "background"):
        provider, comma, model = (source.get(str, "Router", use) or "").partition(",")
        if comma and provider in names:
            goals[use] = route(names[provider], model)
        else:
            source.refuse("Router", use)
    if "background" in goals:
        found.aliases["claude-*haiku*"] = goals["background"]
    if "default" in goals:
        found.default_model = goals["default"]
        found.aliases["claude-*"] = goals["default"]


def key_ref(text: str | None) -> KeyRef:
    """``$NAME`` and ``${NAME}`` are variables."""
    variable = _VARIABLE.fullmatch(text or "")
    return KeyRef(variable=variable[1]) if variable else KeyRef(value=text or None)


def _explained(name: str) -> str:
    hints = {
        "APIKEY": "set server.api_key, or server.api_key_env",
        "PROXY_URL": "set HTTPS_PROXY where the gateway runs",
        "Router.think": "ask for the model by name, or give it an alias",
        "Router.longContext": "ask for the model by name, or give it an alias",
    }
    return f"{name} ({hints[name]})" if name in hints else name
