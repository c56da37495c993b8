"""What the commands of ``launch`` do: settle the models, get a gateway, run the agent on it."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from typer.exceptions import TyperException

from millstream import config as configuration
from millstream.cli import (
    agents,
    child,
    embedded,
    gateway,
    gemini_home,
    options,
    other_agents,
    places,
    programs,
    shared,
)
from millstream.cli.known import Known, known
from millstream.cli.other_agents import Told
from millstream.config import Config, ConfigError
from millstream.core.errors import ClientFault

_NOT_RUNNABLE = 126
_PROGRAMS = {program.name: program for program in programs.ALL}
_SECRETS = ("ANTHROPIC_AUTH_TOKEN", "GEMINI_API_KEY", other_agents.KEY_VARIABLE)


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of one launch."""

    arguments: Sequence[str]
    model: str | None
    small: str | None
    provider: str | None
    config: Path | None
    settings: list[str] | None
    binary: str | None
    print_env: bool


def launch(agent: str, asked: Asked) -> int:
    """Runs ``agent`` and gives its exit status. Raises ``ConfigError`` and ``TyperException``."""
    program = agent if asked.print_env else _PROGRAMS[agent].path(asked.binary, os.environ)
    if agent == "claude":
        programs.refuse_overriding_settings(os.environ)
    flags = options.as_flags(asked.settings, unknown_model="default")
    tree = options.load(asked.config, flags)
    names = known(tree, os.environ)
    model = _model(asked, names)
    try:
        small = asked.small and replace(names.routes, unknown="error").resolve(asked.small).name
    except ClientFault as error:
        raise ConfigError(f"--small-model: {error}") from error
    if agent == "gemini" and small:
        aliases = {other_agents.GEMINI_SMALL: small, **tree.aliases}
        flags.append(f"aliases={_inline(aliases)}")
        names = known(options.load(asked.config, flags), os.environ)
    own = options.as_flags(flags, default_model=model)
    if asked.print_env:
        return _print_env(agent, _told(agent, _address(tree, names), names, model, small), tree, names)
    _prepare(tree, names, model)
    with (
        child.leaving_on_signals(),
        shared.joined(names, gateway.url_of(tree.server.host, tree.server.port), asked.config, own, _tell) as lease,
    ):
        told = _told(agent, lease.url, names, model, small)
        try:
            environ = places.beside(program, told.over(os.environ))
            return child.run([program, *told.arguments, *asked.arguments], environ, lease.lifeline)
        except OSError as error:
            failure = TyperException(f"cannot run {program}: {error.strerror}")
            failure.exit_code = _NOT_RUNNABLE
            raise failure from error


def _model(asked: Asked, names: Known) -> str | None:
    """The model asked for, or None. Raises ``ConfigError`` for one, or a provider, that is not here."""
    if asked.provider is not None and asked.provider not in names.providers:
        raise ConfigError(f"--provider: there is no {asked.provider}; `millstream models` lists them")
    model = asked.model
    if asked.provider is not None:
        own = model or names.providers[asked.provider].default_model
        if own is None:
            raise ConfigError(f"--provider: {asked.provider} has no default model: add --model NAME")
        model = own if own.startswith(f"{asked.provider}/") else f"{asked.provider}/{own}"
    try:
        agents.small_model(names.routes, names.providers, model or names.routes.default)
    except ClientFault as error:
        raise ConfigError(f"--model: {error}") from error
    return model


def _prepare(tree: Config, names: Known, model: str | None) -> None:
    meant = model or names.routes.default
    embedded.prepare(tree, names, meant)
    if embedded.is_meant(names, meant) and tree.embedded.model is None:
        sys.stderr.write(
            "millstream: the embedded model is too small for a coding agent: set a provider's key, or --model\n"
        )


def _told(agent: str, url: str, names: Known, model: str | None, small: str | None) -> Told:
    environ = os.environ
    if agent == "claude":
        families = agents.claude_models(names.routes, names.providers, model, small)
        found = agents.claude_environment(environ, url, names.server_key, families)
        return Told([], found, agents.OTHER_BACKENDS)
    default = names.routes.resolve(names.routes.default).name
    main = names.routes.resolve(model).name if model else None
    side = small or agents.small_model(names.routes, names.providers, model or names.routes.default)
    if agent == "gemini":
        default = agents.meant(names.routes, other_agents.GEMINI_MAIN, default)
    meant = other_agents.Names(main, default, side)
    if agent == "codex":
        return other_agents.codex(environ, url, names.server_key, meant)
    if agent == "opencode":
        return other_agents.opencode(environ, url, names.server_key, meant)
    home = gemini_home.home_for(environ, configuration.state_path().parent / "gemini-home", Path.cwd())
    return other_agents.gemini(environ, url, names.server_key, meant, home)


def _inline(table: dict[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)} = {json.dumps(value)}" for name, value in table.items()) + "}"


def _address(tree: Config, names: Known) -> str:
    """Where ``serve`` with these settings listens."""
    url = gateway.url_of(tree.server.host, tree.server.port or 8090)
    if gateway.probe(url) is None:
        sys.stderr.write(f"millstream: no gateway answers at {url} yet: millstream serve --unknown-model default\n")
    return url


def _print_env(agent: str, told: Told, tree: Config, names: Known) -> int:
    """Lines that a shell can evaluate. No key is printed: it is left where the gateway has it from."""
    from millstream.cli.checks import masked
    from millstream.cli.output import print_line

    for name in told.without:
        if name in os.environ:
            print_line(f"unset {name}")
    for name, value in told.environ.items():
        shown = shlex.quote(value)
        if name in _SECRETS and names.server_key is not None:
            shown = _where_the_key_is(tree) or f"'{masked(names.server_key, None)}'  # write the gateway's key here"
        print_line(f"export {name}={shown}")
    if told.arguments:
        print_line(f"# and then: {shlex.join([agent, *told.arguments])}")
    return 0


def _where_the_key_is(tree: Config) -> str | None:
    if tree.server.api_key is not None:
        return None
    if tree.server.api_key_file is not None:
        file = Path(tree.server.api_key_file).expanduser()
        return f'"$(cat {shlex.quote(str(file))})"'
    return f'"${tree.server.api_key_env}"'


def _tell(text: str) -> None:
    """Into a pipe goes only what the agent itself writes."""
    if sys.stderr.isatty():
        sys.stderr.write(f"millstream: {text}\n")
