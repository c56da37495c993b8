"""Let independent judges use millstream as their users would, and print what they say. See docs/judges.md."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from judges import ag_ui, comply, durable_streams, faults, mcp_conformance
from judges.program import NotRunning, gateway, llmock, upstream
from judges.verdict import Verdict, show
from millstream.providers.model_file import ModelFileError, ensure_model

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE.parent / "build" / "judges"
_EMBEDDED_TRIES = 3


def main() -> int:
    groups = {
        "scripted": _scripted,
        "embedded": _embedded,
        "faults": _faults,
        "mcp": _mcp,
        "streams": _streams,
        "agui": _agui,
    }
    parser = argparse.ArgumentParser(prog="python -m judges.run", description=__doc__)
    parser.add_argument("--only", action="append", choices=groups, help="leave the others out; may be repeated")
    arguments = parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    programs = ENVIRONMENT / "bin"
    if not (programs / "llm-comply").exists() or not (programs / "llmock").exists():
        console.print("the judges are not installed: run `make judges`")
        return 2
    began = time.monotonic()
    verdicts = [
        verdict for name in arguments.only or groups for verdict in _judged(console, name, groups[name], programs)
    ]
    show(console, verdicts)
    bad = sum(bool(verdict.problems) for verdict in verdicts)
    console.print(f"{len(verdicts) - bad} of {len(verdicts)} as expected, in {time.monotonic() - began:.0f} s")
    return 1 if bad else 0


def _judged(
    console: Console, name: str, group: Callable[[Path, Path], Iterator[Verdict]], programs: Path
) -> Iterator[Verdict]:
    """``group``, with a line for each verdict as it comes. What cannot be judged is a problem."""
    logs = ENVIRONMENT / "log"
    logs.mkdir(exist_ok=True)
    try:
        for verdict in group(programs, logs):
            word = "not as expected" if verdict.problems else "as expected"
            console.print(f"{verdict.judge} {verdict.client} on {verdict.upstream}: {word}", style="dim")
            yield verdict
    except (NotRunning, ModelFileError) as error:
        yield Verdict(name, "-", "-", problems=(f"not judged: {error}",))


def _scripted(programs: Path, logs: Path) -> Iterator[Verdict]:
    """Each API on a full model behind each upstream dialect."""
    with (
        upstream(HERE / "full_model.toml", logs / "upstream.log") as url,
        gateway(_scripted_settings(url), logs / "scripted.log") as address,
    ):
        for api in comply.APIS:
            for other in comply.APIS:
                model = f"{other.dialect}-up/{api.model}"
                yield comply.judge(programs / "llm-comply", api, address, model, other.dialect)


def _scripted_settings(url: str) -> str:
    bases = {"openai_chat": f"{url}/v1", "openai_responses": f"{url}/v1", "anthropic": url, "gemini": url}
    tables = [f'[providers.{name}-up]\ndialect = "{name}"\nbase_url = "{base}"\n' for name, base in bases.items()]
    return "\n".join(tables)


def _embedded(programs: Path, logs: Path) -> Iterator[Verdict]:
    """What a model of 135 million parameters can pass: embedded.toml."""
    ensure_model(sys.stderr)
    able = comply.abilities(HERE / "embedded.toml")
    apis = [api for api in comply.APIS if api.format in able]
    aliases = "\n".join(f'{api.model} = "embedded"' for api in apis)
    with gateway(f"[aliases]\n{aliases}\n", logs / "embedded.log") as address:
        for api in apis:
            program = programs / "llm-comply"
            yield comply.judge(program, api, address, api.model, "embedded", able[api.format], _EMBEDDED_TRIES)


def _faults(programs: Path, logs: Path) -> Iterator[Verdict]:
    """An upstream that fails in each dialect, behind a client of another."""
    with (
        llmock(programs / "llmock", logs / "llmock.log") as url,
        gateway(faults.settings(url), logs / "faults.log") as address,
    ):
        yield from faults.judge(programs / "llmock", url, address)


def _mcp(_: Path, logs: Path) -> Iterator[Verdict]:
    """Servers of every sort, in front of which our client of tools must behave."""
    for revision in mcp_conformance.SCORED:
        yield mcp_conformance.judge(ENVIRONMENT / "node_modules", revision, logs / f"mcp-{revision}.log")


def _streams(_: Path, logs: Path) -> Iterator[Verdict]:
    """The protocol of streams that apps make and follow."""
    yield from durable_streams.judge(ENVIRONMENT, logs)


def _agui(programs: Path, logs: Path) -> Iterator[Verdict]:
    """Runs of agents with all that can happen in them."""
    yield from ag_ui.judge(programs / "python", logs)


if __name__ == "__main__":
    sys.exit(main())
