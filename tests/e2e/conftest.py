from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from claude_code import VERSIONS, ClaudeCode, installed
from gateway_site import WIRES, Site
from speakers import SPEAKERS, Speaker
from wires import Wire


@pytest.fixture(scope="module")
def site() -> Generator[Site]:
    found = Site()
    try:
        yield found
    finally:
        found.close()


@pytest.fixture(params=WIRES, ids=lambda wire: f"upstream-{wire.name}")
def upstream(request: pytest.FixtureRequest) -> Wire:
    """Each dialect in turn, as the upstream's."""
    wire: Wire = request.param()
    return wire


@pytest.fixture(params=SPEAKERS, ids=lambda speaker: f"upstream-{speaker.name}")
def speaker(request: pytest.FixtureRequest) -> Speaker:
    """Each of the four dialects in turn, as the upstream's."""
    found: Speaker = request.param()
    return found


@pytest.fixture(params=VERSIONS)
def claude(request: pytest.FixtureRequest, tmp_path: Path) -> ClaudeCode:
    """Each version of Claude Code in turn."""
    return installed(request.param, tmp_path)
