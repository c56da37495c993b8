"""The wheel, as `uv tool install` and `pipx install` put it into an environment of its own with all that it needs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PINNED = str(ROOT / "constraints.txt")
SCRIPTS = Path(sys.executable).parent
OF_EXTRAS = {"httpx2", "mcp", "mcp_types"}
"""What modules that only run with an extra import as they are imported."""
MISSING = """
import importlib, pkgutil, millstream
for module in pkgutil.walk_packages(millstream.__path__, "millstream."):
    try:
        module.name.endswith("__main__") or importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        print(error.name)
"""
LIMIT = 300.0
"""Seconds until a step counts as hung. What is installed comes from the package index."""


def _environment(home: Path, **more: str) -> dict[str, str]:
    """As the tests have it, for certificates and indexes of this machine, with an empty home and none of our own."""
    ours = ("COV", "PIPX", "PYTEST", "PYTHON", "UV_CACHE", "UV_TOOL", "VIRTUAL_ENV", "XDG_")
    known = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return known | {"HOME": str(home), "PATH": "/usr/bin:/bin"} | more


def _run(command: list[str], environ: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    _run([*pip, "--no-build-isolation", "--wheel-dir", str(folder), "."], _environment(folder))
    return next(folder.glob("millstream-*.whl"))


@dataclass(frozen=True)
class Installed:
    """``command`` is what the user then types, in an empty ``home``."""

    command: Path
    home: Path

    def said(self, *arguments: str) -> str:
        return self._run([str(self.command), *arguments])

    def missing(self) -> set[str]:
        """What the package's modules import and is not there."""
        return set(self._run([str(self.command.resolve().parent / "python"), "-c", MISSING]).split())

    def _run(self, command: list[str]) -> str:
        return _run(command, {"HOME": str(self.home), "PATH": "/usr/bin:/bin"})


def _uv(wheel: Path, folder: Path) -> None:
    places = {"UV_TOOL_DIR": str(folder / "tools"), "UV_TOOL_BIN_DIR": str(folder / "bin")}
    environ = _environment(folder / "home", UV_SYSTEM_CERTS="1", **places)
    uv = [str(SCRIPTS / "uv"), "--no-config", "--quiet", "--no-python-downloads"]
    _run([*uv, "tool", "install", "--python", sys.executable, "--constraints", PINNED, str(wheel)], environ)


def _pipx(wheel: Path, folder: Path) -> None:
    places = {"PIPX_HOME": str(folder / "tools"), "PIPX_BIN_DIR": str(folder / "bin")}
    environ = _environment(folder / "home", PIP_CONSTRAINT=PINNED, **places)
    pipx = [str(SCRIPTS / "pipx"), "install", "--quiet", "--backend", "pip", "--python", sys.executable]
    _run([*pipx, str(wheel)], environ)


@pytest.fixture(scope="module")
def package_index(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("asked")
    (folder / "wanted").write_text("msgspec\n")
    uv = [str(SCRIPTS / "uv"), "--no-config", "--no-cache", "--quiet", "pip", "compile", "--no-deps"]
    environ = _environment(folder, UV_SYSTEM_CERTS="1")
    done = subprocess.run([*uv, str(folder / "wanted")], env=environ, capture_output=True, text=True, timeout=LIMIT)
    if "error sending request" in done.stderr:
        pytest.skip("the package index cannot be reached")


@pytest.fixture(scope="module", params=[_uv, _pipx], ids=["uv", "pipx"])
def installed(
    request: pytest.FixtureRequest, wheel: Path, package_index: None, tmp_path_factory: pytest.TempPathFactory
) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    (folder / "home").mkdir()
    install: Callable[[Path, Path], None] = request.param
    install(wheel, folder)
    return Installed(folder / "bin/millstream", folder / "home")


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    files = (path for path in (ROOT / "src/millstream").rglob("*") if path.is_file())
    there = {str(path.relative_to(ROOT / "src")) for path in files if "__pycache__" not in path.parts}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert there <= held
    assert all(name.startswith("millstream/") for name in held)
    assert not [name for name in held if name.endswith((".pyc", ".so"))]


def test_the_command_of_an_installed_wheel_is_complete(installed: Installed) -> None:
    assert installed.said("--version") == f"millstream {version('millstream')}\n"
    said = installed.said("--help")
    assert "Any model, any client" in said
    assert "launch" in said
    assert installed.missing() <= OF_EXTRAS


def test_an_installed_wheel_serves_until_it_is_told_to_stop(installed: Installed) -> None:
    command = [str(installed.command), "serve", "--port", "0", "--address-only", "--until-eof"]
    with subprocess.Popen(
        [*command, "--default-model", "replay/hello"],
        env={"HOME": str(installed.home), "PATH": "/usr/bin:/bin"},
        cwd=installed.home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{url}/health", timeout=60) as answer:
            assert json.load(answer)["version"] == version("millstream")
        body = {"model": "replay/hello", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]}
        head = {"content-type": "application/json"}
        asked = urllib.request.Request(f"{url}/v1/messages", json.dumps(body).encode(), head)
        with opener.open(asked, timeout=60) as answer:
            assert "".join(block.get("text", "") for block in json.load(answer)["content"])
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
