"""``ag-ui-validate``: does a run keep the rules of AG-UI, with tools, questions, answers, errors and a stop in it?"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from judges.program import NotRunning, gateway, upstream
from judges.verdict import Verdict

HERE = Path(__file__).resolve().parent
_LIMIT_S = 120.0
_BASES = {"openai_chat": "/v1", "openai_responses": "/v1", "anthropic": "", "gemini": ""}

EXPECTED = {
    "question": ["success"] * 3,
    "tools": ["success"],
    "tools_of_the_page": ["success"] * 2,
    "approvals": ["interrupt", "success", "success", "success"],
    "cancelled_approvals": ["interrupt", "success"],
    "input_of_a_tool": ["interrupt", "success", "success", "interrupt", "success"],
    "failure": ["RUN_ERROR"],
    "refusal": ["RUN_ERROR"],
    "stop": ["cancelled"],
}
"""How the runs of each case must end, so that none is lost unseen."""


_REASONS = {
    "AGUI208": "calls of one turn name the message that they make up, also where the model has said no word before",
}


def judge(python: Path, logs: Path, dialects: Iterable[str] = tuple(_BASES)) -> Iterator[Verdict]:
    """In front of an upstream of each of ``dialects``. ``python`` is one that has the judge. Raises ``NotRunning``."""
    files = logs / "ag-ui"
    files.mkdir(exist_ok=True)
    (files / "mill.txt").write_text("The mill turns.\n", encoding="utf-8")
    with (
        upstream(HERE / "ag_ui.toml", logs / "ag-ui-upstream.log") as url,
        gateway(_settings(url, files), logs / "ag-ui.log") as address,
    ):
        for dialect in dialects:
            yield _verdict(dialect, _found(python, address, f"{dialect}-up/m"))


def _settings(upstream: str, files: Path) -> str:
    tables = [
        f'[providers.{name}-up]\ndialect = "{name}"\nbase_url = "{upstream}{base}"\n' for name, base in _BASES.items()
    ]
    tools = f'[tools.workspace]\nroot = {json.dumps(str(files))}\n[tools.permissions]\nLS = "ask"\n'
    server = [str(HERE / "asking_server.py")]
    asking = f"[mcp_servers.asking]\ncommand = {json.dumps(sys.executable)}\nargs = {json.dumps(server)}\n"
    return "\n".join([*tables, tools, asking])


def _found(python: Path, address: str, model: str) -> list[dict[str, Any]]:
    command = [str(python), str(HERE / "ag_ui_client.py"), address, model]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    if done.returncode:
        raise NotRunning(f"ag-ui-validate did not run: {done.stderr.strip().splitlines()[-1]}")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def _verdict(dialect: str, found: list[dict[str, Any]]) -> Verdict:
    """A case passes that has neither errors nor warnings. What else is found has to have its reason here."""
    problems, remarks = [], []
    for case in found:
        for one in case["findings"]:
            if one["severity"] == "info" and one["rule"] in _REASONS:
                remarks.append(f"{one['rule']} is information: {_REASONS[one['rule']]}")
            else:
                problems.append(f"{case['case']}: {one['rule']} ({one['severity']}) {one['message']}")
    failed = len({problem.partition(":")[0] for problem in problems})
    ends = {case["case"]: case["ends"] for case in found}
    problems += [
        f"{name} ends with {ends.get(name)}, not {due}" for name, due in EXPECTED.items() if ends.get(name) != due
    ]
    passed = len(found) - failed
    return Verdict("ag-ui-validate", "ag_ui", dialect, passed, failed, problems=tuple(problems), remarks=tuple(remarks))
