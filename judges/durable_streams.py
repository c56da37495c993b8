"""The conformance suite of Durable Streams, on each store that outlives a gateway."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from judges.mcp_conformance import node
from judges.program import NotRunning, gateway
from judges.verdict import Verdict

_LIMIT_S = 300.0
_START_S = 30.0
_POLL_S = 0.5
_SUITE = "durable_streams.test.mjs"
_TESTS = f"""
import {{ runConformanceTests }} from "@durable-streams/server-conformance-tests";
runConformanceTests({{ baseUrl: process.env.BASE, longPollTimeoutMs: {_POLL_S * 1000:.0f} }});
"""

EXPECTED = 332
"""Tests of the protocol's core, so that none is lost unseen. Those of webhooks are an option, and left out."""

_SETTINGS = f"""
[server]
cors_origins = ["*"]
[streams]
poll = {_POLL_S}
[sessions]
"""


def judge(environment: Path, logs: Path) -> Iterator[Verdict]:
    """All stores side by side: most of the time is waited for streams to expire. Raises ``NotRunning``."""
    (environment / _SUITE).write_text(_TESTS, encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="ds") as name:
        folder = Path(name)
        with _redis(folder) as url, ThreadPoolExecutor(2) as threads:
            settings = {
                "sqlite": f'path = "{folder / "sessions.db"}"\n',
                "redis": f'redis_url = "{url}"\n',
            }
            work = [
                threads.submit(_judge, environment, logs, store, _SETTINGS + more) for store, more in settings.items()
            ]
            for one in work:
                yield one.result()


def _judge(environment: Path, logs: Path, store: str, settings: str) -> Verdict:
    told = logs / f"durable-streams-{store}.json"
    told.unlink(missing_ok=True)
    modules = environment / "node_modules"
    command = [node(modules), str(modules / "vitest/vitest.mjs"), "run", _SUITE, "--root", str(environment)]
    with gateway(settings, logs / f"streams-{store}.log", store=store) as address:
        done = subprocess.run(
            [*command, "--testTimeout=60000", "--reporter=json", f"--outputFile={told}"],
            env={"BASE": address, "PATH": "/usr/bin:/bin"},
            cwd=environment,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
    if not told.exists():
        raise NotRunning(f"the suite of Durable Streams did not run: {(done.stderr or done.stdout).strip()[-200:]}")
    return _verdict(store, told)


def _verdict(store: str, told: Path) -> Verdict:
    said = json.loads(told.read_text(encoding="utf-8"))
    tests = [test for file in said["testResults"] for test in file["assertionResults"]]
    failed = [test["fullName"] for test in tests if test["status"] == "failed"]
    passed = sum(test["status"] == "passed" for test in tests)
    problems = [f"fails: {name}" for name in failed]
    if passed + len(failed) != EXPECTED:
        problems.append(f"{passed + len(failed)} tests, not {EXPECTED}: is it another version?")
    skipped = len(tests) - passed - len(failed)
    return Verdict("durable-streams", store, "-", passed, len(failed), 0, skipped, tuple(problems))


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    """A server of its own, on a socket in ``folder``. Raises ``NotRunning``."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise NotRunning("there is no redis-server (Debian: apt install redis-server)")
    socket = folder / "redis"
    command = [program, "--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + _START_S
            while not socket.exists():
                if process.poll() is not None or time.monotonic() > end:
                    raise NotRunning("redis-server does not start")
                time.sleep(0.05)
            yield f"unix://{socket}"
        finally:
            process.terminate()
