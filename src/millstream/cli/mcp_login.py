"""Logging in to an MCP server: a page in the browser, which comes back to a port of ours for a moment."""

from __future__ import annotations

import asyncio
import html
import sys
import webbrowser
from urllib.parse import parse_qs, urlsplit

from mcp.shared.auth import AuthorizationCodeResult

from millstream.config import ConfigError
from millstream.tools.base import ToolSourceError
from millstream.tools.mcp.oauth import TokenFile
from millstream.tools.mcp.settings import Address, OAuth, ServerSettings
from millstream.tools.mcp.sources import McpSources

_PATIENCE_S = 300.0
_MOST_HEAD = 16 * 1024


def log_in(name: str, settings: ServerSettings) -> int:
    """Gives the exit status. Raises ``ConfigError`` where this server has no login of a person."""
    target = settings.target
    if not isinstance(target, Address) or target.oauth is None or target.oauth.grant != "authorization_code":
        raise ConfigError(f'mcp_servers.{name}: nobody logs in to it; that takes oauth.grant = "authorization_code"')
    try:
        count = asyncio.run(_logged_in(name, settings, target.oauth))
    except (ToolSourceError, OSError) as error:
        sys.stderr.write(f"millstream: {error}\n")
        return 1
    sys.stdout.write(f"Logged in to {name}: {count} tools.\n")
    return 0


async def _logged_in(name: str, settings: ServerSettings, oauth: OAuth) -> int:
    from dataclasses import replace

    TokenFile(oauth).forget()
    async with BrowserLogin(oauth.port) as login:
        patient = replace(settings, startup_timeout=_PATIENCE_S)
        async with McpSources({name: patient}, login) as servers:
            return len(await servers.sources[0].list())


class BrowserLogin:
    """Shows the server's page, and waits for the browser to come back. ``port`` 0: any that is free."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._answer: asyncio.Future[AuthorizationCodeResult] | None = None
        self.redirect_uri = ""

    async def __aenter__(self) -> BrowserLogin:
        self._answer = asyncio.get_running_loop().create_future()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, limit=_MOST_HEAD)
        self.redirect_uri = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/callback"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    async def show(self, url: str) -> None:
        sys.stderr.write(f"Log in here, if no browser opens by itself:\n  {url}\n")
        await asyncio.to_thread(webbrowser.open, url)

    async def answer(self) -> AuthorizationCodeResult:
        if self._answer is None:
            raise RuntimeError("BrowserLogin is used outside `async with`")
        return await self._answer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            status, words = self._took(head.split(b" ", 2)[1].decode())
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, IndexError, UnicodeDecodeError):
            status, words = "400 Bad Request", "That was no answer."
        page = f"<!doctype html><title>millstream</title><p>{html.escape(words)}</p>".encode()
        fields = f"content-type: text/html; charset=utf-8\r\ncontent-length: {len(page)}\r\nconnection: close"
        writer.write(f"HTTP/1.1 {status}\r\n{fields}\r\n\r\n".encode() + page)
        await writer.drain()
        writer.close()

    def _took(self, target: str) -> tuple[str, str]:
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path != "/callback" or self._answer is None or self._answer.done():
            return "404 Not Found", "There is nothing here."
        if "code" not in query:
            why = query.get("error_description") or query.get("error") or "no code came back"
            self._answer.set_exception(ToolSourceError(f"the login failed: {why}"))
            return "200 OK", f"The login failed: {why}"
        self._answer.set_result(
            AuthorizationCodeResult(code=query["code"], state=query.get("state"), iss=query.get("iss"))
        )
        return "200 OK", "You are logged in. This page can be closed."
