"""Who may call, where the application around this one knows its users itself. In the place of ``guard.py``.

An ASGI middleware in the raw.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from millstream.core.errors import GatewayBug, Kind, MillstreamError, PolicyRefusal
from millstream.dialects.base import ErrorWords
from millstream.policy.caller import NO_LIMITS, Caller, Limits, owner_of
from millstream.server.guard import before_handshake, send_error
from millstream.server.identity import set_caller
from millstream.telemetry import logs

Admit = Callable[[HTTPConnection], "str | Awaitable[str | None] | None"]
"""Who makes this request? The user's name, or None for somebody who may not. It may also raise Starlette's (FastAPI's)
``HTTPException``, for a status and words of its own."""


class Admission:
    """Asks ``admit`` about each request but preflights. Whoever ``admit`` fails on is refused."""

    def __init__(
        self, app: ASGIApp, admit: Admit, dialect_of: Callable[[str], ErrorWords], limits: Limits = NO_LIMITS
    ) -> None:
        self._app = app
        self._admit = admit
        self._dialect_of = dialect_of
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and scope.get("method") != "OPTIONS":
            try:
                user = await self._user(scope)
            except MillstreamError as error:
                await send_error(before_handshake(scope, send), self._dialect_of(scope["path"]), error)
                return
            set_caller(scope, Caller(user=user, owner=owner_of("user", user), limits=self._limits))
        await self._app(scope, receive, send)

    async def _user(self, scope: Scope) -> str:
        try:
            said = self._admit(HTTPConnection(scope))
            user = await said if inspect.isawaitable(said) else said
        except HTTPException as error:
            raise _refusal(error) from error
        except Exception as error:
            logs.logger.error("the app could not say who calls", exc_info=error)
            raise GatewayBug("the app could not say who calls; its log has why") from error
        if user is None:
            raise PolicyRefusal("this needs a user who is logged in", Kind.AUTHENTICATION)
        if not user:
            raise GatewayBug("the app gave a user without a name")
        return user


def _refusal(error: HTTPException) -> PolicyRefusal:
    wait = (error.headers or {}).get("retry-after", "")
    return PolicyRefusal(str(error.detail), status=error.status_code, retry_after=int(wait) if wait.isdigit() else None)
