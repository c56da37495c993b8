"""What a page looks like, kept for people to see, and whom it keeps out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
AXE = ROOT / "tests/matrix/node_modules/axe-core/axe.min.js"
SCREENSHOTS = ROOT / "build/screenshots"
GRAVE = ("serious", "critical")


def picture(page: Page, name: str) -> None:
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def faults(page: Page) -> list[str]:
    """What axe finds that keeps somebody out. It is evaluated past the page's own policy, as an extension would be."""
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: make tests/matrix/node_modules/.package-lock.json")
    page.evaluate(AXE.read_text())
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in GRAVE
        for node in one["nodes"]
    ]
