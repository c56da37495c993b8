"""The command ``millstream``: its subcommands, and how every error becomes one line and an exit status."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from millstream.cli import (
    check,
    completing,
    doctor,
    explain,
    gateway_keys,
    launch,
    models,
    provider,
    replay,
    reset,
    runs,
    serve,
    set_key,
    tools,
    usage,
)
from millstream.cli.chat import command as chat
from millstream.cli.importing import command as importing
from millstream.cli.setup import command as setup

EXIT_INTERRUPTED = 130
EXIT_USAGE = 2
EXIT_UNEXPECTED = 1

_HELP = """Any model, any client, every token as it happens.

\b
Examples:
  millstream setup
  millstream chat
  millstream serve
  millstream models
  millstream check --live
  millstream doctor
  millstream help set-key
  millstream launch claude -- --print "What is in this folder?"

Settings come from a TOML file, the environment and options, each over the one before. A provider is ready as soon as
its key is stored (set-key) or in the environment (GROQ_API_KEY, OPENAI_API_KEY, …); without any, a small model runs
inside millstream. --install-completion lets your shell complete commands, options and names.
"""

app = typer.Typer(
    help=_HELP,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"millstream {version('millstream')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command(name="setup", epilog=setup.EXAMPLE)(setup.setup)
app.command(name="provider", epilog=provider.EXAMPLE)(provider.provider)
app.command(name="set-key", epilog=set_key.EXAMPLE)(set_key.set_key)
app.command(name="check", epilog=check.EXAMPLE)(check.check)
app.command(name="serve", epilog=serve.EXAMPLE)(serve.serve)
app.command(name="chat", epilog=chat.EXAMPLE)(chat.chat)
app.command(name="models", epilog=models.EXAMPLE)(models.models)
app.command(name="replay", epilog=replay.EXAMPLE)(replay.replay)
app.command(name="import", epilog=importing.EXAMPLE)(importing.import_)
app.command(name="reset", epilog=reset.EXAMPLE)(reset.reset)
app.command(name="doctor", epilog=doctor.EXAMPLE)(doctor.doctor)
app.command(name="usage", epilog=usage.USAGE_EXAMPLE)(usage.usage)
app.add_typer(gateway_keys.app, name="keys")
app.add_typer(runs.app, name="runs")
app.add_typer(launch.app, name="launch")
app.add_typer(tools.app, name="tools")
app.command(name="help", epilog=explain.EXAMPLE)(explain.explain)


def main() -> int:
    """Runs the command line's command and gives its exit status."""
    from millstream.config import ConfigError

    _write_any_text()
    try:
        with completing.bash_mended(os.environ):
            status = app(prog_name="millstream", standalone_mode=False)
    except TyperException as error:
        return _fail(error.format_message() + _help_hint(error), error.exit_code)
    except ConfigError as error:
        return _fail(str(error), EXIT_USAGE)
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except Exception as error:
        if os.environ.get("MILLSTREAM_DEBUG"):
            raise
        return _fail(f"{type(error).__name__}: {error} (MILLSTREAM_DEBUG=1 shows where)", EXIT_UNEXPECTED)
    finally:
        _leave_quietly()
    return status if isinstance(status, int) else 0


def _write_any_text() -> None:
    """Where the terminal's encoding lacks a character of ours, one that it has is written in its place."""
    from millstream.cli import lookalikes

    for stream in (sys.stdout, sys.stderr):
        lookalikes.allow(stream)


def _leave_quietly() -> None:
    """Where the reader of our output has gone (``| head``), Python would complain at exit."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _help_hint(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    if context is None:
        return ""
    if context.command_path.startswith("millstream launch "):
        return " (the agent's own arguments go after --)"
    return f" (try: {context.command_path} --help)"


def _fail(message: str, status: int) -> int:
    sys.stderr.write(f"millstream: {' '.join(message.split())}\n")
    return status


def run() -> NoReturn:
    """Entry point of the installed script."""
    sys.exit(main())
