"""The page in a real Chromium, before a real gateway whose models follow scripts."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import pytest
from browsing import Visit
from playwright.sync_api import Browser, Page, sync_playwright
from tools import Tools

from millstream.config import Config, ReplayConfig, ServerConfig, ToolsConfig
from millstream.testing.gateway import GatewayThread
from millstream.tools.base import Progress, ToolContext, ToolOutcome

SCENARIOS = Path(__file__).parent / "scenarios"
LIMIT_MS = 20_000


@pytest.fixture(scope="module")
def chromium() -> Generator[Browser]:
    """Not for longer than a module: Playwright keeps an event loop in this thread, where other tests have their own."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


async def _gauge(arguments: Mapping[str, Any], context: ToolContext) -> str:
    for step in (1, 2):
        context.progress(Progress(step, 2, f"reading {step} of 2"))
        await asyncio.sleep(0.08)  # so that there is a bar to be drawn
    return f"1.4 m at the {arguments['place']}"


async def _wheel(arguments: Mapping[str, Any], context: ToolContext) -> str:
    await asyncio.sleep(0.3)
    return f"{arguments['paddles']} paddles, all sound"


async def _log(arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
    return ToolOutcome(f"the log of {arguments['day']} <b>cannot</b> be read", is_error=True)


def tools() -> Tools:
    house = Tools("house").add("read_gauge", _gauge).add("inspect_wheel", _wheel)
    return house.add("open_log", _log, permission="ask")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Generator[GatewayThread]:
    config = Config(
        default_model="replay/mill", replay=ReplayConfig(folder=str(SCENARIOS)), tools=ToolsConfig(mode="gateway")
    )
    with GatewayThread(config, tools=[tools()]) as found:
        yield found


@pytest.fixture(scope="module")
def locked() -> Generator[GatewayThread]:
    """It asks for a key."""
    server = ServerConfig(api_key="sesame")
    config = Config(default_model="replay/mill", replay=ReplayConfig(folder=str(SCENARIOS)), server=server)
    with GatewayThread(config) as found:
        yield found


@pytest.fixture
def visit(chromium: Browser, gateway: GatewayThread) -> Generator[Visit]:
    """Opens the page in a browser of its own. Whatever the browser complains about fails the test, but for what the
    test says it ``expects``."""
    complaints: list[str] = []
    contexts = []

    def opened(url: str | None = None, *, part: str = "", expects: tuple[str, ...] = (), **options: Any) -> Page:
        context = chromium.new_context(**options)
        context.set_default_timeout(LIMIT_MS)
        contexts.append(context)
        page = context.new_page()

        def complain(words: str) -> None:
            if not any(one in words for one in expects):
                complaints.append(words)

        page.on("console", lambda said: complain(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complain(str(error)))
        page.goto(f"{url or gateway.url}/{part}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not complaints
