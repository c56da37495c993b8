"""millstream inside somebody's own program: ``App``, an ASGI application that is served by itself or mounted.

    ai = millstream.App(tools=[opening_hours])
    app = FastAPI(lifespan=ai.lifespan)
    app.mount("/ai", ai)

Owns what that takes besides the gateway (``server/app.py``): an app's own tools, its own way to tell users apart, a
life inside the life of another application, and the path that it is mounted at.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import structs
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from millstream import config as settings
from millstream.config import Config
from millstream.core.errors import GatewayBug
from millstream.dialects.chat_events import ChatErrors
from millstream.server.admission import Admit
from millstream.server.app import Application, build
from millstream.server.guard import before_handshake, send_error
from millstream.server.identity import caller
from millstream.telemetry import logs
from millstream.tools.base import ToolSource
from millstream.tools.functions import Functions, FunctionTool

_NOT_RUNNING = (
    "millstream is mounted, but was not started: servers start the outermost application only. "
    "Give it millstream's lifespan, as in FastAPI(lifespan=ai.lifespan), or `async with ai.lifespan():` in its own"
)


class App:
    """A gateway as an ASGI application (HTTP and WebSocket), for any ASGI server.

    ``tools`` are functions with ``@millstream.tool``, or whole ``ToolSource``\\ s. They run here, for clients of every
    API, as if ``tools.mode`` were ``gateway``.

    ``config`` is a TOML file's path, or its content as a mapping or as a ``Config``; None is what ``millstream serve``
    reads: the file at its usual place, and the environment. ``environ`` is where keys of providers are looked for.

    ``auth`` says who makes a request: it is given Starlette's ``HTTPConnection`` (headers, cookies, ``user``,
    ``session``) and returns, or awaits, the user's name, None for nobody (401), or raises ``HTTPException``. Without
    it, the gateway asks for its own key where the settings name one, and otherwise answers to this machine alone.

    Raises ``ConfigError``, and ``TypeError`` for a tool that is none.
    """

    def __init__(
        self,
        *,
        tools: Sequence[FunctionTool[..., Any] | ToolSource] = (),
        config: Config | Mapping[str, Any] | str | Path | None = None,
        auth: Admit | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._environ = os.environ if environ is None else environ
        self._sources = _sources(tools)
        self._config = _config(config, self._environ)
        if self._sources:
            own = structs.replace(self._config.tools, mode="gateway")
            self._config = structs.replace(self._config, tools=own)
        self._auth = auth
        self._running: Application | None = None

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """From its beginning to its end requests are served. What it is given does not matter: it is there so that
        Starlette and FastAPI can be given this as it is. It can be entered again after its end.

        Raises ``ConfigError``, and ``RuntimeError`` while it is running already.
        """
        if self._running is not None:
            raise RuntimeError("this millstream.App is running already; it has one life at a time")
        running = build(self._config, self._environ, tools=self._sources, admit=self._auth)
        async with running.lifespan(app):
            self._running = running
            try:
                yield
            finally:
                self._running = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await Starlette(lifespan=self.lifespan)(scope, receive, send)
        elif self._running is None:
            logs.logger.error(_NOT_RUNNING)
            await send_error(before_handshake(scope, send), ChatErrors(), GatewayBug(_NOT_RUNNING))
        else:
            await self._running.asgi(_unmounted(scope), receive, send)


def asgi(
    *,
    tools: Sequence[FunctionTool[..., Any] | ToolSource] = (),
    config: Config | Mapping[str, Any] | str | Path | None = None,
    auth: Admit | None = None,
    environ: Mapping[str, str] | None = None,
) -> App:
    """An ``App``, by the name that people look for: ``app.mount("/ai", millstream.asgi())``."""
    return App(tools=tools, config=config, auth=auth, environ=environ)


def user() -> str | None:
    """Whom the present request or tool works for: whom ``App``'s ``auth`` or a token named; None for nobody."""
    return caller().user


def _sources(tools: Sequence[FunctionTool[..., Any] | ToolSource]) -> list[ToolSource]:
    functions: list[FunctionTool[..., Any]] = []
    sources: list[ToolSource] = []
    for one in tools:
        if isinstance(one, FunctionTool):
            functions.append(one)
        elif callable(getattr(one, "list", None)) and callable(getattr(one, "call", None)):
            sources.append(one)
        else:
            raise TypeError(f"{one!r} is no tool: write @millstream.tool above the function")
    return [Functions(functions), *sources] if functions else sources


def _config(given: Config | Mapping[str, Any] | str | Path | None, environ: Mapping[str, str]) -> Config:
    if isinstance(given, Config):
        return given
    if isinstance(given, Mapping):
        return settings.check(given, "config")
    return settings.load(None if given is None else Path(given), environ)


def _unmounted(scope: Scope) -> Scope:
    """The request as if this application were at the root, where all within believe it to be. Where it is mounted is
    still told as ``app_root_path``, which is where Starlette keeps it too."""
    root: str = scope.get("root_path", "").rstrip("/")
    if not root:
        return scope
    path: str = scope["path"]
    if path == root or path.startswith(f"{root}/"):
        path = path[len(root) :]
    # Starlette would send a client that ends a path in a slash elsewhere, and not know the way.
    return {**scope, "path": path.rstrip("/") or "/", "root_path": "", "app_root_path": root}
