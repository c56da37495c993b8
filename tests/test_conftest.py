"""The suite's own promise: nothing is skipped in silence, and with REQUIRE_ALL=1 nothing is skipped at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = """
import pytest

def test_skipped_inside():
    pytest.skip("no such server")

@pytest.mark.skip(reason="no such browser")
def test_skipped_by_mark():
    pass

@pytest.mark.xfail(reason="known", strict=True)
def test_expected_to_fail():
    assert False

def test_passing():
    pass
"""


def _run(folder: Path, require_all: str, module: str = SUITE) -> tuple[int, str]:
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    (folder / "test_it.py").write_text(module)
    environ = {**os.environ, "REQUIRE_ALL": require_all}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, cwd=folder)
    return done.returncode, done.stdout


def test_what_is_skipped_is_named_at_the_end(tmp_path: Path) -> None:
    status, told = _run(tmp_path, "0")
    assert status == 0
    assert "    1  no such browser\n    1  no such server\n" in told


def test_where_everything_is_required_a_skip_fails(tmp_path: Path) -> None:
    status, told = _run(tmp_path, "1")
    assert status == 1
    assert "1 failed, 1 passed, 1 xfailed, 1 error" in told
    assert "skipped although REQUIRE_ALL=1: no such server" in told


@pytest.mark.parametrize(("require_all", "status"), [("0", 5), ("1", 2)])
def test_a_module_that_skips_itself_counts_too(tmp_path: Path, require_all: str, status: int) -> None:
    found, told = _run(tmp_path, require_all, "import pytest\npytest.importorskip('no_such_module')\n")
    assert found == status
    assert "no_such_module" in told
