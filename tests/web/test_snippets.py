"""What the page shows as the same call for other programs, run by those programs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from browsing import Visit
from playwright.sync_api import Page

from millstream.testing.gateway import GatewayThread

MODULES = Path(__file__).parents[1] / "matrix/node_modules"
QUESTION = 'It\'s "quoted" \\ $HOME `x` $(id) ${1} %s\nüñ \u2028 \U0001f30a </script>'
SURFACES = ("plain", "agent", "conversation", "ui", "agui", "anthropic", "chat", "responses", "gemini")
LIMIT_S = 60


@pytest.fixture(scope="module")
def node() -> list[str]:
    """What runs TypeScript as it is copied, beside the SDKs that it imports."""
    program = next(MODULES.glob("node-*/bin/node"), None)
    if program is None or shutil.which("npm") is None:
        pytest.skip("the TypeScript SDKs are not installed: make test installs them where npm is")
    return [str(program), "--experimental-strip-types", "--disable-warning=ExperimentalWarning"]


def shown(page: Page, language: str) -> str:
    """What the button copies."""
    page.click(f"#code-{language}")
    text = page.locator("#code").text_content()
    assert text is not None
    return text


def opened(visit: Visit, gateway: GatewayThread, key: str | None) -> Page:
    page = visit(gateway.url, expects=("401",) if key is not None else ())
    if key is not None:
        page.fill("#key", key)
        page.keyboard.press("Enter")
    page.wait_for_selector("#gateway-status[data-state=ok]")
    page.fill("#message", QUESTION)
    page.fill("#model", "replay/said")
    return page


def said(*command: str, key: str | None, more: Mapping[str, str] | None = None) -> str:
    environ = {name: value for name, value in os.environ.items() if "PROXY" not in name.upper()}
    environ |= {} if key is None else {"MILLSTREAM_KEY": key}
    environ |= more or {}
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=environ, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("surface", "key"), [*((surface, "sesame") for surface in SURFACES), ("agui", None), ("chat", None)]
)
def test_each_call_does_elsewhere_what_it_does_here(
    visit: Visit,
    locked: GatewayThread,
    gateway: GatewayThread,
    node: list[str],
    tmp_path: Path,
    surface: str,
    key: str | None,
) -> None:
    page = opened(visit, gateway if key is None else locked, key)
    page.select_option("#surface", surface)
    assert "Understood." in said("bash", "-c", shown(page, "curl"), key=key)
    assert "Understood." in said(sys.executable, "-c", shown(page, "python"), key=key)
    program = tmp_path / "call.mts"
    program.write_text(shown(page, "typescript"), encoding="utf-8")
    (tmp_path / "node_modules").symlink_to(MODULES)
    assert "Understood." in said(*node, str(program), key=key)


@pytest.mark.parametrize("key", ["sesame", None])
def test_a_websocket_does_elsewhere_what_it_does_here(
    visit: Visit, locked: GatewayThread, gateway: GatewayThread, node: list[str], tmp_path: Path, key: str | None
) -> None:
    there = gateway if key is None else locked
    page = opened(visit, there, key)
    page.select_option("#surface", "plain")
    page.get_by_label("WebSocket").check()
    assert said(sys.executable, "-c", shown(page, "python"), key=key) == "Understood."
    program = tmp_path / "call.mts"
    program.write_text(shown(page, "typescript"), encoding="utf-8")
    (tmp_path / "node_modules").symlink_to(MODULES)
    assert said(*node, str(program), key=key) == "Understood."
    # Debian has no websocat: what it would be told is looked at.
    told = tmp_path / "websocat"
    told.write_text('#!/bin/bash\nprintf "%s\\0" "$@"\ncat\n')
    told.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    *arguments, body = said("bash", "-c", shown(page, "curl"), key=key, more={"PATH": path}).split("\0")
    header = [] if key is None else ["-H", f"authorization: Bearer {key}"]
    assert arguments == ["-n", *header, f"ws://127.0.0.1:{there.address[1]}/ws/stream"]
    assert json.loads(body)["messages"][-1]["content"] == QUESTION
