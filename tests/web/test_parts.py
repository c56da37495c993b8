"""The page's other parts, its key, its keyboard, and what it looks and sounds like."""

from __future__ import annotations

import pytest
from browsing import Visit, answer, ask, begun, ended
from looks import faults, picture
from playwright.sync_api import expect

from millstream.testing.gateway import GatewayThread


def test_a_run_is_listed_replayed_and_deleted(visit: Visit) -> None:
    page = visit()
    ask(page, "plain")
    ended(page)
    said = answer(page)
    page.get_by_role("tab", name="Runs").click()
    first = page.locator("#runs-table button").first
    name = first.inner_text()
    first.click()
    expect(page.locator("#run-title")).to_be_focused()
    page.wait_for_selector("#run .status[data-tone=good]")
    assert page.locator("#run [data-part=answer]").inner_text() == said
    assert page.locator("#run [data-figure=tokens]").inner_text() == "118"
    expect(page.locator("#run .thinking")).to_be_visible()
    page.select_option("#speed", "0.5")
    page.click("#replay")
    page.click("#pause")
    expect(page.locator("#pause")).to_have_text("Go on")
    page.select_option("#speed", "0")
    page.click("#pause")
    page.wait_for_selector("#run .status[data-tone=good]")
    assert page.locator("#run [data-part=answer]").inner_text() == said
    page.click("#run-delete")
    page.locator("#delete-dialog").get_by_role("button", name="Delete").click()
    expect(page.locator("#run")).to_be_hidden()
    expect(page.locator(f"[data-run='{name}']")).to_have_count(0)


def test_a_run_under_way_is_watched_and_cancelled_by_another_reader(visit: Visit) -> None:
    asking, watching = visit(), visit(part="#runs")
    ask(asking, "plain", "replay/long")
    begun(asking)
    watching.click("#runs-refresh")
    watching.locator("#runs-table tr", has_text="running").locator("button").first.click()
    watching.locator("#run [data-part=answer]", has_text="two three").wait_for()
    watching.click("#run-cancel")
    watching.locator("#runs-table tr.chosen", has_text="cancelled").wait_for()
    asking.wait_for_selector("#send:enabled")


def test_the_gateways_figures_are_shown(visit: Visit, gateway: GatewayThread) -> None:
    page = visit(expects=("Failed to load resource",))
    ask(page, "plain")
    ended(page)
    ask(page, "chat", "replay/overloaded")
    page.wait_for_selector("#live .status[data-tone=bad]")
    page.get_by_role("tab", name="Gateway").click()
    view = page.locator("#gateway-view")
    view.locator("th", has_text="replay/mill").wait_for()
    view.locator("li", has_text="invalid_request").wait_for()
    assert view.locator("svg.chart").count() == 3
    assert view.locator("svg.chart .finished").count() >= 1
    expect(view.locator("tr", has=page.locator("th", has_text="replay/mill")).locator("td").nth(2)).to_contain_text(
        "ms"
    )


def test_who_needs_a_key_is_asked_for_it_and_uses_it_everywhere(visit: Visit, locked: GatewayThread) -> None:
    page = visit(locked.url, expects=("Failed to load resource",))
    dialog = page.locator("#key-dialog")
    dialog.wait_for()
    page.fill("#key", "wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#banner")).to_contain_text("does not take this key")
    page.click("#key-button")
    page.fill("#key", "sesame")
    dialog.get_by_role("button", name="Use it").click()
    ask(page, "plain")
    ended(page)
    ask(page, "plain", socket=True)
    ended(page)
    assert "sesame" not in page.content()
    assert "$MILLSTREAM_KEY" in page.locator("#code").inner_text() or "websocat" in page.locator("#code").inner_text()
    assert page.evaluate("[Object.values(localStorage).join(), sessionStorage['millstream.key']]") == ["auto", "sesame"]
    page.click("#key-button")
    dialog.get_by_role("button", name="Forget it").click()
    expect(page.locator("#gateway-status")).to_have_text("key needed")
    assert page.evaluate("sessionStorage.length") == 0


def test_it_can_be_used_with_the_keyboard_alone(visit: Visit) -> None:
    page = visit(reduced_motion="reduce")
    page.wait_for_selector("#gateway-status[data-state=ok]")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#tab-playground")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#runs")).to_be_visible()
    page.keyboard.press("End")
    expect(page.locator("#gateway")).to_be_visible()
    page.keyboard.press("Home")
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.type("Agent")
    expect(page.locator("#surface")).to_have_value("agent")
    page.locator("#message").press("Control+Enter")
    ended(page)
    page.locator("#code-curl").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#code").inner_text().startswith("import httpx")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1360), ("dark", 390)], ids=str)
def test_nobody_is_kept_out_and_nothing_sticks_out(visit: Visit, scheme: str, width: int) -> None:
    page = visit(color_scheme=scheme, viewport={"width": width, "height": 860}, reduced_motion="reduce")
    name = f"{scheme}-{'wide' if width > 900 else 'narrow'}"
    ask(page, "agent", "replay/agent")
    page.get_by_role("button", name="Allow").wait_for()
    assert faults(page) == []
    page.get_by_role("button", name="Allow").click()
    ended(page)
    picture(page, f"playground-{name}")
    assert faults(page) == []
    page.get_by_role("tab", name="Runs").click()
    page.locator("#runs-table button").first.click()
    page.wait_for_selector("#run .status[data-tone=good]")
    picture(page, f"runs-{name}")
    assert faults(page) == []
    page.get_by_role("tab", name="Gateway").click()
    page.get_by_role("heading", name="Providers").wait_for()
    picture(page, f"gateway-{name}")
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
