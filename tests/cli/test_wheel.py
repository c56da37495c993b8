"""The wheel, installed into an environment of its own: it is whole, and its command works from there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import urllib.request
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT = 300.0
"""Seconds until a step counts as hung: nothing comes from a network."""


def _run(command: list[str], **environ: str) -> str:
    known = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST", "PYTHON"))}
    done = subprocess.run(command, cwd=ROOT, env=known | environ, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    _run([*pip, "--no-build-isolation", "--wheel-dir", str(folder), "."])
    return next(folder.glob("millstream-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it, which finds what the wheel depends on where the tests have it from."""
    folder = tmp_path_factory.mktemp("installed")
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
    python = str(folder / "bin/python")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    _run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)])
    own = Path(_run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip())
    # An entry of a .pth file is a folder to look in, whose own .pth files (ours, editable) do not count.
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    files = (path for path in (ROOT / "src/millstream").rglob("*") if path.is_file())
    there = {str(path.relative_to(ROOT / "src")) for path in files if "__pycache__" not in path.parts}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert there <= held
    assert all(name.startswith("millstream/") for name in held)
    assert not [name for name in held if name.endswith((".pyc", ".so"))]


def test_its_command_is_that_of_the_wheel_and_needs_what_the_wheel_says(installed: Path) -> None:
    command = str(installed / "bin/millstream")
    assert _run([command, "--version"]) == f"millstream {version('millstream')}\n"
    where = "import millstream; print(millstream.__file__)"
    assert _run([str(installed / "bin/python"), "-c", where]).startswith(str(installed))
    needed = (
        "from importlib.metadata import requires, version\n"
        "import re\n"
        "print(*(version(re.match(r'[\\w-]+', line)[0]) for line in requires('millstream') if 'extra ==' not in line))"
    )
    assert _run([str(installed / "bin/python"), "-c", needed]).split()


def test_it_serves_from_there_with_a_fresh_home(installed: Path, tmp_path: Path) -> None:
    command = [str(installed / "bin/millstream"), "serve", "--port", "0", "--address-only", "--until-eof"]
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(
        [*command, "--default-model", "replay/hello"],
        env=environ,
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        body = {"model": "replay/hello", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]}
        head = {"content-type": "application/json"}
        asked = urllib.request.Request(f"{url}/v1/messages", json.dumps(body).encode(), head)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=60) as answer:
            assert "".join(block.get("text", "") for block in json.load(answer)["content"])
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
