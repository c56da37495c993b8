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

OTHER_BACKENDS = ("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY")
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


def small_model(routes: Routes, providers: Mapping[str, Provider], model: str) -> str:
    """The small model of ``model``'s provider, for side calls; ``model`` itself where the catalog names none."""
    route = replace(routes, unknown="error").resolve(model)
    small = providers[route.provider].small_model
    return f"{route.provider}/{small}" if small else route.name


def claude_models(
    routes: Routes, providers: Mapping[str, Provider], model: str | None, small: str | None = None
) -> ClaudeModels:
    """``model`` for everything, with ``small``, or its provider's small model, for side calls; without it what the
    aliases say, and the default model where they say nothing. Raises ``ClientFault`` for a name that no route has.
    """
    strict = replace(routes, unknown="error")
    route = strict.resolve(model or routes.default)
    side = strict.resolve(small).name if small else small_model(routes, providers, model or routes.default)
    if model is not None:
        return ClaudeModels(route.name, route.name, route.name, side)

    opus, sonnet, haiku = (
        meant(routes, _CLAUDE_FAMILIES[family], otherwise)
        for family, otherwise in (("opus", route.name), ("sonnet", route.name), ("haiku", side))
    )
    return ClaudeModels(None, opus, sonnet, side if small else haiku)


def meant(routes: Routes, name: str, otherwise: str) -> str:
    """The model that an agent's own ``name`` for one stands for here, ``otherwise`` where nothing is said of it."""
    try:
        return replace(routes, unknown="error").resolve(name).name
    except ClientFault:
        return otherwise


def claude_environment(environ: Mapping[str, str], url: str, key: str | None, models: ClaudeModels) -> dict[str, str]:
    """What makes Claude Code use the gateway at ``url`` (no ``/v1``: it appends that itself)."""
    found = {
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
    if not (models.main or models.opus).startswith("anthropic/"):
        # Else it asks the API to check risky commands, which Anthropic's alone can, and blames the gateway in a dialog
        # before it has the model check them.
        found["CLAUDE_CODE_AUTO_MODE_SERVER"] = environ.get("CLAUDE_CODE_AUTO_MODE_SERVER", "0")
    return found | no_proxy(environ)


def no_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """A proxy for the internet must not be asked for the gateway on this machine. Claude Code asks the one of
    ``HTTPS_PROXY`` for plain HTTP, too."""
    proxied = any(f"{kind}_PROXY" in map(str.upper, environ) for kind in ("HTTP", "HTTPS", "ALL"))
    spellings: tuple[Literal["NO_PROXY", "no_proxy"], ...] = ("NO_PROXY", "no_proxy")
    before = next((environ[name] for name in spellings if environ.get(name)), "")
    value = f"{before},{_LOCAL}" if before else _LOCAL
    return dict.fromkeys(spellings, value) if proxied else {}
