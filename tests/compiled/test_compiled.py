"""The same source, compiled: the wheel of ``MILLSTREAM_COMPILE=1`` passes the tests of what is compiled."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT_S = 600.0


def run(command: list[str], **environ: str) -> str:
    known = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST_"))}
    ended = subprocess.run(
        command, cwd=ROOT, env=known | environ, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    return ended.stdout


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc)")
def test_the_compiled_build_passes_the_tests_of_its_source(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    run([*pip, "--no-build-isolation", "--wheel-dir", str(tmp_path), "."], MILLSTREAM_COMPILE="1")
    [wheel] = tmp_path.glob("millstream-*.whl")
    assert not wheel.name.endswith("-none-any.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    show = "import millstream.relay, millstream.core.sse as sse; print(millstream.relay.__file__, sse.__file__)"
    for file in run([sys.executable, "-c", show], PYTHONPATH=str(installed)).split():
        assert file.startswith(str(installed))
        assert not file.endswith(".py")
    tests = ["tests/core", "tests/dialects", "tests/test_relay.py", "tests/test_shortcut.py"]
    run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests], PYTHONPATH=str(installed))
