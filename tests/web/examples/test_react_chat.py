"""``examples/react-chat`` in Chromium, from the question to the answer, whatever happens to the page in between."""

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
BROKEN = ("Failed to load resource", "net::ERR_")


@pytest.fixture(scope="module")
def site(served: Callable[[str], LooseWire]) -> LooseWire:
    return served("react-chat")


def answer(page: Page) -> Locator:
    """The last one."""
    return page.get_by_role("article", name="Assistant").last.locator("> p").last


def test_an_answer_comes_word_by_word(visit: Visit, site: LooseWire, model: Prompted) -> None:
    page = visit(site.url)
    ask(page, "Count.")
    line = model.line()
    assert line.question == "Count."
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    said = ""
    for word in ("One", " two", " three."):
        line.say(word)
        said += word
        expect(answer(page)).to_have_text(said)
    line.end()
    ended(page)
    expect(page.get_by_role("article")).to_have_text(["Count.", "One two three."])


def test_a_reload_in_the_middle_of_an_answer_goes_on_with_it(visit: Visit, site: LooseWire, model: Prompted) -> None:
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
    picture(page, "react-chat-offline")
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


def test_a_connection_that_breaks_is_made_again(visit: Visit, site: LooseWire, model: Prompted) -> None:
    page = visit(site.url, expects=BROKEN)
    line = begun(page, model, answer)
    site.pull()
    expect(page.get_by_role("status")).to_contain_text(LOST)
    line.say(" three.")
    line.end()
    site.plug()
    expect(answer(page)).to_have_text("One two three.")
    ended(page)


def test_two_tabs_follow_one_answer_and_each_other(visit: Visit, site: LooseWire, model: Prompted) -> None:
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
    ask(two, "And on?")
    line = model.line()
    line.say("Four")
    for tab in (one, two):
        expect(answer(tab)).to_have_text("Four")
    line.say(" five.")
    line.end()
    for tab in (one, two):
        expect(tab.get_by_role("article")).to_have_text(["Count.", "One two three.", "And on?", "Four five."])
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


def test_an_answer_that_fails_says_so_and_the_page_goes_on(visit: Visit, site: LooseWire, model: Prompted) -> None:
    page = visit(site.url)
    line = begun(page, model, answer)
    line.fail("the wheel is stuck")
    expect(page.get_by_role("alert")).to_contain_text("the wheel is stuck")
    expect(answer(page)).to_have_text("One two")
    page.get_by_role("button", name="Try again").click()
    model.line().answer("One two three.")
    expect(page.get_by_role("article")).to_have_text(["Count.", "One two three."])
    ask(page, "Again?")
    model.line().answer("One.")
    expect(answer(page)).to_have_text("One.")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_where_streams_do_not_pass_the_answer_comes_whole(visit: Visit, site: LooseWire, model: Prompted) -> None:
    page = visit(site.url, expects=BROKEN)

    def block(route: Route) -> None:
        route.abort()

    page.route("**/api/chat", block)
    ask(page, "Count.")
    page.get_by_role("alert").get_by_role("button", name="Ask without streaming").click()
    line = model.line()
    assert line.question == "Count."
    line.answer("One two three.")
    expect(page.get_by_role("article")).to_have_text(["Count.", "One two three."])
    expect(page.get_by_role("alert")).to_have_count(0)
    page.reload()
    expect(page.get_by_role("article")).to_have_text(["Count.", "One two three."])


def test_a_tool_tells_how_it_gets_on(
    visit: Visit, site: LooseWire, model: Prompted, gate: Gate, gateway: GatewayThread
) -> None:
    page = visit(site.url)
    ask(page, "How high is it?")
    line = model.line()
    line.use("survey", place="weir")
    line.end()
    bar = page.get_by_role("progressbar", name="at the weir")
    expect(bar).to_have_attribute("value", "1")
    gate.open(gateway)
    model.line().answer("1.4 m.")
    expect(page.locator(".tool")).to_contain_text("1.4 m at the weir")
    expect(bar).to_have_count(0)
    expect(answer(page)).to_have_text("1.4 m.")
    ended(page)


@pytest.mark.parametrize("reloaded", [False, True], ids=["at once", "after a reload"])
@pytest.mark.parametrize(("button", "said"), [("Allow", "9 paid"), ("Refuse", "Refused.")])
def test_a_tool_runs_only_if_it_is_allowed(
    visit: Visit, site: LooseWire, model: Prompted, button: str, said: str, *, reloaded: bool
) -> None:
    page = visit(site.url)
    ask(page, "Pay it.")
    line = model.line()
    line.say("May I?")
    line.use("pay", amount=9)
    line.end()
    expect(page.get_by_role("group", name="May pay run?")).to_be_visible()
    if reloaded:
        page.reload()
    page.get_by_role("button", name=button).click()
    line = model.line()
    assert ("9 paid" in line.question) is (button == "Allow")
    line.answer("So be it.")
    expect(page.locator(".tool")).to_contain_text(said)
    expect(answer(page)).to_have_text("So be it.")
    expect(page.get_by_role("button", name="Allow")).to_have_count(0)
    ended(page)


def test_a_network_that_breaks_after_an_approval_doubles_nothing(
    visit: Visit, site: LooseWire, model: Prompted
) -> None:
    page = visit(site.url, expects=BROKEN)
    ask(page, "Pay it.")
    line = model.line()
    line.say("May I?")
    line.use("pay", amount=9)
    line.end()
    page.get_by_role("button", name="Allow").click()
    line = model.line()
    line.say("It is")
    expect(answer(page)).to_have_text("It is")
    site.pull()
    expect(page.get_by_role("status")).to_contain_text(LOST)
    site.plug()
    line.say(" paid.")
    line.end()
    ended(page)
    expect(page.get_by_role("article")).to_have_text(["Pay it.", re.compile("^May I.*9 paidIt is paid.$")])


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
    expect(page.get_by_role("progressbar")).to_be_visible()
    picture(page, f"react-chat-tool-{scheme}")
    assert faults(page) == []
    gate.open(gateway)
    line = model.line()
    line.say("The water stands at 1.4 m.")
    line.use("pay", amount=9, to="the miller at the lower weir", reason="a" * 60)
    line.end()
    expect(page.get_by_role("group", name="May pay run?")).to_be_visible()
    picture(page, f"react-chat-approval-{scheme}")
    assert faults(page) == []
    page.get_by_role("button", name="Refuse").click()
    line = model.line()
    line.say("Then I leave the money where it is.")
    expect(answer(page)).to_have_text("Then I leave the money where it is.")
    line.fail("the wheel is stuck")
    expect(page.get_by_role("alert")).to_be_visible()
    picture(page, f"react-chat-error-{scheme}")
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
