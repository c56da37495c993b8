"""What a user does in either of the examples for React."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect
from prompted import Line, Prompted


def ask(page: Page, words: str) -> None:
    page.get_by_label("Message").fill(words)
    page.get_by_role("button", name="Send").click()


def ended(page: Page) -> None:
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def begun(page: Page, model: Prompted, answer: Callable[[Page], Locator]) -> Line:
    """A question whose answer has begun."""
    ask(page, "Count.")
    line = model.line()
    line.say("One two")
    expect(answer(page)).to_have_text("One two")
    return line
