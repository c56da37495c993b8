"""``millstream chat``: its options, and what stands around a conversation."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from millstream.cli import completing, options

if TYPE_CHECKING:
    from millstream.cli.chat.session import Conversation

EXAMPLE = """\b
Examples:
  millstream chat
  millstream chat --model groq/moonshotai/kimi-k2-instruct-0905
  millstream chat "What is a monad?"
  git diff | millstream chat "Write a commit message for this."
  echo "Name three rivers" | millstream chat > rivers.md
"""

EXIT_FAILED = 1
EXIT_STOPPED = 130


def chat(
    question: Annotated[
        list[str] | None, typer.Argument(metavar="[QUESTION]", help="Answer this and leave. [default: converse]")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="MODEL", help="Model to talk to.", autocompletion=completing.model),
    ] = None,
    system: Annotated[
        str | None, typer.Option("--system", "-s", metavar="TEXT", help="Instructions for the model.")
    ] = None,
    tools: Annotated[
        bool, typer.Option("--tools", help="Let the model use the tools that the settings have, in the gateway.")
    ] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="Text as it comes, without colours or layout. [default in pipes]")
    ] = False,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
) -> int:
    """Talk to a model in the terminal. In a pipe, only the answer is written."""
    from millstream.cli import child, embedded, gateway
    from millstream.cli.chat import terminal
    from millstream.cli.chat.session import DIALECT, Conversation, check_model
    from millstream.cli.chat.wires import AgentWire, ModelWire
    from millstream.cli.known import known
    from millstream.config import ConfigError
    from millstream.core.errors import ClientFault
    from millstream.registry import dialects

    tree = options.load(config, settings)
    names = known(tree, os.environ)
    meant = model or names.routes.default
    try:
        check_model(names, meant)
    except ClientFault as error:
        raise ConfigError(f"{'--model' if model else 'default_model'}: {error}") from error
    asked = terminal.question_of(question)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # nobody has replaced them
    embedded.prepare(tree, names, meant)
    screen = not plain and terminal.can_paint()
    view, tell = terminal.painted() if screen else terminal.plain()
    with ExitStack() as stack:
        stack.enter_context(child.leaving_on_signals())
        own = options.as_flags(settings, default_model=model)
        url = stack.enter_context(gateway.found_or_started(tree, names.fingerprint, config, own))
        quiet = terminal.without_echo if screen else nullcontext
        wire = AgentWire if tools else partial(ModelWire, dialects()[DIALECT])
        talk = Conversation(url, names, wire, meant, view, tell, system, quiet)
        if asked is None:
            _converse(talk, screen=screen)
            return 0
        outcome = talk.ask(asked)
    return {"finished": 0, "stopped": EXIT_STOPPED, "failed": EXIT_FAILED}[outcome]


def _converse(talk: Conversation, *, screen: bool) -> None:
    from millstream.cli.chat.prompt import EditedPrompt, LinePrompt
    from millstream.cli.chat.session import completions
    from millstream.config import state_path

    talk.tell(f"millstream chat · {talk.names.routes.resolve(talk.model).name} · /help, Ctrl-D leaves")
    if screen:
        history = state_path().parent / "chat-history"
        talk.lead(EditedPrompt(history, lambda before: completions(talk.names, before)))
    else:
        talk.lead(LinePrompt())
