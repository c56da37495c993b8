"""``millstream check``: provider, keys, agents, addresses and files in force, at a glance. ``doctor`` looks deeper."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from millstream.cli import options

if TYPE_CHECKING:
    from millstream.cli.checks import Check, Status
    from millstream.cli.known import Known
    from millstream.config import Config

EXAMPLE = """\b
Examples:
  millstream check
  millstream check --live
  millstream check --json | jq -r '.checks[] | select(.section == "keys") | .name'
"""

_READY = "Ready: millstream launch claude, or millstream chat."
_TO_TRY = "Good enough to try: millstream chat. For real work: millstream setup."
_ENDPOINTS = {
    "Anthropic": "/v1/messages",
    "OpenAI Chat": "/v1/chat/completions",
    "OpenAI Responses": "/v1/responses",
    "Gemini": "/v1beta/models",
}


def check(
    live: Annotated[bool, typer.Option("--live", help="Also ask the default model for a word, and time it.")] = False,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
    as_json: options.AsJson = False,
) -> int:
    """Show what is set up: provider, keys (masked), agents, addresses, files. Status 1 if it cannot work."""
    from millstream.cli import checks, doctor

    about_files, tree = checks.settings(config, settings or [], os.environ)
    found = about_files
    if tree is not None:
        found = [*_about(tree, config, settings or [], live=live), *about_files]
    found += [*_stored(), *_agents()]
    broken = any(each.status == "broken" for each in found)
    if as_json:
        doctor.print_report(found, ok=not broken)
    else:
        doctor.show(found, _READY if found[0].status == "ok" else _TO_TRY)
    return 1 if broken else 0


def _about(tree: Config, file: Path | None, flags: list[str], *, live: bool) -> list[Check]:
    from millstream.cli import checks, doctor, gateway
    from millstream.cli.checks import Check
    from millstream.cli.known import known
    from millstream.config import ConfigError

    try:
        names = known(tree, os.environ)
    except ConfigError as error:
        return [Check("provider", "names", "broken", str(error), "mend the setting it names")]
    url = gateway.url_of(tree.server.host, tree.server.port)
    found = [_provider(names, tree), *_keys(names, tree), checks.port(tree, names.fingerprint)]
    found += [Check("endpoints", name, "ok", url + path) for name, path in _ENDPOINTS.items()]
    if live and not any(each.status == "broken" for each in found if each.section == "provider"):
        found.append(doctor.answer(tree, names, file, flags))
    return found


def _provider(names: Known, tree: Config) -> Check:
    from millstream.cli import embedded
    from millstream.cli.checks import Check

    model = names.routes.default
    upstream = names.providers[names.routes.resolve(model).provider]
    if upstream.lacks is not None:
        fix = f"millstream set-key {upstream.name}" if upstream.key is None else f"set {upstream.lacks}"
        return Check("provider", upstream.name, "broken", f"{model}: {upstream.lacks} is missing", fix)
    if upstream.kind != "embedded":
        return Check("provider", upstream.name, "ok", f"{model} at {upstream.base_url}")
    if not embedded.is_installed():
        fix = f"millstream setup, or {embedded.INSTALL}"
        return Check("provider", upstream.name, "broken", "the model within is not installed", fix)
    size = "is here" if embedded.file(tree) is not None else "will be fetched once"
    detail = f"the model within ({size}): too small for a coding agent"
    return Check("provider", upstream.name, "warning", detail, "millstream setup")


def _keys(names: Known, tree: Config) -> list[Check]:
    from millstream.cli import keys
    from millstream.cli.checks import Check

    found = []
    for upstream in names.providers.values():
        held = keys.held(upstream, tree, os.environ)
        if held is None or upstream.key is None:
            continue
        wrong = keys.problem(upstream.key, upstream, upstream.name) if upstream.key_prefix else None
        detail = f"{held.shown} ({held.source})"
        status: Status = "warning" if wrong else "ok"
        found.append(Check("keys", upstream.name, status, detail, wrong))
    return found or [Check("keys", "none", "absent", "no provider has a key", "millstream setup")]


def _stored() -> list[Check]:
    from millstream import keystore
    from millstream.cli.checks import Check
    from millstream.config import ConfigError

    try:
        count = len(keystore.entries())
    except ConfigError as error:
        return [Check("settings", "stored keys", "broken", str(error))]
    path = keystore.path()
    if not count:
        return [Check("settings", "stored keys", "absent", f"{path} (millstream set-key makes it)")]
    if path.stat().st_mode & 0o077:
        return [Check("settings", "stored keys", "warning", f"{path} can be read by others", f"chmod 600 {path}")]
    return [Check("settings", "stored keys", "ok", str(path))]


def _agents() -> list[Check]:
    from millstream.cli.checks import Check
    from millstream.cli.found_agents import found_agents

    found = []
    for each in found_agents(os.environ):
        name, path = each.program.name, each.path
        if path is None:
            found.append(Check("agents", name, "absent", f"not installed (npm install -g {each.program.package})"))
        elif each.version is None:
            found.append(Check("agents", name, "warning", f"{path}, but `{name} --version` says nothing"))
        else:
            found.append(Check("agents", name, "ok", f"{each.version} ({path})"))
    return found
