"""What AG-UI's own validator says of a gateway on real sockets; ``make judges`` asks it about every upstream."""

from __future__ import annotations

import sys
from pathlib import Path

from judges import ag_ui


def test_the_validator_finds_nothing_in_runs_with_tools_questions_errors_and_a_stop(tmp_path: Path) -> None:
    (verdict,) = ag_ui.judge(Path(sys.executable), tmp_path, ["anthropic"])
    assert not verdict.problems
    assert verdict.passed == len(ag_ui.EXPECTED)
