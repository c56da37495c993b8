"""What Codex CLI, Gemini CLI and opencode must be told to use a gateway: pure functions from settings to variables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from millstream.cli.agents import NO_KEY, no_proxy

KEY_VARIABLE = "MILLSTREAM_KEY"
"""Carries the gateway's key to agents that are told its variable's name, so that no key stands in an argument."""

GEMINI_MAIN = "gemini-3.8-flash"
"""A name that Gemini CLI asks for in its user's name, to ask the aliases what it means here."""

GEMINI_SMALL = "gemini-*-flash-lite*"
"""The names that Gemini CLI's side calls (its router, its summaries) ask for."""


@dataclass(frozen=True, slots=True)
class Names:
    """The gateway's names. ``main`` is None to leave the agent's own choice in force: it then means ``default``."""

    main: str | None
    default: str
    small: str


@dataclass(frozen=True, slots=True)
class Told:
    """``arguments`` come before the agent's own, ``environ`` over the user's, without the variables in ``without``."""

    arguments: Sequence[str]
    environ: Mapping[str, str]
    without: Sequence[str] = ()

    def over(self, environ: Mapping[str, str]) -> dict[str, str]:
        return {name: value for name, value in environ.items() if name not in self.without} | dict(self.environ)


def codex(environ: Mapping[str, str], url: str, key: str | None, names: Names) -> Told:
    """A provider by ``--config`` flags, which win over the user's ``config.toml`` and leave it alone."""
    provider = (
        f'{{name="millstream",base_url="{url}/v1",env_key="{KEY_VARIABLE}",wire_api="responses",'
        "supports_websockets=true}"
    )
    settings = ['model_provider="millstream"', f"model_providers.millstream={provider}"]
    if names.main is not None:
        settings.append(f"model={json.dumps(names.main)}")
    arguments = [part for setting in settings for part in ("--config", setting)]
    return Told(arguments, {KEY_VARIABLE: key or NO_KEY} | no_proxy(environ))


def gemini(environ: Mapping[str, str], url: str, key: str | None, names: Names, home: Path | None) -> Told:
    """``home`` is one of ``gemini_home``, where the user's own log-in would win over these variables.

    Its own choice is ``auto``: it then asks its small model first which of two others to ask, which are one here.
    """
    found = {
        "GOOGLE_GEMINI_BASE_URL": url,
        "GEMINI_API_KEY": key or NO_KEY,
        # Not taken out: a file .env, which only fills what is not set, would bring them back.
        "GOOGLE_GENAI_USE_VERTEXAI": "false",
        "GOOGLE_GENAI_USE_GCA": "false",
    }
    if home is not None:
        found["GEMINI_CLI_HOME"] = str(home)
    if names.main is not None or not environ.get("GEMINI_MODEL"):
        found["GEMINI_MODEL"] = names.main or names.default
    return Told([], found | no_proxy(environ))


def opencode(environ: Mapping[str, str], url: str, key: str | None, names: Names) -> Told:
    """A provider by ``OPENCODE_CONFIG_CONTENT``, which opencode lays over its files."""
    main = names.main or names.default
    models = {name: {"name": name} for name in dict.fromkeys((main, names.default, names.small))}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "millstream",
        "options": {"baseURL": f"{url}/v1", "apiKey": f"{{env:{KEY_VARIABLE}}}"},
        "models": models,
    }
    config = {
        "provider": {"millstream": provider},
        "model": f"millstream/{main}",
        "small_model": f"millstream/{names.small}",
    }
    told = {"OPENCODE_CONFIG_CONTENT": json.dumps(config), KEY_VARIABLE: key or NO_KEY}
    return Told([], told | no_proxy(environ))
