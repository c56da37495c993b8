"""Each surface, watched as it happens."""

from __future__ import annotations

import re

import pytest
from browsing import Visit, answer, ask, begun, ended, figure
from loose_wire import LooseWire
from playwright.sync_api import expect

from millstream.testing.gateway import GatewayThread

MILL = re.compile("^\\s*A mill takes what passes by anyway.*so does the stone\\.\\s*$", re.DOTALL)
LONG = "one two three four five six seven eight nine ten " * 12

_SURFACES = ("plain", "socket", "agent", "conversation", "ui", "agui", "anthropic", "chat", "responses", "gemini")


def test_each_surface_gives_the_same_answer(visit: Visit) -> None:
    page = visit()
    for surface in _SURFACES:
        ask(page, "plain" if surface == "socket" else surface, socket=surface == "socket")
        ended(page)
        assert MILL.match(answer(page)), surface
        assert figure(page, "tokens") == "118", surface
        assert re.fullmatch(r"[\d.]+ m?s", figure(page, "first"))
        assert float(figure(page, "rate")) > 10
        assert int(figure(page, "chunks")) > 20
        timeline = page.locator("#live svg.timeline")
        assert "first token after" in (timeline.get_attribute("aria-label") or "")
        for sign in ("request", "head", "first", "end"):
            assert timeline.locator(f".sign.{sign}").count() == 1
        assert timeline.locator("path.tokens").get_attribute("d")
        expect(page.locator("#announcer")).to_contain_text("complete")
        page.click("#new-conversation")


@pytest.mark.parametrize("socket", [False, True], ids=["sse", "websocket"])
def test_a_cut_connection_is_taken_up_where_it_broke(visit: Visit, *, socket: bool) -> None:
    page = visit()
    ask(page, "plain", "replay/long", socket=socket)
    begun(page)
    page.click("#cut")
    expect(page.locator("#live .status")).to_contain_text("the run goes on without us")
    assert page.locator("#send").is_enabled()
    page.click("#resume")
    ended(page)
    assert answer(page).split() == LONG.split()
    timeline = page.locator("#live svg.timeline")
    assert (timeline.locator(".sign.cut").count(), timeline.locator(".sign.resume").count()) == (1, 1)


def test_a_surface_that_tells_all_anew_says_nothing_twice(visit: Visit) -> None:
    page = visit()
    ask(page, "chat", "replay/long")
    begun(page)
    page.click("#cut")
    page.click("#resume")
    ended(page)
    assert answer(page).split() == LONG.split()


@pytest.mark.parametrize("socket", [False, True], ids=["sse", "websocket"])
def test_a_lost_connection_is_taken_up_by_itself(visit: Visit, gateway: GatewayThread, *, socket: bool) -> None:
    with LooseWire(gateway.address) as wire:
        page = visit(wire.url, expects=("Failed to load resource", "WebSocket connection"))
        ask(page, "plain", "replay/long", socket=socket)
        begun(page)
        wire.pull()
        expect(page.locator("#live .status")).to_contain_text("The connection was lost. Trying again")
        expect(page.locator("#banner")).to_contain_text("The gateway cannot be reached")
        wire.plug()
        ended(page)
        assert answer(page).split() == LONG.split()
        assert page.locator("#live .timeline .sign.lost").count() >= 1
        expect(page.locator("#banner")).to_be_hidden()


def test_stop_ends_the_run_itself(visit: Visit) -> None:
    page = visit()
    ask(page, "plain", "replay/long")
    begun(page)
    page.keyboard.press("Escape")
    expect(page.locator("#send")).to_be_enabled()
    page.get_by_role("tab", name="Runs").click()
    expect(page.locator("#runs-table tbody tr").first).to_contain_text("cancelled")


def test_tools_have_bars_and_ask_for_approval(visit: Visit) -> None:
    page = visit()
    ask(page, "agent", "replay/agent")
    log = page.locator("#live [data-tool=open_log]")
    log.get_by_role("button", name="Allow").click()
    ended(page)
    expect(page.locator("#live [data-part=answer]")).to_contain_text("all twelve paddles are sound")
    assert page.locator("#live [data-tool]").evaluate_all("all => all.map(one => one.dataset.state)") == [
        "done",
        "done",
        "failed",
    ]
    assert page.locator("#live .timeline rect.tool").count() == 3
    assert page.locator("#live .timeline rect.tool.failed").count() == 1
    assert "<b>cannot</b>" in (log.locator(".result").text_content() or "")


def test_only_the_tools_that_are_chosen_are_offered(visit: Visit) -> None:
    page = visit()
    expect(page.locator("#tool-choices input")).to_have_count(3)
    page.select_option("#surface", "agent")
    page.get_by_label("inspect_wheel").uncheck()
    assert '"tools":["read_gauge","open_log"]' in page.locator("#code").inner_text()


def test_a_refusal_is_said_and_leaves_the_page_usable(visit: Visit) -> None:
    page = visit(expects=("Failed to load resource",))
    ask(page, "chat", "replay/overloaded")
    expect(page.locator("#live .status")).to_contain_text("the mill is closed <img src=x onerror=alert(1)>")
    ask(page, "chat", "nobody/nothing")
    expect(page.locator("#live .status")).to_contain_text("no model")
    ask(page, "plain")
    ended(page)


def test_what_was_said_goes_along_with_the_next_question(visit: Visit) -> None:
    page = visit()
    ask(page, "plain")
    ended(page)
    page.fill("#message", "And in winter?")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#history .turn")).to_have_count(2)
    ended(page)
    assert '"role":"assistant"' in page.locator("#code").inner_text()
    page.click("#new-conversation")
    expect(page.locator("#history")).to_be_hidden()
    assert '"role":"assistant"' not in page.locator("#code").inner_text()
