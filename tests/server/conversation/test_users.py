"""Twenty users of one gateway for a few seconds: everything is said once, in order, and kept."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[3] / "bench" / "users.py"


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_nothing_is_lost_where_many_talk_at_once() -> None:
    command = [sys.executable, str(BENCH), "--users", "20", "--minutes", "0.083", "--pause", "0.2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"answers (\d+), contexts (\d+), with suggestions (\d+)\nlost 0, errors 0 ", done.stdout)
    assert found is not None, done.stdout
    answers, contexts, suggested = map(int, found.groups())
    assert answers >= 20
    assert contexts >= answers
    assert suggested == answers
