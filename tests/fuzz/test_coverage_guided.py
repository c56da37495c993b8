"""atheris steers broken input by the branches it reaches, some seconds per kind of input.

To go on where a run failed: ``python tests/fuzz/run_atheris.py TARGET FILE`` with the file that the failure names;
to run for longer: ``python tests/fuzz/run_atheris.py TARGET -max_total_time=600``.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzzing import TARGETS, seed_inputs

pytestmark = pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")

SECONDS = 4
SCRIPT = Path(__file__).with_name("run_atheris.py")


@pytest.mark.parametrize("target", TARGETS)
def test_whatever_comes_is_answered_as_it_may_be(target: str, tmp_path: Path) -> None:
    seeds, found = tmp_path / "seeds", tmp_path / "found"
    seeds.mkdir()
    found.mkdir()
    for number, data in enumerate(seed_inputs(target)):
        (seeds / f"{number:04}").write_bytes(data)
    options = (
        f"-max_total_time={SECONDS}",
        "-rss_limit_mb=0",  # see run_atheris.py
        "-timeout=10",
        "-max_len=4096",
        "-seed=1",
        "-print_final_stats=1",
        f"-artifact_prefix={tmp_path}/",
    )
    # Measuring coverage would take the interpreter's one trace function, and the time.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    run = subprocess.run(
        [sys.executable, str(SCRIPT), target, *options, str(found), str(seeds)],
        capture_output=True,
        text=True,
        errors="replace",
        env=environ,
        timeout=120,
        check=False,
    )
    said = run.stdout + run.stderr
    assert run.returncode == 0, said[-6000:]
    executed = next(int(line.split()[-1]) for line in said.splitlines() if "number_of_executed_units" in line)
    assert executed > len(list(seeds.iterdir()))
