"""``millstream launch``: a coding agent on any model, with nothing to set up and nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from millstream.cli import options
from millstream.config import ConfigError

_HELP = """Run a coding agent through millstream.

A gateway with the same settings that already runs is used; otherwise one is started for the agent and stopped after it.
Only the agent's own environment is changed.

\b
Examples:
  millstream launch claude
  millstream launch claude --model groq/openai/gpt-oss-120b
  millstream launch claude -- --print "What is in this folder?"
"""

_EXAMPLE = """\b
Examples:
  millstream launch claude
  millstream launch claude -- --print "What is in this folder?"
  echo "Explain this" | millstream launch claude -- -p
"""

app = typer.Typer(help=_HELP, rich_markup_mode=None)

_NOT_RUNNABLE = 126
_WINNING = ("ANTHROPIC_BASE_URL", "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY")


@app.callback(invoke_without_command=True)
def _launch(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("claude", epilog=_EXAMPLE)
def claude(
    arguments: Annotated[list[str] | None, typer.Argument(metavar="-- ARGS", hidden=True)] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="MODEL", help="Model to use, such as groq/openai/gpt-oss-120b."),
    ] = None,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
    binary: Annotated[
        str | None,
        typer.Option(
            "--bin", metavar="PATH", envvar="MILLSTREAM_CLAUDE", help="Claude Code's program. [default: claude]"
        ),
    ] = None,
) -> int:
    """Run Claude Code on any model. What follows -- are its own arguments; its exit status is ours."""
    from millstream.cli import agents, child, embedded, gateway
    from millstream.cli.known import known
    from millstream.core.errors import ClientFault

    program = _find(binary, os.environ)
    _refuse_overriding_settings(os.environ)
    flags = options.as_flags(settings, unknown_model="default")
    tree = options.load(config, flags)
    names = known(tree, os.environ)
    try:
        models = agents.claude_models(names.routes, names.providers, model)
    except ClientFault as error:
        raise ConfigError(f"--model: {error}") from error
    embedded.prepare(tree, names, model or names.routes.default)
    if embedded.is_meant(names, model or names.routes.default) and tree.embedded.model is None:
        sys.stderr.write(
            "millstream: the embedded model is too small for Claude Code: set a provider's key, or --model\n"
        )
    own = options.as_flags(flags, default_model=model)
    with (
        child.leaving_on_signals(),
        gateway.found_or_started(tree, names.fingerprint, config, own, _tell) as url,
    ):
        environ = agents.claude_environment(os.environ, url, names.server_key, models)
        try:
            return child.run([program, *(arguments or [])], environ)
        except OSError as error:
            failure = TyperException(f"cannot run {program}: {error.strerror}")
            failure.exit_code = _NOT_RUNNABLE
            raise failure from error


def _find(named: str | None, environ: Mapping[str, str]) -> str:
    found = shutil.which(named or "claude", path=environ.get("PATH"))
    if found is None and named is None:
        usual = (Path(home, "claude") for home in (Path.home() / ".local/bin", Path.home() / ".claude/local"))
        found = next((str(path) for path in usual if os.access(path, os.X_OK)), None)
    if found is None:
        what = f"no program {named}" if named else "Claude Code is not installed, or not on PATH"
        raise TyperException(f"{what}: npm install -g @anthropic-ai/claude-code, or name it with --bin PATH")
    return found


def _refuse_overriding_settings(environ: Mapping[str, str]) -> None:
    """Raises ``ConfigError`` where a settings file of Claude Code names another gateway: that wins over ours."""
    own = Path(environ.get("CLAUDE_CONFIG_DIR") or Path.home() / ".claude")
    project = Path.cwd() / ".claude"
    for file in (own / "settings.json", project / "settings.json", project / "settings.local.json"):
        try:
            settings = json.loads(file.read_bytes())
            wins = [name for name in _WINNING if name in settings.get("env", {})]
        except (OSError, ValueError, AttributeError, TypeError):
            continue  # Claude Code has its own word on a file that it cannot read.
        if wins:
            raise ConfigError(f"{file} sets {wins[0]} in its env, which wins over this gateway: remove it there")


def _tell(text: str) -> None:
    """Into a pipe goes only what the agent itself writes."""
    if sys.stderr.isatty():
        sys.stderr.write(f"millstream: {text}\n")
