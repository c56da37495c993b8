"""How a wheel is built: pure Python, or with ``MILLSTREAM_COMPILE=1`` what runs for each event compiled by mypyc.

Both are the same source. What is compiled does no I/O and is called often; the rest would gain nothing.
https://mypyc.readthedocs.io, https://hatch.pypa.io/latest/plugins/build-hook/custom/
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMPILED = {
    "core": ("grammar", "json_field", "repeats", "sse", "stops"),
    "dialects/anthropic": ("message_in", "parse", "render"),
    "dialects/gemini": ("answer", "arguments", "framing", "parse", "render"),
    "dialects/openai_chat": ("answer", "calls", "parse", "render"),
    "dialects/openai_responses": ("calls", "emit", "outputs", "parse", "render"),
    ".": ("relay", "shortcut"),
}
_NEEDED = ["msgspec>=0.22", "mypy>=2", "setuptools"]


class CustomBuildHook(BuildHookInterface[Any]):
    """Called by hatchling."""

    def dependencies(self) -> list[str]:
        return _NEEDED if _wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not _wanted() or version == "editable":
            return
        self._folder = Path(tempfile.mkdtemp())
        for module in _compile(Path(self.root, "src"), self._folder):
            build_data["force_include"][str(self._folder / module)] = str(module)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_folder"):
            shutil.rmtree(self._folder)


def _wanted() -> bool:
    return os.environ.get("MILLSTREAM_COMPILE") == "1"


def _compile(source: Path, folder: Path) -> list[Path]:
    """The extension modules made of the package in ``source``, below ``folder``."""
    shutil.copytree(source / "millstream", folder / "millstream", ignore=shutil.ignore_patterns("__pycache__"))
    modules = [f"millstream/{package}/{name}.py" for package, names in COMPILED.items() for name in names]
    subprocess.run([sys.executable, "-m", "mypyc", "--follow-imports=silent", *modules], cwd=folder, check=True)  # noqa: S603  # our own files
    shutil.rmtree(folder / "build")
    return [path.relative_to(folder) for path in folder.rglob("*") if path.suffix in (".so", ".pyd")]
