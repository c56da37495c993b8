"""The examples for React build with the packages they are pinned to, and stay short."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NODES = ROOT / "tests/front/node_modules"


@pytest.mark.parametrize("name", ["react-chat", "react-agent"])
def test_an_example_builds(name: str, tmp_path: Path) -> None:
    folder = ROOT / "examples" / name
    node = next(NODES.glob("node-*/bin/node"), None)
    vite = folder / "node_modules/vite/bin/vite.js"
    if node is None or not vite.is_file():
        pytest.skip("the examples' packages are not installed: make test installs them where npm is")
    subprocess.run([str(node), str(vite), "build", "--outDir", str(tmp_path)], cwd=folder, check=True, timeout=120)
    assert list(tmp_path.glob("assets/*.js"))
    own = [path for path in (folder / "src").iterdir() if path.suffix in (".jsx", ".css")]
    assert sum(len(path.read_text().splitlines()) for path in own) <= 200
