"""What tests in a browser share: the page's playground, as its user handles it."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page

Visit = Callable[..., Page]
"""Opens the page of the gateway, or of another at ``url``; see the fixture ``visit``."""


def answer(page: Page) -> str:
    """What the page has of it, as a reader sees it."""
    return page.locator("#live [data-part=answer]").inner_text()


def figure(page: Page, name: str) -> str:
    return page.locator(f"#live [data-figure={name}]").inner_text()


def ask(page: Page, surface: str, model: str = "replay/mill", *, socket: bool = False) -> None:
    page.wait_for_selector("#gateway-status[data-state=ok]")
    page.select_option("#surface", surface)
    if socket:
        page.get_by_label("WebSocket").check()
    page.fill("#model", model)
    page.click("#send")


def ended(page: Page) -> None:
    page.wait_for_selector("#live .status[data-tone=good]")
    page.wait_for_selector("#send:enabled")


def begun(page: Page) -> None:
    """The first words are there."""
    page.locator("#live [data-part=answer]", has_text="two three").wait_for()
