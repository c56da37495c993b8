"""The ASGI application: a gateway built from settings, and its routes."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from millstream import registry
from millstream.agent.exchange import Agent
from millstream.config import Config, fingerprint
from millstream.core.errors import UpstreamFault
from millstream.dialects.base import Dialect, ErrorWords
from millstream.dialects.chat_events import ChatErrors
from millstream.pipeline import Gateway
from millstream.policy.auth import LOCAL_ORIGIN
from millstream.policy.retry import RetryPolicy
from millstream.providers.auth import Authorized, GoogleTokens
from millstream.providers.base import Transport
from millstream.providers.catalog import Provider, credential_headers
from millstream.providers.embedded import EmbeddedOptions, EmbeddedTransport
from millstream.providers.replay import ReplayTransport
from millstream.providers.transport import HttpTransport, Waits
from millstream.server.accounts import Accounts
from millstream.server.admission import Admission, Admit
from millstream.server.agent.app import AgentSurface, agent_of, auto_of
from millstream.server.agent.sources import ToolSources
from millstream.server.continuing import continuation_of, recovers
from millstream.server.conversation.reviving import TalkReviver
from millstream.server.credentials import Credentials, common_limits
from millstream.server.durable import app as durable
from millstream.server.figures import Figured
from millstream.server.front.app import EXPOSED_HEADERS as FRONT_HEADERS
from millstream.server.guard import Guard
from millstream.server.identity import owner
from millstream.server.info import Info
from millstream.server.model_api import Deliveries
from millstream.server.plain.app import PlainSurface
from millstream.server.request_log import tell
from millstream.server.responses.app import ResponsesState
from millstream.server.reviving import Reviver
from millstream.server.routes import Surfaces, model_routes, other_routes
from millstream.server.runs.manager import RunOptions, Runs
from millstream.server.settings import routes
from millstream.server.stores import journal_of, sessions_of
from millstream.sessions.history import History
from millstream.sessions.journal import Journal
from millstream.telemetry import logs
from millstream.tools.base import ToolSource
from millstream.upstream import Upstream

Lifespan = Callable[[object], AbstractAsyncContextManager[None]]
"""It is given the application whose life it is, and does not look at it."""

_DIALECT_OF_PATH = {
    "/v1/messages": "anthropic",
    "/messages": "anthropic",
    "/api/hello": "anthropic",
    "/v1/responses": "openai_responses",
    "/responses": "openai_responses",
    "/v1beta/": "gemini",
}
_PLAIN_PATHS = ("/api/v1/", "/ws/", "/mcp/", "/api/conversation", "/api/chat", "/agui")
_EXPOSED_HEADERS = (
    "x-millstream-id",
    "x-millstream-model",
    "x-millstream-run",
    "x-millstream-session",
    "x-millstream-dropped",
    "x-request-id",
    "request-id",
    *FRONT_HEADERS,
    *durable.EXPOSED_HEADERS,
)


@dataclass(frozen=True, slots=True)
class Application:
    """``asgi`` serves, within ``lifespan``, which it goes through itself when a server tells it to; ``deliveries`` are
    the responses under way; ``gateway`` is what they go through, ``figured`` what has been counted. No message of a
    WebSocket may be larger than ``max_message`` bytes."""

    asgi: ASGIApp
    lifespan: Lifespan
    gateway: Gateway
    deliveries: Deliveries
    figured: Figured
    max_message: int


def shared_providers(providers: Mapping[str, Provider]) -> dict[str, Provider]:
    """Those that several processes can serve side by side: each would load an embedded model of its own."""
    return {name: provider for name, provider in providers.items() if provider.kind != "embedded"}


def build(
    config: Config,
    environ: Mapping[str, str],
    *,
    preload: bool = False,
    worker: int | None = None,
    journal: Journal | None = None,
    tools: Sequence[ToolSource] = (),
    admit: Admit | None = None,
) -> Application:
    """Everything from settings. Opens nothing yet: connections come with the first request.

    ``preload`` loads the embedded model at the start where it is the default; ``worker`` is this process's number where
    it is one of several; ``journal`` takes the place of the configured one; ``tools`` run here besides those that are
    configured; ``admit`` says who may call, in place of keys and host names. Raises ``ConfigError``.
    """
    known = registry.providers(config, environ)
    providers = known if worker is None else shared_providers(known)
    store = sessions_of(config, time.time)
    sources = ToolSources(config, environ, tools)
    agent = agent_of(config, sources.sources, store, time.time, owner)
    accounts = Accounts(config, providers, time.time)
    gateway = _gateway(config, providers, agent, accounts)
    sources.serve(gateway, agent)
    deliveries = Deliveries()
    usable = sorted(name for name, provider in known.items() if provider.usable)
    guard = _guard(config, environ, gateway, admit)
    alone = worker is None
    responses = ResponsesState(config, gateway, deliveries, store, owner, alone=alone, runs_tools=agent.runs_tools)
    runs = _runs(config, gateway, agent, deliveries, journal or journal_of(config, gateway.now))
    accounts.watch(gateway, deliveries, runs, agent.toolbox)
    figured = Figured(gateway, deliveries, accounts.metrics)
    surfaces = Surfaces(
        config=config,
        gateway=gateway,
        deliveries=deliveries,
        runs=runs,
        agent=agent,
        responses=responses,
        plain=PlainSurface(config, gateway, runs, deliveries, owner),
        agents=AgentSurface(config, gateway, agent, sources, runs, deliveries, owner),
        accounts=accounts,
        figured=figured,
        info=Info(gateway, deliveries, fingerprint(config, usable), _dialect_chooser(gateway), worker),
    )
    lifespan = _lifespan(gateway, accounts, responses, runs, sources, preload=preload)
    return Application(_app(surfaces, guard, lifespan), lifespan, gateway, deliveries, figured, config.server.max_body)


def _gateway(config: Config, providers: Mapping[str, Provider], agent: Agent, accounts: Accounts) -> Gateway:
    dialects = registry.dialects()
    return Gateway(
        dialects=dialects,
        routes=routes(config, providers),
        upstreams={name: Upstream(p, _transport(p, config, dialects)) for name, p in providers.items()},
        retry=RetryPolicy(config.upstream.retries, config.upstream.backoff, config.upstream.max_retry_wait),
        now=time.time,
        new_id=lambda: f"ms_{os.urandom(12).hex()}",
        auto=auto_of(config),
        continuation=continuation_of(config),
        make_exchange=agent.exchange,
        meter=accounts.meter,
    )


def _runs(config: Config, gateway: Gateway, agent: Agent, deliveries: Deliveries, journal: Journal) -> Runs:
    runs = config.runs
    options = RunOptions(runs.limit, runs.most, runs.keep_for, runs.held, runs.durable, recovers(config))
    holder = secrets.token_hex(8)
    history = History(journal, gateway.now, config.sessions.keep_for, config.conversation.max_sessions)
    reviver = Reviver(gateway, agent, TalkReviver(gateway, history, config.conversation))
    answer = agent.approvals.give
    return Runs(journal, deliveries, gateway.now, gateway.new_id, holder, options, reviver, answer)


def _transport(provider: Provider, config: Config, dialects: Mapping[str, Dialect]) -> Transport:
    if provider.kind == "embedded":
        embedded = config.embedded
        return EmbeddedTransport(
            EmbeddedOptions(
                model=Path(embedded.model).expanduser() if embedded.model else None,
                context=embedded.context,
                threads=embedded.threads,
                slots=embedded.slots,
            )
        )
    if provider.kind == "replay":
        folder = config.replay.folder
        return ReplayTransport(
            provider.dialect,
            Path(folder).expanduser() if folder else None,
            dialects,
            head_timeout=config.upstream.head_timeout,
            idle_timeout=config.upstream.idle_timeout,
        )
    waits = Waits(config.upstream.connect_timeout, config.upstream.head_timeout, config.upstream.idle_timeout)
    http = HttpTransport(provider.name, provider.base_url, credential_headers(provider), waits)
    if provider.auth == "google" and provider.key is not None:
        return Authorized(http, GoogleTokens(provider.name, provider.key))
    return http


def _guard(
    config: Config, environ: Mapping[str, str], gateway: Gateway, admit: Admit | None
) -> Callable[[ASGIApp], ASGIApp]:
    words = _dialect_chooser(gateway)
    if admit is not None:
        return partial(Admission, admit=admit, dialect_of=words, limits=common_limits(config))
    return partial(
        Guard,
        credentials=Credentials(config, environ, gateway.now),
        allowed_hosts=frozenset(config.server.allowed_hosts),
        allowed_origins=frozenset(config.server.cors_origins),
        dialect_of=words,
        open_paths=("/metrics",) if config.metrics.public else (),
    )


def _dialect_chooser(gateway: Gateway) -> Callable[[str], ErrorWords]:
    """Whose words an error at a path is said in."""
    found: dict[str, ErrorWords] = {prefix: gateway.dialects[name] for prefix, name in _DIALECT_OF_PATH.items()}
    found |= dict.fromkeys(_PLAIN_PATHS, ChatErrors())
    openai = gateway.dialects["openai_chat"]
    return lambda path: next((dialect for prefix, dialect in found.items() if path.startswith(prefix)), openai)


def _app(surfaces: Surfaces, guard: Callable[[ASGIApp], ASGIApp], lifespan: Lifespan) -> ASGIApp:
    calls = model_routes(surfaces)
    rest = Starlette(
        routes=[*calls, *other_routes(surfaces, calls)],
        middleware=[_cors(surfaces.config), Middleware(guard)],  # in this order: a page may read why it was refused
        exception_handlers={404: surfaces.info.missing, 405: surfaces.info.wrong_method},
        lifespan=lifespan,
    )
    return _Shortcut({route.path: guard(route.endpoint) for route in calls if "{" not in route.path}, rest)


def _cors(config: Config) -> Middleware:
    return Middleware(
        CORSMiddleware,
        allow_origins=config.server.cors_origins,
        allow_origin_regex=LOCAL_ORIGIN,
        allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"],
        allow_headers=["*"],
        expose_headers=_EXPOSED_HEADERS,
    )


class _Shortcut:
    """Calls of the model APIs go straight to their endpoints: each layer of Starlette would wrap every ``send``.

    Requests of web pages take the long way, for the CORS headers.
    """

    def __init__(self, endpoints: Mapping[str, ASGIApp], rest: ASGIApp) -> None:
        self._endpoints = endpoints
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._rest
        if scope["type"] == "http" and scope["method"] == "POST":
            endpoint = self._endpoints.get(scope["path"])
            if endpoint is not None and all(name != b"origin" for name, _ in scope["headers"]):
                app = endpoint
        await app(scope, receive, send)


def _lifespan(
    gateway: Gateway,
    accounts: Accounts,
    responses: ResponsesState,
    runs: Runs,
    sources: ToolSources,
    *,
    preload: bool,
) -> Lifespan:
    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        try:
            async with accounts.meter, sources, responses, runs, asyncio.TaskGroup() as group:
                loading = group.create_task(_load_default(gateway)) if preload else None
                yield
                if loading is not None:
                    loading.cancel()
        finally:
            tell(gateway)
            await accounts.aclose()
            await runs.journal.aclose()
            for upstream in gateway.upstreams.values():
                await upstream.transport.aclose()

    return lifespan


async def _load_default(gateway: Gateway) -> None:
    """Where the default model runs in this process, its first user should not wait for it to load."""
    transport = gateway.upstreams[gateway.routes.resolve(gateway.routes.default).provider].transport
    if isinstance(transport, EmbeddedTransport):
        try:
            await transport.load()
        except UpstreamFault as fault:
            logs.logger.warning("%s", fault.message)
