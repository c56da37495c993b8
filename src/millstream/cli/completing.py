"""What the shell completes options' values to: of the settings and the catalog alone, as it waits for the answer.

No network is asked, nor the keyring, and nothing is ever said of what is wrong: that is for the command itself.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Generator, Iterable, MutableMapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from millstream.cli.known import Known

_REQUEST = "_MILLSTREAM_COMPLETE"


def provider(context: typer.Context, incomplete: str) -> list[str]:
    """Names of the catalog's and one's own providers."""
    names = _known(context)
    return _beginning(names.providers if names else (), incomplete)


def model(context: typer.Context, incomplete: str) -> list[str]:
    """The names that ``models`` lists, and small models; those of the ``--provider`` that stands there alone.

    What could be used at once is before all else: the rest is offered where nothing usable begins like this.
    """
    names = _known(context)
    if names is None:
        return []
    named = context.params.get("provider")
    usable = {name for name, provider in names.providers.items() if provider.usable}
    ready: list[str] = []
    other: list[str] = []
    for name, owner in _models(names):
        if named is None or owner == named:
            (ready if owner in usable else other).append(name)
    return _beginning(ready, incomplete) or _beginning(other, incomplete)


def agent(incomplete: str) -> list[str]:
    from millstream.cli import programs

    return _beginning((program.name for program in programs.ALL), incomplete)


@contextmanager
def bash_mended(environ: MutableMapping[str, str]) -> Generator[None]:
    """bash takes ``--model=a:b`` for five words, and puts what it is told in place of the last one.

    Where it asks, it is understood to mean two words, and told only what comes after the last colon.
    """
    parts = environ.get("COMP_WORDS", "").split("\n")
    at = int(environ.get("COMP_CWORD") or 0)
    if environ.get(_REQUEST) != "complete_bash" or not 0 <= at < len(parts):
        yield
        return
    words = _joined(parts[: at + 1])
    environ["COMP_WORDS"], environ["COMP_CWORD"] = "\n".join(words), str(len(words) - 1)
    told = io.StringIO()
    try:
        with redirect_stdout(told):
            yield
    finally:
        kept = words[-1].rfind(":") + 1
        sys.stdout.write("".join(f"{line[kept:]}\n" for line in told.getvalue().splitlines()))


def _joined(parts: list[str]) -> list[str]:
    """The words that bash has parted, as they were meant."""
    made: list[str] = []
    open_ended = False
    for word in parts:
        if word == "=" and made and made[-1].startswith("--"):
            made.append("")
            open_ended = True
        elif made and (word == ":" or open_ended):
            made[-1] += word
            open_ended = word == ":"
        else:
            made.append(word)
    return made


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]


def _models(names: Known) -> list[tuple[str, str]]:
    """Each name with its provider's."""
    from millstream.cli import models

    found = [(row.name, row.provider) for row in models.table(names) if row.provider == row.name or row.model]
    found += [(f"{name}/{each.small_model}", name) for name, each in names.providers.items() if each.small_model]
    return found + [(alias, names.routes.resolve(goal).provider) for alias, goal in names.routes.aliases.items()]


def _known(context: typer.Context) -> Known | None:
    from millstream import keystore
    from millstream.cli import options
    from millstream.cli.known import known

    try:
        file: Path | None = context.params.get("config")
        config = options.load(file, context.params.get("settings"))
        # Without a home nobody's keyring is asked: that a key is stored is enough to know.
        stored = dict.fromkeys(keystore.entries(), "stored")
        here = {name: value for name, value in os.environ.items() if name != "HOME"}
        return known(config, {**stored, **here})
    except Exception:  # the command that is being typed will say it
        return None
