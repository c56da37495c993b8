"""The YAML of LiteLLM's proxy. https://docs.litellm.ai/docs/proxy/configs"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from millstream.cli.importing.result import Imported, KeyRef, route
from millstream.cli.importing.source import Source
from millstream.providers import catalog

_ENVIRON = "os.environ/"
_PREFIXES = {
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "ollama_chat": "ollama",
    "lm_studio": "lmstudio",
    "hosted_vllm": "vllm",
    "vertex_ai": "vertex",
}
_KNOWN = (
    *("openai", "anthropic", "gemini", "groq", "openrouter", "deepseek", "mistral", "xai", "cerebras", "moonshot"),
    *("ollama", "azure", *_PREFIXES.values()),
)
_VALUES = {"azure": {"endpoint": "api_base"}, "vertex": {"project": "vertex_project", "location": "vertex_location"}}
_MOST_RETRIES = 20


def convert(tree: Any) -> Imported:
    """Everything that has a meaning here; the rest is named in ``left``."""
    source = Source(tree)
    found = Imported()
    for number in range(source.count("model_list")):
        _model(source, number, found)
    for alias in source.keys("router_settings", "model_group_alias"):
        goal = source.get(str, "router_settings", "model_group_alias", alias)
        if goal in found.aliases:
            found.aliases[alias] = goal
        else:
            source.refuse("router_settings", "model_group_alias", alias)
    master = key_ref(source.get(str, "general_settings", "master_key"))
    if master.variable is not None:
        found.server["api_key_env"] = master.variable
    else:
        source.refuse("general_settings", "master_key")
    _patience(source, found)
    found.default_model = next(iter(found.aliases.values()), None)
    hint = "general_settings.master_key"
    found.left += [f"{n} (set server.api_key, or server.api_key_env)" if n == hint else n for n in source.left()]
    return found


def _model(source: Source, number: int, found: Imported) -> None:
    """One deployment: an alias, and the provider that it needs."""
    at = ("model_list", number)
    alias = source.get(str, *at, "model_name")
    full = source.get(str, *at, "litellm_params", "model") or ""
    row, model = _split(full)
    if row is None or alias is None or alias in found.aliases or ("*" in alias and alias != f"{row}/*"):
        source.refuse(*at)
        return
    provider = _provider(source, number, row, found)
    if "*" not in alias and route(provider, model) != alias:
        found.aliases[alias] = route(provider, model)


def _provider(source: Source, number: int, row: str, found: Imported) -> str:
    params = ("model_list", number, "litellm_params")
    key = key_ref(source.get(str, *params, "api_key"))
    known = catalog.rows()[row]
    if row in _VALUES:
        values = {ours: source.get(str, *params, theirs) for ours, theirs in _VALUES[row].items()}
        given = {name: value.rstrip("/") for name, value in values.items() if value}
        name = found.provider(row, dialect=known.dialect, base_url=known.base_url, key=key)
        if given:
            found.providers[name]["values"] = given
        return name
    base_url = (source.get(str, *params, "api_base") or "").rstrip("/")
    headers = source.get(dict, *params, "extra_headers")
    if row == "ollama" and base_url and not base_url.endswith("/v1"):
        base_url += "/v1"
    base_url = base_url or known.base_url
    own = row if row == "ollama" or base_url == known.base_url else (urlsplit(base_url).hostname or row)
    return found.provider(own, dialect=known.dialect, base_url=base_url, key=key, headers=headers)


def _split(full: str) -> tuple[str | None, str]:
    """The catalog's row and the model that ``full`` means; None where we have no such provider."""
    prefix, slash, model = full.partition("/")
    if slash:
        row = _PREFIXES.get(prefix, prefix)
        return (row, model) if row in _KNOWN else (None, full)
    for name, known in catalog.rows().items():
        if any(fnmatchcase(full, pattern) for pattern in known.own_models):
            return name, full
    return None, full


def _patience(source: Source, found: Imported) -> None:
    for section, name in (("litellm_settings", "request_timeout"), ("router_settings", "timeout")):
        seconds = source.get(int, section, name) or source.get(float, section, name)
        if seconds and "head_timeout" not in found.upstream:
            found.upstream["head_timeout"] = float(seconds)
    for section in ("router_settings", "litellm_settings"):
        retries = source.get(int, section, "num_retries")
        if retries is not None and "retries" not in found.upstream:
            found.upstream["retries"] = min(max(retries, 0), _MOST_RETRIES)


def key_ref(text: str | None) -> KeyRef:
    """``os.environ/NAME`` is a variable."""
    if text is not None and text.startswith(_ENVIRON):
        return KeyRef(variable=text.removeprefix(_ENVIRON))
    return KeyRef(value=text or None)
