"""The page's files: for browsers, public, and nothing besides them."""

from __future__ import annotations

import json
from collections.abc import Generator

import pytest
from gateway_site import run
from raw_client import RawClient

from millstream.config import Config, ServerConfig
from millstream.server.page import wants_html
from millstream.testing.gateway import GatewayThread

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.fixture(scope="module")
def client() -> Generator[RawClient]:
    with GatewayThread(Config(server=ServerConfig(api_key="sesame"))) as gateway:
        yield RawClient(gateway.address)


def get(client: RawClient, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
    async def main() -> tuple[int, dict[str, str], bytes]:
        async with client:
            await client.send("GET", path, headers=headers)
            status = await client.head()
            return status, client.headers, b"" if status == 304 else await client.body.rest()

    return run(main())


def test_a_browser_gets_the_page_without_a_key(client: RawClient) -> None:
    status, headers, body = get(client, "/", BROWSER)
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"<!doctype html>" in body


@pytest.mark.parametrize("accept", [{}, {"accept": "*/*"}, {"accept": "text/plain"}])
def test_a_program_gets_plain_text(client: RawClient, accept: dict[str, str]) -> None:
    status, headers, body = get(client, "/", accept)
    assert (status, headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert body.startswith(b"millstream ")
    assert "accept" in headers["vary"].split(", ")


def test_scripts_come_from_here_alone_and_are_never_made_of_text(client: RawClient) -> None:
    _, headers, _ = get(client, "/", BROWSER)
    said = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert said["default-src"] == "'none'"
    assert said["script-src"] == said["style-src"] == said["connect-src"] == "'self'"
    assert said["require-trusted-types-for"] == "'script'"
    assert said["frame-ancestors"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"


def test_a_file_that_is_known_already_is_not_sent_again(client: RawClient) -> None:
    _, headers, body = get(client, "/web/index.html")
    assert body
    status, _, body = get(client, "/web/index.html", {"if-none-match": f'"other", W/{headers["etag"]}'})
    assert (status, body) == (304, b"")
    assert get(client, "/web/index.html", {"if-none-match": '"other"'})[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/web/",
        "/web/../page.py",
        "/web/..%2fpage.py",
        "/web/%2e%2e/page.py",
        "/web/....//page.py",
        "/web//etc/passwd",
        "/web/%2fetc%2fpasswd",
        "/web/index.html%00.js",
        "/web/index.html/",
        "/web/INDEX.HTML",
        "/web/..\\page.py",
        "/web/__init__.py",
    ],
)
def test_no_path_leads_out_of_the_folder(client: RawClient, path: str) -> None:
    status, _, body = get(client, path)
    assert status in (307, 401, 404)
    assert b"import" not in body


def test_the_figures_need_the_key(client: RawClient) -> None:
    assert get(client, "/api/v1/state")[0] == 401
    status, headers, body = get(client, "/api/v1/state", {"authorization": "Bearer sesame"})
    assert (status, headers["cache-control"]) == (200, "no-store")
    assert "/api/v1/stream" in json.loads(body)["endpoints"]


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [("text/html", True), ("text/HTML;q=0.5", True), ("*/*", False), ("", False), ("text/htmlx, a/b", False)],
)
def test_who_names_html_wants_html(accept: str, wanted: bool) -> None:
    assert wants_html(accept) is wanted
