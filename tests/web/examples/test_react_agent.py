"""``examples/react-agent`` in Chromium: a run with tools that ask, whatever happens to the page in between."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from browsing import Visit
from chatting import ask, begun, ended
from gate import Gate
from looks import faults, picture
from loose_wire import LooseWire
from playwright.sync_api import Locator, Page, Route, expect
from prompted import Prompted

from millstream.testing.gateway import GatewayThread

LOST = "The connection is lost"
BROKEN = ("Failed to load resource", "net::ERR_", "network error", "Failed to fetch", "HTTP 502")
MAY_PAY = "May pay run?"


@pytest.fixture(scope="module")
def site(served: Callable[[str], LooseWire]) -> LooseWire:
    return served("react-agent")


def answer(page: Page) -> Locator:
    """The last one."""
    return page.get_by_role("article", name="Agent").last.locator("> p").last


def asks_for_money(page: Page, model: Prompted) -> None:
    ask(page, "Pay it.")
    line = model.line()
    line.say("May I?")
    line.use("pay", amount=9)
    line.end()
    expect(page.get_by_role("group", name=MAY_PAY)).to_be_visible()
    ended(page)


def test_an_answer_comes_word_by_word(visit: Visit, site: LooseWire, model: Prompted) -> None:
    page = visit(site.url)
    line = begun(page, model, answer)
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    line.say(" three.")
    expect(answer(page)).to_have_text("One two three.")
    line.end()
    ended(page)
    expect(page.get_by_role("article")).to_have_text(["Count.", "One two three."])


def test_a_reload_in_the_middle_of_a_run_goes_on_with_it(visit: Visit, site: LooseWire, model: Prompted) -> None:
    page = visit(site.url)
    line = begun(page, model, answer)
    page.reload()
    expect(answer(page)).to_have_text("One two")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    line.say(" three.")
    line.end()
    ended(page)
    expect(page.get_by_role("article")).to_have_text(["Count.", "One two three."])
    page.reload()
    expect(page.get_by_role("article")).to_have_text(["Count.", "One two three."])


def test_what_was_said_while_the_page_was_away_is_there_when_it_is_back(
    visit: Visit, site: LooseWire, model: Prompted
) -> None:
    page = visit(site.url)
    line = begun(page, model, answer)
    address = page.url
    page.goto("about:blank")
    line.say(" three.")
    line.end()
    page.goto(address)
    expect(answer(page)).to_have_text("One two three.")
    ended(page)


def test_a_browser_that_was_offline_goes_on(visit: Visit, site: LooseWire, model: Prompted) -> None:
    page = visit(site.url, expects=BROKEN)
    line = begun(page, model, answer)
    page.context.set_offline(True)  # which alone leaves connections that are there
    site.pull()
    expect(page.get_by_role("status")).to_contain_text(LOST)
    picture(page, "react-agent-offline")
    assert faults(page) == []
    expect(answer(page)).to_have_text("One two")
    line.say(" three")
    site.plug()
    page.context.set_offline(False)
    expect(answer(page)).to_have_text("One two three")
    expect(page.get_by_role("status")).to_have_count(0)
    line.say(" four.")
    line.end()
    ended(page)
    expect(page.get_by_role("article")).to_have_text(["Count.", "One two three four."])


def test_two_tabs_follow_one_run_and_each_other(visit: Visit, site: LooseWire, model: Prompted) -> None:
    one = visit(site.url)
    line = begun(one, model, answer)
    two = one.context.new_page()
    two.goto(one.url)
    expect(answer(two)).to_have_text("One two")
    line.say(" three.")
    line.end()
    for tab in (one, two):
        expect(tab.get_by_role("article")).to_have_text(["Count.", "One two three."])
        ended(tab)
    asks_for_money(two, model)
    for tab in (one, two):
        expect(tab.get_by_role("group", name=MAY_PAY)).to_be_visible()
    one.get_by_role("button", name="Allow").click()
    model.line().answer("Paid.")
    for tab in (one, two):
        expect(tab.locator(".tool")).to_contain_text("9 paid")
        expect(answer(tab)).to_have_text("Paid.")
        expect(tab.get_by_role("group", name=MAY_PAY)).to_have_count(0)
        ended(tab)


def test_stop_ends_the_models_work_and_the_next_question_is_answered(
    visit: Visit, site: LooseWire, model: Prompted
) -> None:
    page = visit(site.url)
    line = begun(page, model, answer)
    page.get_by_role("button", name="Stop").click()
    line.gone()
    ended(page)
    expect(page.get_by_role("alert")).to_have_count(0)
    ask(page, "Again?")
    model.line().answer("One.")
    expect(answer(page)).to_have_text("One.")
    ended(page)


def test_stop_ends_a_run_that_went_on_from_an_answer(visit: Visit, site: LooseWire, model: Prompted) -> None:
    page = visit(site.url)
    asks_for_money(page, model)
    page.get_by_role("button", name="Allow").click()
    line = model.line()
    line.say("It is")
    expect(answer(page)).to_have_text("It is")
    page.get_by_role("button", name="Stop").click()
    line.gone()
    ended(page)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_run_that_fails_says_so_and_the_page_goes_on(visit: Visit, site: LooseWire, model: Prompted) -> None:
    page = visit(site.url)
    begun(page, model, answer).fail("the wheel is stuck")
    expect(page.get_by_role("alert")).to_contain_text("the wheel is stuck")
    expect(answer(page)).to_have_text("One two")
    ask(page, "Again?")
    model.line().answer("One.")
    expect(answer(page)).to_have_text("One.")
    expect(page.get_by_role("alert")).to_have_count(0)
    ended(page)


@pytest.mark.parametrize("reloaded", [False, True], ids=["at once", "after a reload"])
@pytest.mark.parametrize(("button", "said"), [("Allow", "9 paid"), ("Refuse", "not allowed")])
def test_a_tool_runs_only_if_it_is_allowed(
    visit: Visit, site: LooseWire, model: Prompted, button: str, said: str, *, reloaded: bool
) -> None:
    page = visit(site.url)
    asks_for_money(page, model)
    if reloaded:
        page.reload()
    page.get_by_role("button", name=button).click()
    line = model.line()
    assert said in line.question
    line.answer("So be it.")
    expect(page.locator(".tool")).to_contain_text(said)
    expect(answer(page)).to_have_text("So be it.")
    expect(page.get_by_role("group", name=MAY_PAY)).to_have_count(0)
    ended(page)


def test_a_reload_goes_on_with_a_run_that_went_on_from_an_answer(
    visit: Visit, site: LooseWire, model: Prompted
) -> None:
    page = visit(site.url)
    asks_for_money(page, model)
    page.get_by_role("button", name="Allow").click()
    line = model.line()
    line.say("It is")
    expect(answer(page)).to_have_text("It is")
    page.reload()
    expect(answer(page)).to_have_text("It is")
    line.say(" paid.")
    line.end()
    ended(page)
    expect(page.get_by_role("article")).to_have_text(["Pay it.", re.compile("^May I.*9 paid$"), "It is paid."])


def test_each_question_has_an_answer_of_its_own(visit: Visit, site: LooseWire, model: Prompted) -> None:
    page = visit(site.url)
    ask(page, "Pay them.")
    line = model.line()
    line.use("pay", amount=9)
    line.use("pay", amount=8)
    line.end()
    questions = page.get_by_role("group", name=MAY_PAY)
    expect(questions).to_have_count(2)
    first, second = page.locator(".tool").nth(0), page.locator(".tool").nth(1)
    second.get_by_role("button", name="Allow").click()
    expect(second).to_contain_text("Allowed.")
    first.get_by_role("button", name="Refuse").click()
    model.line().answer("Half of it is paid.")
    expect(first).to_contain_text("not allowed")
    expect(second).to_contain_text("8 paid")
    expect(answer(page)).to_have_text("Half of it is paid.")


def test_an_answer_that_does_not_get_through_leaves_the_question(
    visit: Visit, site: LooseWire, model: Prompted
) -> None:
    page = visit(site.url, expects=BROKEN)
    asks_for_money(page, model)

    def refuse(route: Route) -> None:
        route.fulfill(status=502, body="no gateway")

    page.route("**/agui", refuse)
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_role("alert")).to_contain_text("502")
    page.unroute("**/agui")
    page.get_by_role("button", name="Allow").click()
    model.line().answer("Paid.")
    expect(page.locator(".tool")).to_contain_text("9 paid")
    expect(page.get_by_role("alert")).to_have_count(0)
    ended(page)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1000), ("dark", 390)], ids=str)
def test_nobody_is_kept_out_and_nothing_sticks_out(
    visit: Visit, site: LooseWire, model: Prompted, gate: Gate, gateway: GatewayThread, scheme: str, width: int
) -> None:
    page = visit(site.url, color_scheme=scheme, viewport={"width": width, "height": 760})
    ask(page, "How high does the water stand at the weir, and can you pay the miller?")
    line = model.line()
    line.say("I look at the gauge first, then I ask you about the money.")
    line.use("survey", place="weir")
    line.end()
    expect(page.get_by_role("progressbar", name="at the weir")).to_have_attribute("value", "1")
    picture(page, f"react-agent-tool-{scheme}")
    assert faults(page) == []
    gate.open(gateway)
    line = model.line()
    line.say("The water stands at 1.4 m.")
    line.use("pay", amount=9, to="the miller at the lower weir", reason="a" * 60)
    line.end()
    expect(page.get_by_role("progressbar")).to_have_count(0)
    expect(page.get_by_role("group", name=MAY_PAY)).to_be_visible()
    picture(page, f"react-agent-question-{scheme}")
    assert faults(page) == []
    page.get_by_role("button", name="Refuse").click()
    line = model.line()
    line.say("Then I leave the money where it is.")
    expect(answer(page)).to_have_text("Then I leave the money where it is.")
    line.fail("the wheel is stuck")
    expect(page.get_by_role("alert")).to_be_visible()
    picture(page, f"react-agent-error-{scheme}")
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
