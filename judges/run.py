"""Let independent judges use millstream as their users would, and print what they say. See docs/judges.md."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LIMIT_S = 600


@dataclass(frozen=True)
class Case:
    """One API in front of one upstream. ``model`` is a name that the judge takes for a model with reasoning."""

    api: str
    model: str
    upstream: str
    settings: tuple[str, ...]
    flags: tuple[str, ...]
    beyond: frozenset[str] = frozenset()
    """Checks that the model behind it cannot pass: it has no reasoning and sees no pictures."""


_ANTHROPIC = ("--auth-header", "x-api-key", "--no-bearer", "-H", "anthropic-version:2023-06-01")
_SCRIPTED = f"replay.folder={HERE / 'scenarios'}"

SCRIPTED = (
    Case("anthropic", "claude-opus-judge", "scripted, OpenAI Chat", (_SCRIPTED,), _ANTHROPIC),
    Case("openai-chat", "gpt-5-judge", "scripted, Anthropic", (_SCRIPTED, "providers.replay.dialect=anthropic"), ()),
)
EMBEDDED = (
    Case("anthropic", "embedded", "embedded", (), _ANTHROPIC, frozenset({"anth-image-input", "anth-thinking-display"})),
    Case("openai-chat", "embedded", "embedded", (), (), frozenset({"chat-image-input", "chat-reasoning-summary"})),
)


@contextmanager
def _gateway(case: Case) -> Iterator[str]:
    settings = ['aliases={claude-opus-judge="replay/model", gpt-5-judge="replay/model"}', *case.settings]
    command = [sys.executable, "-m", "millstream", "serve", "--port", "0", "--address-only", "--until-eof"]
    for setting in settings:
        command += ["--set", setting]
    if case.upstream != "embedded":
        command += ["--default-model", "replay/model"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        if process.stdout is None or process.stdin is None:
            raise RuntimeError("no pipes")
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def judge(case: Case, program: str) -> list[dict[str, Any]]:
    """What ``llm-comply`` says of each check."""
    with _gateway(case) as url:
        command = [program, "--format", case.api, "-u", f"{url}/v1", "-k", "none", "-m", case.model, *case.flags]
        done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    try:
        results: list[dict[str, Any]] = json.loads(done.stdout)["results"]
    except (ValueError, KeyError) as error:
        raise SystemExit(f"llm-comply gave no result: {done.stderr.strip() or done.stdout.strip()}") from error
    return results


def report(case: Case, results: list[dict[str, Any]]) -> bool:
    """Prints one line per check; whether all passed that the model can pass, advisory ones included."""
    print(f"\nllm-comply {case.api}, upstream: {case.upstream}")
    good = True
    for result in results:
        said = [*result.get("errors", []), *result.get("warnings", [])]
        passed = result["status"] == "passed" and not result.get("warnings")
        excused = result["id"] in case.beyond
        good &= passed or excused
        mark = "passed" if passed else "beyond the model" if excused else result["status"]
        print(f"  {mark:18}{result['name']}{': ' + '; '.join(said) if said else ''}")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--llm-comply", required=True, metavar="PROGRAM", help="the judge, in its own environment")
    parser.add_argument("--scripted", action="store_true", help="leave the embedded model out")
    arguments = parser.parse_args()
    cases = SCRIPTED if arguments.scripted else (*SCRIPTED, *EMBEDDED)
    verdicts = [report(case, judge(case, arguments.llm_comply)) for case in cases]
    print(f"\n{sum(verdicts)} of {len(verdicts)} judges satisfied")
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
