"""A real browser's ``EventSource`` on a wire that breaks hundreds of times: what it has in the end is the journal."""

from __future__ import annotations

import random
import shutil

import pytest
from chaos_proxy import chaos
from gateway_site import run
from plain_site import PlainSite, body, frames, kept_entries, words
from playwright.async_api import async_playwright
from raw_client import RawClient

from millstream.dialects.chat_events import ChatEvents
from millstream.server.plain import http

CUTS = 300
HEAD = 800
"""Bytes that a response's head fits into. Chromium takes one that breaks off for whole, misses the headers that it
lacks, and closes the source for good, as the standard demands."""

_READ = """
url => new Promise(resolve => {
  const got = [], source = new EventSource(url);
  let opened = 0;
  source.onopen = () => { opened += 1 };
  for (const name of ["message", "complete", "error"])
    source.addEventListener(name, event => {
      if (event.data === undefined) return;  // the wire's error, after which it comes back by itself
      got.push([event.lastEventId, name, event.data]);
      if (name !== "message") { source.close(); resolve([got, opened]) }
    });
})
"""


def test_a_browser_on_a_breaking_wire_misses_nothing_and_repeats_nothing(
    plain: PlainSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("chromium is not installed")
    monkeypatch.setattr(http, "_PREAMBLE", b"retry: 5\n\n")  # so that it comes back at once, hundreds of times
    source = random.Random(7)
    pieces = ["".join(source.choices('ab "\\ü🎈', k=source.randint(1, 12))) for _ in range(1500)]

    async def main() -> None:
        gateway = plain.gateway()
        async with plain.upstream(words(*pieces)), chaos(gateway.address, 7, CUTS, least=HEAD, most=1500) as proxy:
            async with RawClient(gateway.address) as client:
                await client.send("POST", "/api/v1/stream", body(run_id="browser", on_disconnect="detach"))
                await client.head()
                await client.body.rest()
            host, port = proxy.address
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(
                    executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"]
                )
                page = await browser.new_page()
                await page.goto(f"http://{gateway.address[0]}:{gateway.address[1]}/health")
                got, opened = await page.evaluate(_READ, f"http://{host}:{port}/api/v1/stream/browser")
                await browser.close()
            assert proxy.cuts > 100
            assert opened > 100
            entries = await kept_entries(gateway.address, "browser")
        told = [[frame.number, frame.name, frame.data] for frame in frames(ChatEvents().render(entries))]
        assert got == told

    run(main(), 60)
