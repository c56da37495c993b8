"""One MCP server's life: started when first needed, watched, started again when it fails, ended with the gateway.

The SDK's client must be left by the task that entered it, so one task of each server (``_own``) does nothing but live
through its connections, one after the other. Whoever calls a tool does so from a task of their own, on the client that
this task has put up; cancelling a call never touches the connection.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import mcp_types as types
from mcp import Client
from mcp.client import ClientRequestContext, IncomingMessage
from mcp.client._transport import TransportStreams
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.exceptions import MCPError

from millstream.tools.base import Elicitation, ToolContext, ToolSourceError
from millstream.tools.mcp.reasons import Lost, explained
from millstream.tools.mcp.settings import Address, Program, ServerSettings
from millstream.tools.mcp.stdio import Trouble, program_transport

Spawn = Callable[..., "asyncio.Task[None]"]
"""``asyncio.TaskGroup.create_task`` of the group that lives as long as the gateway."""

_MAX_PAGES = 50
_MAX_TOOLS = 2000
_STEADY_S = 30.0
"""A connection that held so long was no failure; before that, its end counts as one."""
_LISTEN_AGAIN_S = 5.0
_PATIENCE = 2
"""After so many failures in a row nobody waits for the next attempt any more."""
_CALLER: contextvars.ContextVar[ToolContext | None] = contextvars.ContextVar("mcp_caller", default=None)


@dataclass(slots=True)
class _Connection:
    client: Client
    tools: Sequence[types.Tool] | None
    """None after the server said that they changed."""
    trouble: Trouble


class Server:
    """``auth`` makes what signs requests over HTTP; it is asked once per connection."""

    def __init__(self, name: str, settings: ServerSettings, spawn: Spawn, auth: Callable[[Address], Any]) -> None:
        self.name = name
        self.settings = settings
        self._spawn = spawn
        self._auth = auth
        self._task: asyncio.Task[None] | None = None
        self._connection: _Connection | None = None
        self._attempt = _attempt()
        self._wanted = asyncio.Event()
        self._wake = asyncio.Event()
        self._closing = False
        self._ended = False
        self._suspect = False
        self._failures = 0
        self._pausing = False
        self._reason = ""
        self._callers: list[ToolContext] = []

    async def tools(self) -> Sequence[types.Tool]:
        """What it offers now. Where it could not be started last time this does not wait for the next attempt.

        Raises ``ToolSourceError``.
        """
        if self._connection is None and self._failures and self._reason:
            self._wanted.set()
            raise self._error(self._reason)
        connection = await self._connected()
        if connection.tools is None:
            try:
                async with asyncio.timeout(self.settings.startup_timeout):
                    connection.tools = await _listed(connection.client)
            except Exception as error:
                self._doubt()
                raise self._error(explained(error)) from error
        return connection.tools

    @asynccontextmanager
    async def client(self, context: ToolContext) -> AsyncIterator[Client]:
        """For one call. Leaving with an exception, also a cancellation, has the server's health looked at.

        Raises ``ToolSourceError`` where there is no connection and none can be made.
        """
        connection = await self._connected()
        with self._calling(context):
            try:
                yield connection.client
            except BaseException as error:
                self._doubt()
                if isinstance(error, MCPError) and connection.trouble.reason is not None:
                    raise Lost(str(connection.trouble)) from error
                raise

    @contextmanager
    def _calling(self, context: ToolContext) -> Iterator[None]:
        self._callers.append(context)
        token = _CALLER.set(context)
        try:
            yield
        finally:
            _CALLER.reset(token)
            self._callers.remove(context)
            if self._suspect:
                self._wake.set()

    async def aclose(self) -> None:
        """Ends the connection and its process. Calls that still run fail."""
        self._closing = True
        self._wanted.set()
        self._wake.set()
        if self._task is not None:
            self._task.cancel()  # it may wait for an answer that never comes
            await asyncio.wait({self._task})
        if not self._attempt.done():
            self._attempt.set_exception(self._error("the gateway is shutting down"))

    @property
    def reason(self) -> str:
        """Why the last connection ended, or none could be made."""
        return self._reason

    async def _connected(self) -> _Connection:
        if self._connection is not None and not self._ended:
            return self._connection
        if self._closing:
            raise self._error("the gateway is shutting down")
        if self._pausing and self._failures > _PATIENCE:
            raise self._error(self._reason)
        if self._task is None:
            # in a context of its own: it must not believe for ever that it works for the first caller
            self._task = self._spawn(self._own(), name=f"mcp {self.name}", context=contextvars.Context())
        self._wanted.set()
        return await asyncio.shield(self._attempt)

    async def _own(self) -> None:
        while not self._closing:
            await self._wanted.wait()
            self._wanted.clear()
            self._wake.clear()
            self._ended = self._suspect = False
            began = asyncio.get_running_loop().time()
            try:
                await self._live()
            except Exception as error:
                self._reason = explained(error)
            lived = self._connection is not None
            self._connection = None
            steady = asyncio.get_running_loop().time() - began >= _STEADY_S
            self._failures = 0 if lived and steady else self._failures + 1
            self._next_attempt(lived)
            if lived:
                self._wanted.set()
            await self._pause(lived)

    def _next_attempt(self, lived: bool) -> None:
        """Whoever waited for a connection that did not come is told; whoever asks from now on waits for the next."""
        if not lived:
            self._attempt.set_exception(self._error(self._reason))
            self._attempt = _attempt()

    async def _pause(self, lived: bool) -> None:
        settings = self.settings
        seconds = min(settings.max_backoff, settings.backoff * 2 ** (max(self._failures, 1) - 1))
        self._wake.clear()
        if not self._closing and (self._failures > 1 or not lived):
            self._pausing = True
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while not self._closing:
                        await self._wake.wait()
                        self._wake.clear()
            self._pausing = False

    async def _live(self) -> None:
        """One connection, from its start to its end. Raises what ended it, unless we did."""
        settings = self.settings
        trouble = Trouble()
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(settings.startup_timeout):
                    client = await stack.enter_async_context(self._client(self._transport(trouble)))
                    connection = _Connection(client, await _listed(client), trouble)
            except TimeoutError as error:
                raise Lost(f"it did not start within {settings.startup_timeout:g} s") from error
            except Exception as error:
                if self._ended:
                    raise Lost(str(trouble)) from error
                raise
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(self._listen(client))
                self._connection = connection
                self._attempt.set_result(connection)
                try:
                    await self._watch(connection)
                finally:
                    self._has_ended()
                    listening.cancel()

    def _transport(self, trouble: Trouble) -> AbstractAsyncContextManager[TransportStreams]:
        target = self.settings.target
        if isinstance(target, Program):
            return program_transport(target, trouble, self._has_ended, self.settings.stop_timeout)
        from millstream.tools.mcp.http import http_transport

        return http_transport(target, self._auth(target))

    def _client(self, transport: AbstractAsyncContextManager[TransportStreams]) -> Client:
        return Client(
            transport,
            client_info=types.Implementation(name="millstream", version=_version()),
            elicitation_callback=self._elicit,
            message_handler=self._heard,
            cache=None,
        )

    async def _watch(self, connection: _Connection) -> None:
        """Until we close or the connection is lost."""
        settings = self.settings
        while True:
            try:
                async with asyncio.timeout(settings.check_every):
                    await self._wake.wait()
            except TimeoutError:
                self._suspect = True
            self._wake.clear()
            if self._closing:
                return
            if self._ended:
                raise Lost(str(connection.trouble))
            if self._suspect and not self._callers:  # a server that is busy with a call may have no ear for us
                self._suspect = False
                try:
                    async with asyncio.timeout(settings.check_timeout):
                        connection.tools = await _listed(connection.client)
                except TimeoutError as error:
                    raise Lost(f"it did not answer within {settings.check_timeout:g} s") from error

    async def _listen(self, client: Client) -> None:
        """Since 2026-07-28 a client must subscribe to hear of changes; before, they come of themselves."""
        while True:
            try:
                async with client.listen(tools_list_changed=True) as changes:
                    async for _ in changes:
                        self._stale()
            except (ListenNotSupportedError, MCPError):
                return
            except (SubscriptionLost, TimeoutError):
                self._stale()  # nobody knows what was missed
            except Exception:
                self._doubt()
                return
            await asyncio.sleep(_LISTEN_AGAIN_S)

    async def _heard(self, message: IncomingMessage) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            self._stale()

    async def _elicit(
        self, context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult | types.ErrorData:
        """An older server does not say which of its calls it asks for; with several there is nobody to ask."""
        caller = _CALLER.get() or (self._callers[0] if len(self._callers) == 1 else None)
        if caller is None or caller.elicit is None:
            return types.ElicitResult(action="decline")
        schema = params.requested_schema if isinstance(params, types.ElicitRequestFormParams) else None
        url = params.url if isinstance(params, types.ElicitRequestURLParams) else None
        answer = await caller.elicit(Elicitation(self.name, params.message, schema, url))
        content = dict(answer.content) if answer.content is not None and answer.action == "accept" else None
        return types.ElicitResult(action=answer.action, content=content)

    def _stale(self) -> None:
        if self._connection is not None:
            self._connection.tools = None

    def _doubt(self) -> None:
        self._suspect = True
        self._wake.set()

    def _has_ended(self) -> None:
        self._ended = True
        if self._attempt.done():
            self._attempt = _attempt()
        self._wake.set()

    def _error(self, reason: str) -> ToolSourceError:
        return ToolSourceError(f"the MCP server {self.name} cannot be used now: {reason}")


async def _listed(client: Client) -> Sequence[types.Tool]:
    found: list[types.Tool] = []
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        page = await client.list_tools(cursor=cursor, cache_mode="bypass")
        found += page.tools
        cursor = page.next_cursor
        if cursor is None or len(found) >= _MAX_TOOLS:
            break
    return found[:_MAX_TOOLS]


def _attempt() -> asyncio.Future[_Connection]:
    made: asyncio.Future[_Connection] = asyncio.get_running_loop().create_future()
    made.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody need have waited for it
    return made


def _version() -> str:
    from importlib.metadata import version

    return version("millstream")
