"""What each coding agent must be told to talk to a gateway: pure functions from settings to environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from millstream.core.errors import ClientFault
from millstream.policy.routing import Routes
from millstream.providers.catalog import Provider

NO_KEY = "millstream"
"""Sent as the credential where the gateway asks for none: clients refuse to start without one."""

_OTHER_BACKENDS = ("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY")
_LOCAL = "127.0.0.1,localhost,::1"

_CLAUDE_FAMILIES = {"opus": "claude-opus-5-5", "sonnet": "claude-sonnet-5", "haiku": "claude-haiku-4-5-20251001"}
"""A name of each family, to ask the aliases what the family means here."""


@dataclass(frozen=True, slots=True)
class ClaudeModels:
    """The gateway's names for what Claude Code calls by family. ``main`` is None to leave its own choice in force."""

    main: str | None
    opus: str
    sonnet: str
    haiku: str


def claude_models(routes: Routes, providers: Mapping[str, Provider], model: str | None) -> ClaudeModels:
    """``model`` for everything, with its provider's small model for side calls; without it what the aliases say, and
    the default model where they say nothing. Raises ``ClientFault`` for a ``model`` that no route has.
    """
    strict = replace(routes, unknown="error")
    route = strict.resolve(model or routes.default)
    small = providers[route.provider].small_model
    side = f"{route.provider}/{small}" if small else route.name
    if model is not None:
        return ClaudeModels(route.name, route.name, route.name, side)

    def meant(family: str, otherwise: str) -> str:
        try:
            return strict.resolve(_CLAUDE_FAMILIES[family]).name
        except ClientFault:
            return otherwise

    return ClaudeModels(None, meant("opus", route.name), meant("sonnet", route.name), meant("haiku", side))


def claude_environment(environ: Mapping[str, str], url: str, key: str | None, models: ClaudeModels) -> dict[str, str]:
    """``environ`` with what makes Claude Code use the gateway at ``url`` (no ``/v1``: it appends that itself)."""
    found = {name: value for name, value in environ.items() if name not in _OTHER_BACKENDS}
    found |= {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_AUTH_TOKEN": key or NO_KEY,
        "ANTHROPIC_API_KEY": "",
        "ANTHROPIC_DEFAULT_OPUS_MODEL": models.opus,
        "ANTHROPIC_DEFAULT_SONNET_MODEL": models.sonnet,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": models.haiku,
        "ANTHROPIC_SMALL_FAST_MODEL": models.haiku,
        # It judges which commands may run unasked: never a smaller model than the one that writes them.
        "CLAUDE_CODE_AUTO_MODE_MODEL": models.main or models.sonnet,
        # Its value changes with the first prompt, at the head of every request, and so spoils upstreams' prefix caches.
        "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
        # Otherwise it takes its default model for one with a window of a million tokens, and compacts far too late.
        "CLAUDE_CODE_DISABLE_1M_CONTEXT": "1",
    }
    if models.main is not None:
        found["ANTHROPIC_MODEL"] = models.main
    return found | _no_proxy(environ)


def _no_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """A proxy for the internet must not be asked for the gateway on this machine."""
    proxied = any(name in environ for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"))
    spellings: tuple[Literal["NO_PROXY", "no_proxy"], ...] = ("NO_PROXY", "no_proxy")
    before = next((environ[name] for name in spellings if environ.get(name)), "")
    value = f"{before},{_LOCAL}" if before else _LOCAL
    return dict.fromkeys(spellings, value) if proxied else {}
