"""``llm-comply``: does each API answer in the shape that its specification and its own SDK ask for?"""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judges.verdict import Verdict

_LIMIT_S = 600.0


@dataclass(frozen=True, slots=True)
class Api:
    """One of the judge's formats. ``checks`` is how many it has, so that none is lost unseen; ``model`` is a name that
    lets it skip none. ``warned`` are checks that may warn, each with the reason."""

    format: str
    dialect: str
    model: str
    checks: int
    path: str = "/v1"
    flags: tuple[str, ...] = ()
    warned: tuple[tuple[str, str], ...] = ()


class _NoResultError(Exception):
    """The judge did not judge."""


_COMPACTION = "compact-response warns: millstream has no /v1/responses/compact, and the judge takes its 404"

APIS = (
    Api(
        "anthropic",
        "anthropic",
        "claude-opus-4-5",
        9,
        flags=("--auth-header", "x-api-key", "--no-bearer", "-H", "anthropic-version:2023-06-01"),
    ),
    Api("openai-chat", "openai_chat", "gpt-5", 9),
    Api("open-responses", "openai_responses", "gpt-5", 13, warned=(("compact-response", _COMPACTION),)),
    Api("google-genai", "gemini", "gemini-3-pro", 9, path="", flags=("--auth-header", "x-goog-api-key", "--no-bearer")),
)


def judge(
    program: Path, api: Api, gateway: str, model: str, upstream: str, able: Iterable[str] | None = None, tries: int = 1
) -> Verdict:
    """Every check of ``api`` on ``model``. Those that ``able`` names must pass without a warning; None: all of them.

    A model that samples may ramble to its limit once: ``tries`` is how often such a check may be made.
    """
    command = [str(program), "--format", api.format, "-u", f"{gateway}{api.path}", "-k", "none", "-m", model]
    command += [*api.flags, "--json"]
    try:
        found = _results(command)
        due = set(found if able is None else able)
        for _ in range(tries - 1):
            again = [name for name in due & found.keys() if _trouble(found[name])]
            if again:
                found |= _results([*command, "--filter", ",".join(again)])
    except _NoResultError as error:
        return Verdict("llm-comply", api.dialect, upstream, problems=(str(error),))
    return _verdict(api, upstream, found, due)


def _results(command: list[str]) -> dict[str, dict[str, Any]]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    try:
        return {result["id"]: result for result in json.loads(done.stdout)["results"]}
    except (ValueError, LookupError) as error:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise _NoResultError(f"no result: {said[-1] if said else f'exit status {done.returncode}'}") from error


def _verdict(api: Api, upstream: str, found: dict[str, dict[str, Any]], due: set[str]) -> Verdict:
    expected = dict(api.warned)
    problems = [] if len(found) == api.checks else [f"{len(found)} checks, not {api.checks}: is it another version?"]
    problems += [f"{name} was not run" for name in sorted(due - found.keys())]
    remarks = []
    for name, result in found.items():
        trouble = _trouble(result)
        if trouble is not None and name in expected and result["status"] == "passed":
            remarks.append(expected[name])
        elif trouble is not None and name in due:
            problems.append(f"{name} {trouble}")
        elif trouble is not None:
            remarks.append(f"{name} on {upstream}, which is not up to it, {trouble}")
    states = [result["status"] for result in found.values()]
    warned = sum(result["status"] == "passed" and bool(result.get("warnings")) for result in found.values())
    return Verdict(
        "llm-comply",
        api.dialect,
        upstream,
        passed=states.count("passed"),
        failed=states.count("failed"),
        warned=warned,
        skipped=states.count("skipped"),
        problems=tuple(problems),
        remarks=tuple(remarks),
    )


def _trouble(result: Mapping[str, Any]) -> str | None:
    """What is less than a clean pass."""
    said = "; ".join([*result.get("errors", ()), *result.get("warnings", ())])
    if result["status"] == "passed" and not said:
        return None
    return f"{'warned' if result['status'] == 'passed' else result['status']}: {said}"


def abilities(path: Path) -> dict[str, list[str]]:
    """Which checks a model must pass, by format: a TOML file that has ``passes`` in a table for each format."""
    with path.open("rb") as file:
        return {name: list(table["passes"]) for name, table in tomllib.load(file).items()}
