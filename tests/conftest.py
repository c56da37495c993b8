"""What every test may use, and what the run says about parts that could not run here.

``REQUIRE_ALL=1`` turns each skip into a failure: a machine that is meant to have everything must not pass by skipping.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("millstream", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("millstream")  # no test is about how fast this machine is

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # So a shell begins what it runs in the background, and every program that a test starts would be deaf to Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

REQUIRE_ALL = os.environ.get("REQUIRE_ALL") == "1"
CORPUS = Path(os.environ.get("MILLSTREAM_CORPUS") or Path(__file__).parents[1] / "../shared/corpus").resolve()


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of recordings (``streams/``, ``requests/``, ``index.json``), which is not part of the project."""
    if not (CORPUS / "index.json").is_file():
        pytest.skip("no recordings: set MILLSTREAM_CORPUS to the folder that holds index.json")
    return CORPUS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The one test that takes minutes first, then files by how many tests they have: whichever is the last to begin,
    the other processes wait for it."""
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path.parent.name != "compiled", -tests[item.path], str(item.path)))


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    where = report.longrepr
    return where[2].removeprefix("Skipped: ") if isinstance(where, tuple) else str(where)


def _no_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        report.longrepr = f"skipped although REQUIRE_ALL=1: {_reason(report)}"
        report.outcome = "failed"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _no_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _no_skip(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    if reasons:
        terminalreporter.section("skipped because not installed or not here", sep="-")
        for reason, count in sorted(reasons.items()):
            terminalreporter.line(f"{count:5}  {reason}")
