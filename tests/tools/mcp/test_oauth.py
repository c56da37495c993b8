"""Where tokens lie, and how the browser comes back. The flows themselves are the SDK's, judged by `make judges`."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest
from mcp.shared.auth import OAuthToken
from mcp_use import in_loop, source

from millstream.cli.mcp_login import BrowserLogin
from millstream.tools.base import ToolSourceError
from millstream.tools.mcp.oauth import TokenFile
from millstream.tools.mcp.settings import Address, OAuth, ServerSettings


@in_loop
async def test_tokens_are_for_their_owner_only_and_survive(tmp_path: Path) -> None:
    oauth = OAuth(tmp_path / "deep" / "tokens.json")
    await TokenFile(oauth).set_tokens(OAuthToken(access_token="a", refresh_token="r"))
    assert stat.S_IMODE(oauth.tokens.stat().st_mode) == 0o600
    kept = await TokenFile(oauth).get_tokens()
    assert kept is not None
    assert (kept.access_token, kept.refresh_token) == ("a", "r")
    TokenFile(oauth).forget()
    assert not TokenFile(oauth).has_token


@in_loop
async def test_a_broken_token_file_is_as_none(tmp_path: Path) -> None:
    oauth = OAuth(tmp_path / "tokens.json")
    oauth.tokens.write_text("{")
    assert await TokenFile(oauth).get_tokens() is None
    assert await TokenFile(oauth).get_client_info() is None


@in_loop
async def test_without_a_login_the_gateway_names_the_command(tmp_path: Path) -> None:
    settings = ServerSettings(Address("http://127.0.0.1:9/mcp", oauth=OAuth(tmp_path / "tokens.json")))
    async with source(settings) as it:
        with pytest.raises(ToolSourceError, match="log in: millstream tools login it"):
            await it.list()


async def _get(url: str) -> str:
    host, _, path = url.removeprefix("http://").partition("/")
    reader, writer = await asyncio.open_connection(*host.split(":"))
    writer.write(f"GET /{path} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
    said = (await reader.read()).decode()
    writer.close()
    return said


@in_loop
async def test_the_browser_brings_the_code_back() -> None:
    async with BrowserLogin(0) as login:
        assert " 404 " in await _get(login.redirect_uri.replace("callback", "favicon.ico"))
        assert "logged in" in await _get(login.redirect_uri + "?code=c&state=s&iss=i")
        answer = await login.answer()
        assert (answer.code, answer.state, answer.iss) == ("c", "s", "i")


@in_loop
async def test_a_refused_login_is_told_without_markup() -> None:
    async with BrowserLogin(0) as login:
        page = await _get(login.redirect_uri + "?error=access_denied&error_description=%3Cb%3Eno")
        assert "&lt;b&gt;no" in page
        with pytest.raises(ToolSourceError, match="<b>no"):
            await login.answer()
