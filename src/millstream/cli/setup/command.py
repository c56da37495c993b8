"""``millstream setup``: its options, and its steps in their order."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from millstream.cli import completing, options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.cli.found_agents import Found
    from millstream.cli.setup.steps import Key
    from millstream.cli.setup.wishes import Wishes
    from millstream.providers.catalog import Provider

EXAMPLE = """\b
Examples:
  millstream setup
  millstream setup --provider groq --key-from-env --yes
  pass show kimi | millstream setup --provider moonshot --key-stdin --no-test --yes
  millstream setup --provider ollama --model qwen3:8b --alias claude-local --yes
"""

EXIT_FAILED = 1


def setup(
    provider: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Provider to use.", autocompletion=completing.provider),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="MODEL", help="Its model.", autocompletion=completing.model)
    ] = None,
    key_from_env: Annotated[
        bool, typer.Option("--key-from-env", help="Store the key that is in the provider's variable.")
    ] = False,
    key_stdin: Annotated[bool, typer.Option("--key-stdin", help="Store the key on standard input.")] = False,
    any_shape: Annotated[
        bool, typer.Option("--any-shape", help="Take a key that does not look like the provider's.")
    ] = False,
    store: Annotated[
        str,
        typer.Option("--store", metavar="auto|keyring|file", help="Where to keep the key; auto: keyring if usable."),
    ] = "auto",
    test: Annotated[
        bool | None, typer.Option("--test/--no-test", help="Make a test call. [default: with --yes]")
    ] = None,
    alias: Annotated[
        str | None, typer.Option(metavar="NAME", help="Put an alias into your shell's start-up file.")
    ] = None,
    no_alias: Annotated[bool, typer.Option("--no-alias", help="Propose no alias.")] = False,
    agent: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Agent of the alias. [default: the first found]", autocompletion=completing.agent
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing; an alias is written only with --alias.")
    ] = False,
    config: options.ConfigFile = None,
) -> int:
    """Find coding agents, choose a provider, store its key, try it, and get an alias. Each step can be skipped."""
    from millstream import registry
    from millstream.cli import asking, config_file, set_key
    from millstream.cli.setup.wishes import Wishes, require_answers

    wishes = Wishes(
        asks=asking.possible() and not yes,
        provider=provider,
        model=model,
        key_from_env=key_from_env,
        key_stdin=key_stdin,
        any_shape=any_shape,
        store=set_key.as_store(store),
        test=test,
        alias=alias,
        no_alias=no_alias,
        agent=agent,
        config=config,
    )
    providers = registry.providers(config_file.load_if_there(config, os.environ), os.environ)
    require_answers(wishes, providers, yes=yes)
    return _run(wishes, providers)


def _run(wishes: Wishes, providers: dict[str, Provider]) -> int:
    from millstream.cli.found_agents import found_agents
    from millstream.cli.offers import offers
    from millstream.cli.setup import steps

    found = found_agents(os.environ)
    _show_agents(found)
    if wishes.asks:
        _warn_of_what_cannot_be_written(wishes)
    offered = offers(providers)
    chosen = steps.choose_provider(offered, wishes, providers)
    if chosen is not None:
        key_url = next((offer.key_url for offer in offered if offer.name == chosen.name), None)
        if not _provide(chosen, key_url, wishes):
            return EXIT_FAILED
    _alias(found, chosen, wishes)
    _close(found, chosen)
    return 0


def _provide(provider: Provider, key_url: str | None, wishes: Wishes) -> bool:
    """Key, model, test call, then writing both down. False where the test call failed and nobody could say go on."""
    from millstream.cli.setup import steps

    key = steps.choose_key(provider, key_url, wishes)
    model = steps.choose_model(provider, wishes) if key is not None else None
    if key is None or model is None:
        _say("Skipped: nothing is written.")
        return True
    while _wants_trial(provider, wishes):
        went_well, again = _trial(provider, key, model, key_url, wishes)
        if went_well:
            break
        if again is None:
            _say("Nothing is written.")
            return wishes.asks
        if again is key:
            break
        key = again
    _write(provider, key, model, wishes)
    return True


def _warn_of_what_cannot_be_written(wishes: Wishes) -> None:
    from millstream.cli import config_file, files

    file = config_file.target(wishes.config, os.environ)
    why = files.why_not_writable(file)
    if why is not None:
        _say(f"\nNote: {file} cannot be written ({why}): what you choose can be tried, not kept.")


def _wants_trial(provider: Provider, wishes: Wishes) -> bool:
    from millstream.cli import asking

    if provider.missing:
        _say(f"{provider.name} also needs {' or '.join(provider.missing)} to be set before it can be called.")
        return False
    if wishes.test is not None or not wishes.asks:
        return wishes.test is not False
    if provider.kind == "embedded":
        return asking.confirm("Make a test call now (fetches the model, 98 MB, if it is not here)?", default=True)
    return asking.confirm("Make a test call now (a few tokens)?", default=True)


def _trial(provider: Provider, key: Key, model: str, key_url: str | None, wishes: Wishes) -> tuple[bool, Key | None]:
    """Whether the call went well; else the key to go on with: another, the same to keep it, None to stop here."""
    from millstream.cli import asking
    from millstream.cli.setup import steps, trial

    _say(f"Asking {model} for a word ...")
    sys.stdout.flush()
    outcome = trial.call(provider, key.value, model, wishes.config)
    trial.tell(outcome)
    if outcome.status == "ok":
        return True, key
    if not wishes.asks:
        sys.stderr.write("millstream: the test call failed; --no-test writes the settings all the same\n")
        return False, None
    choices = ["keep", "stop"] if provider.key_env is None else ["key", "keep", "stop"]
    told = "1 keep it all the same, 2 stop" if provider.key_env is None else "1 another key, 2 keep it, 3 stop"
    answer = asking.choose(f"Now? ({told})", choices, choices[0])
    if answer == "key":
        return False, steps.ask_key(provider, key_url)
    return False, key if answer == "keep" else None


def _write(provider: Provider, key: Key, model: str, wishes: Wishes) -> None:
    from millstream.cli import asking, config_file, set_key

    file = config_file.target(wishes.config, os.environ)
    if wishes.asks and not asking.confirm(f"Write default_model = {model!r} to {file}?", default=True):
        _say("Skipped: nothing is written.")
        return
    changed = config_file.change(file, {("default_model",): model})
    _say(f"{'Written to' if changed else 'Already in'} {file}")
    if key.keep and key.value is not None and provider.key_env is not None:
        place = set_key.keep(provider.key_env, key.value, wishes.store)
        _say(f"The key of {provider.name} is in {place}")


def _say(text: str) -> None:
    from millstream.cli.output import print_text

    print_text(text)
    sys.stdout.flush()


def _show_agents(found: Sequence[Found]) -> None:
    from rich.text import Text

    from millstream.cli.output import console

    out = console()
    out.print(Text("Coding agents", style="bold"))
    for each in found:
        if each.path is not None:
            out.print(Text.assemble(("✓", "green"), f" {each.program.title} {each.version or ''} ", (each.path, "dim")))
        else:
            out.print(Text(f"– {each.program.title}: npm install -g {each.program.package}", style="dim"))
    if all(each.path is None for each in found):
        out.print("None is here yet. millstream chat works without one.")


def _alias(found: Sequence[Found], chosen: Provider | None, wishes: Wishes) -> None:
    from millstream.cli import asking
    from millstream.cli.setup import alias

    here = [each.program.name for each in found if each.path is not None]
    agent = _agent(wishes.agent, [each.program.name for each in found], here)
    if wishes.no_alias or (wishes.alias is None and not (wishes.asks and here)):
        return
    shell = alias.own_shell(os.environ)
    what = alias.command(agent, wishes.config)
    name = wishes.alias or f"{agent}-{chosen.name if chosen else 'any'}"
    if shell is None:
        _say(f"For an alias in your shell, put there what runs: {what}")
        return
    if wishes.alias is None:
        _say(f"\nAn alias in {shell.file} can start {agent} this way:")
        sys.stdout.write(f"  {shell.line(name, what)}\n")
        if not asking.confirm("Put it there?", default=False):
            return
        name = asking.text("Its name", name)
    wrong = alias.problem(name, os.environ)
    while wrong is not None:
        if not wishes.asks:
            raise typer.BadParameter(wrong)
        _say(f"{wrong}")
        name = asking.text("Its name (nothing skips)")
        if not name:
            return
        wrong = alias.problem(name, os.environ)
    changed = alias.write(shell, name, what)
    _say(f"{name} is {'now' if changed else 'already'} in {shell.file} (for shells that start from now on)")


def _agent(wanted: str | None, known: Sequence[str], here: Sequence[str]) -> str:
    if wanted is None:
        return here[0] if here else known[0]
    if wanted not in known:
        raise typer.BadParameter(f"no agent {wanted!r}; there are {', '.join(known)}")
    return wanted


def _close(found: Sequence[Found], chosen: Provider | None) -> None:
    from rich.text import Text

    from millstream.cli.output import console

    here = next((each.program.name for each in found if each.path is not None), None)
    steps = [(f"millstream launch {here}", "")] if here is not None else []
    steps += [("millstream chat", " asks from the terminal"), ("millstream check", " shows what is set up")]
    out = console()
    out.print()
    for number, (command, what) in enumerate(steps):
        out.print(Text.assemble("     " if number else "Now: ", (command, "bold green"), what))
