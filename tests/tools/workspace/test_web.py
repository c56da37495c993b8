"""WebFetch and WebSearch, against servers on this machine."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import pytest

from millstream.tools.base import ToolContext, ToolOutcome
from millstream.tools.workspace import SearchBackend, WorkspaceOptions, WorkspaceTools
from millstream.tools.workspace.web import is_public

RESULTS: list[dict[str, str | None]] = [
    {"url": "https://a.example/1", "title": "One &amp; <b>two</b>", "content": "about <strong>x</strong>"},
    {"url": "https://sub.b.example/2", "title": "Three", "content": None},
]


class Site:
    """Answers by path; ``seen`` are method, path, headers and body of what it was asked."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                site.seen.append((self.command, self.path, headers, body))
                status, headers, page = site.pages.get(urlsplit(self.path).path, (404, {}, b"no such page"))
                self.send_response(status)
                for name, value in {"content-type": "text/html", "content-length": str(len(page)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(page)

            do_POST = do_GET  # noqa: N815 - the server's name for it

            def log_message(self, *words: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=lambda: site.server.serve_forever(poll_interval=0.01))
    thread.start()
    yield site
    site.server.shutdown()
    thread.join()
    site.server.server_close()


Fetch = Callable[..., ToolOutcome]


@pytest.fixture
def fetch(root: Path, context: ToolContext) -> Fetch:
    def run(url: str, *, private: bool = True, names: dict[str, Sequence[str]] | None = None) -> ToolOutcome:
        async def resolve(host: str, port: int) -> Sequence[str]:
            if names is None or host not in names:
                raise OSError("no such name")
            return names[host]

        tools = WorkspaceTools(WorkspaceOptions(root, private_addresses=private), resolve=resolve)
        return asyncio.run(tools.call("WebFetch", {"url": url}, context))

    return run


def test_a_page_becomes_markdown(fetch: Fetch, site: Site) -> None:
    page = (
        "<html><head><style>x{}</style><script>y()</script></head><h1>Title</h1><p>ä <a href='/z'>link</a></p></html>"
    )
    site.pages["/p"] = (200, {"content-type": "text/html; charset=latin-1"}, page.encode("latin-1"))
    told = str(fetch(f"{site.url}/p").content)
    assert told.startswith(f"{site.url}/p (200)\n\n")
    assert "# Title\n\nä [link](/z)" in told
    assert "y()" not in told


def test_other_text_is_given_as_it_is_and_binaries_are_refused(fetch: Fetch, site: Site) -> None:
    site.pages["/j"] = (200, {"content-type": "application/json"}, b'{"a": 1}')
    site.pages["/b"] = (200, {"content-type": "application/zip"}, b"PK")
    assert str(fetch(f"{site.url}/j").content).endswith('{"a": 1}')
    assert "application/zip, not text" in str(fetch(f"{site.url}/b").content)


def test_a_missing_page_is_an_error_with_its_words(fetch: Fetch, site: Site) -> None:
    outcome = fetch(f"{site.url}/nowhere")
    assert outcome.is_error
    assert "(404)\n\nno such page" in str(outcome.content)


def test_a_page_too_large_is_refused(fetch: Fetch, site: Site) -> None:
    site.pages["/l"] = (200, {}, b"x" * (5 * 1024 * 1024 + 1))
    assert fetch(f"{site.url}/l").content == "the page has more than 5 MiB"


def test_redirects_are_followed_so_far(fetch: Fetch, site: Site) -> None:
    site.pages["/1"] = (302, {"location": "/2"}, b"")
    site.pages["/2"] = (200, {}, b"<p>there</p>")
    site.pages["/loop"] = (302, {"location": "/loop"}, b"")
    assert str(fetch(f"{site.url}/1").content).startswith(f"{site.url}/2 (200)")
    assert "more than 5 redirects" in str(fetch(f"{site.url}/loop").content)


def test_the_connection_goes_to_the_address_that_was_checked_under_the_sites_name(fetch: Fetch, site: Site) -> None:
    site.pages["/"] = (200, {}, b"<p>hello</p>")
    told = str(fetch(f"http://site.test:{site.port}/", names={"site.test": ["127.0.0.1"]}).content)
    assert told.startswith(f"http://site.test:{site.port}/ (200)")
    assert site.seen[0][2]["host"] == f"site.test:{site.port}"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://[::1]:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://0.0.0.0:{port}/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://inside.test:{port}/",
        "http://both.test:{port}/",
        "http://2130706433:{port}/",
        "http://user:word@inside.test/",
        "file:///etc/passwd",
        "gopher://x/",
        "http://",
    ],
)
def test_addresses_inside_are_refused_before_anything_is_sent(fetch: Fetch, site: Site, url: str) -> None:
    names = {"inside.test": ["127.0.0.1"], "both.test": ["93.184.216.34", "127.0.0.1"], "2130706433": ["127.0.0.1"]}
    assert fetch(url.format(port=site.port), private=False, names=names).is_error
    assert site.seen == []


def test_a_redirect_to_an_address_inside_is_refused(
    root: Path, context: ToolContext, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first address counts as public, as if the site were elsewhere; the one it leads to is judged for itself."""
    site.pages["/"] = (302, {"location": f"http://127.0.0.2:{site.port}/inside"}, b"")
    monkeypatch.setattr(
        "millstream.tools.workspace.web.is_public", lambda address: address == "127.0.0.1" or is_public(address)
    )
    tools = WorkspaceTools(WorkspaceOptions(root))
    outcome = asyncio.run(tools.call("WebFetch", {"url": f"{site.url}/"}, context))
    assert "127.0.0.2 is an address of this machine" in str(outcome.content)
    assert [path for _, path, _, _ in site.seen] == ["/"]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:4700::1111", True),
        ("::ffff:93.184.216.34", True),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_public_addresses_are_told_from_others(address: str, public: bool) -> None:
    assert is_public(address) is public


def _search(
    root: Path, context: ToolContext, site: Site, kind: Literal["brave", "tavily", "searxng"], **arguments: Any
) -> ToolOutcome:
    options = WorkspaceOptions(root, search=SearchBackend(kind, "the-key", site.url))
    return asyncio.run(WorkspaceTools(options).call("WebSearch", {"query": "what", **arguments}, context))


def _answer(site: Site) -> None:
    def page(value: object) -> tuple[int, dict[str, str], bytes]:
        return 200, {"content-type": "application/json"}, json.dumps(value).encode()

    described = [{"description" if key == "content" else key: v for key, v in one.items()} for one in RESULTS]
    site.pages["/res/v1/web/search"] = page({"type": "search", "web": {"type": "search", "results": described}})
    site.pages["/search"] = page({"query": "what", "results": RESULTS, "response_time": 1.2})


@pytest.mark.parametrize("kind", ["brave", "tavily", "searxng"])
def test_each_service_is_asked_in_its_own_way(
    root: Path, context: ToolContext, site: Site, kind: Literal["brave", "tavily", "searxng"]
) -> None:
    _answer(site)
    told = _search(root, context, site, kind).content
    assert told == "1. One & two\n   https://a.example/1\n   about x\n\n2. Three\n   https://sub.b.example/2"
    ((method, path, headers, body),) = site.seen
    query = parse_qs(urlsplit(path).query)
    if kind == "brave":
        assert (headers["x-subscription-token"], query["q"]) == ("the-key", ["what"])
    elif kind == "tavily":
        assert (method, headers["authorization"], json.loads(body)["query"]) == ("POST", "Bearer the-key", "what")
    else:
        assert (query["q"], query["format"]) == (["what"], ["json"])


@pytest.mark.parametrize("kind", ["brave", "tavily", "searxng"])
def test_domains_are_kept_to(
    root: Path, context: ToolContext, site: Site, kind: Literal["brave", "tavily", "searxng"]
) -> None:
    _answer(site)
    allowed = str(_search(root, context, site, kind, allowed_domains=["b.example"]).content)
    blocked = str(_search(root, context, site, kind, blocked_domains=["b.example"]).content)
    assert ("a.example" in allowed, "b.example" in allowed) == (False, True)
    assert ("a.example" in blocked, "b.example" in blocked) == (True, False)


def test_a_services_refusal_is_told_without_the_key(root: Path, context: ToolContext, site: Site) -> None:
    site.pages["/search"] = (429, {}, b"slow down")
    outcome = _search(root, context, site, "tavily")
    assert outcome == ToolOutcome("the search service answered 429: slow down", is_error=True)
    site.pages["/search"] = (200, {}, b"<html>")
    outcome = _search(root, context, site, "tavily")
    assert outcome.is_error
    assert "the-key" not in str(outcome.content)
