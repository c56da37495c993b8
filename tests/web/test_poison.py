"""Whatever a model or a tool says is text, and looks like what it is."""

from __future__ import annotations

import pytest
from browsing import Visit, ask, ended
from playwright.sync_api import Page

HARM = "window.harmed === undefined && document.title === 'millstream'"
FOREIGN = "#live :is(script, img, iframe, a, object, embed, form, svg[onload])"


def harmless(page: Page) -> None:
    assert page.evaluate(HARM)
    assert page.locator(FOREIGN).count() == 0


@pytest.mark.parametrize("surface", ["plain", "agent", "anthropic"])
def test_a_poisoned_answer_does_no_harm(visit: Visit, surface: str) -> None:
    page = visit()
    page.on("dialog", lambda dialog: pytest.fail(f"a dialog: {dialog.message}"))
    ask(page, surface, "replay/poison")
    ended(page)
    harmless(page)
    said = page.locator("#live [data-part=answer]").text_content() or ""
    assert "<script>window.harmed = 'script'</script>" in said
    assert "\u241b[31mred\u241b[0m" in said, "a terminal's escapes are shown, not obeyed"
    assert "user\u2039U+202E\u203atxt.exe" in said, "what turns the writing direction is shown"
    assert not set(said) & set("\x1b\x07\x00\x9b\u202a\u202e\u2066\u2069")
    page.locator("#live details.log summary").click()
    page.click("#new-conversation")
    harmless(page)


def test_a_replay_of_it_does_no_harm_either(visit: Visit) -> None:
    page = visit()
    ask(page, "agent", "replay/poison")
    ended(page)
    page.get_by_role("tab", name="Runs").click()
    page.locator("#runs-table button").first.click()
    page.select_option("#speed", "0")
    page.click("#replay")
    page.wait_for_selector("#run .status[data-tone=good]")
    assert page.evaluate(HARM)
    assert page.locator(FOREIGN.replace("#live", "#run")).count() == 0
    assert "<script>window.harmed = 'script'</script>" in (page.locator("#run [data-part=answer]").text_content() or "")


def test_a_line_without_an_end_leaves_the_page_usable(visit: Visit) -> None:
    page = visit(viewport={"width": 420, "height": 800})
    ask(page, "plain", "replay/flood")
    ended(page)
    shown = page.locator("#live [data-part=answer]")
    assert len(shown.text_content() or "") < 450_000
    assert "longer than this page shows" in (shown.text_content() or "")
    assert page.evaluate("document.documentElement.scrollWidth") <= 420, "nothing sticks out"
    page.get_by_role("tab", name="Gateway").click()
    page.get_by_role("heading", name="Providers").wait_for()


def test_the_browser_itself_refuses_what_is_not_the_pages_own(visit: Visit) -> None:
    page = visit(expects=("Content Security Policy", "Trusted", "Refused to"))
    page.wait_for_selector("#gateway-status[data-state=ok]")
    harmed = page.evaluate(
        """async () => {
          const tries = [
            () => { document.body.innerHTML = "<img src=x onerror='window.harmed = 1'>"; },
            () => {
              const script = document.createElement("script");
              script.text = "window.harmed = 2";
              document.head.append(script);
            },
            () => { document.body.setAttribute("onclick", "window.harmed = 3"); document.body.click(); },
            () => import("data:text/javascript,window.harmed = 4"),
            () => fetch("https://elsewhere.invalid/"),
          ];
          let refused = 0;
          for (const one of tries) { try { await one(); } catch { refused += 1; } }
          return [window.harmed, refused];
        }"""
    )
    assert harmed[0] is None
    assert harmed[1] >= 4
