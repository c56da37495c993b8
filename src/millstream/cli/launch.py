"""``millstream launch``: a coding agent on any model, with nothing to set up and nothing left behind."""

from __future__ import annotations

from typing import Annotated

import typer

from millstream.cli import completing, options

_HELP = """Run a coding agent through millstream.

A gateway with the same settings that already runs is used; otherwise one is started, shared by all launches with these
settings, and stopped when the last agent ends. Only the agent's own environment is changed, none of its files.

\b
Examples:
  millstream launch claude
  millstream launch codex --model groq/openai/gpt-oss-120b
  millstream launch gemini --provider groq
  millstream launch opencode -- run "What is in this folder?"
  millstream launch claude -- --print "What is in this folder?"
"""

_OF_CLAUDE = """\b
Examples:
  millstream launch claude
  millstream launch claude -- --print "What is in this folder?"
  echo "Explain this" | millstream launch claude -- -p
  eval "$(millstream launch claude --print-env)"
"""
_OF_CODEX = """\b
Examples:
  millstream launch codex
  millstream launch codex --model groq/openai/gpt-oss-120b
  millstream launch codex -- exec "What is in this folder?"
"""
_OF_GEMINI = """\b
Examples:
  millstream launch gemini
  millstream launch gemini --provider groq --small-model groq/openai/gpt-oss-20b
  millstream launch gemini -- --prompt "What is in this folder?"
"""
_OF_OPENCODE = """\b
Examples:
  millstream launch opencode
  millstream launch opencode --model groq/openai/gpt-oss-120b
  millstream launch opencode -- run "What is in this folder?"
"""

app = typer.Typer(help=_HELP, rich_markup_mode=None)

Arguments = Annotated[list[str] | None, typer.Argument(metavar="-- ARGS", hidden=True)]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="Model to use, such as groq/openai/gpt-oss-120b.",
        autocompletion=completing.model,
    ),
]
Small = Annotated[
    str | None,
    typer.Option(
        "--small-model",
        metavar="MODEL",
        help="Model for titles and the like. [default: the provider's]",
        autocompletion=completing.model,
    ),
]
OfProvider = Annotated[
    str | None,
    typer.Option(
        "--provider",
        metavar="NAME",
        help="Provider whose default model, or --model, to use.",
        autocompletion=completing.provider,
    ),
]
PrintEnv = Annotated[
    bool, typer.Option("--print-env", help="Print what would be set, as shell lines, and start nothing.")
]


def _binary(name: str) -> typer.models.OptionInfo:
    found: typer.models.OptionInfo = typer.Option(
        "--bin", metavar="PATH", envvar=f"MILLSTREAM_{name.upper()}", help=f"The agent's program. [default: {name}]"
    )
    return found


@app.callback(invoke_without_command=True)
def _launch(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("claude", epilog=_OF_CLAUDE)
def claude(
    arguments: Arguments = None,
    model: Model = None,
    small: Small = None,
    provider: OfProvider = None,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
    binary: Annotated[str | None, _binary("claude")] = None,
    print_env: PrintEnv = False,
) -> int:
    """Run Claude Code on any model. What follows -- are its own arguments; its exit status is ours."""
    from millstream.cli import launching

    asked = launching.Asked(arguments or [], model, small, provider, config, settings, binary, print_env)
    return launching.launch("claude", asked)


@app.command("codex", epilog=_OF_CODEX)
def codex(
    arguments: Arguments = None,
    model: Model = None,
    provider: OfProvider = None,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
    binary: Annotated[str | None, _binary("codex")] = None,
    print_env: PrintEnv = False,
) -> int:
    """Run Codex CLI on any model. What follows -- are its own arguments; its exit status is ours."""
    from millstream.cli import launching

    asked = launching.Asked(arguments or [], model, None, provider, config, settings, binary, print_env)
    return launching.launch("codex", asked)


@app.command("gemini", epilog=_OF_GEMINI)
def gemini(
    arguments: Arguments = None,
    model: Model = None,
    small: Small = None,
    provider: OfProvider = None,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
    binary: Annotated[str | None, _binary("gemini")] = None,
    print_env: PrintEnv = False,
) -> int:
    """Run Gemini CLI on any model. What follows -- are its own arguments; its exit status is ours."""
    from millstream.cli import launching

    asked = launching.Asked(arguments or [], model, small, provider, config, settings, binary, print_env)
    return launching.launch("gemini", asked)


@app.command("opencode", epilog=_OF_OPENCODE)
def opencode(
    arguments: Arguments = None,
    model: Model = None,
    small: Small = None,
    provider: OfProvider = None,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
    binary: Annotated[str | None, _binary("opencode")] = None,
    print_env: PrintEnv = False,
) -> int:
    """Run opencode on any model. What follows -- are its own arguments; its exit status is ours."""
    from millstream.cli import launching

    asked = launching.Asked(arguments or [], model, small, provider, config, settings, binary, print_env)
    return launching.launch("opencode", asked)
