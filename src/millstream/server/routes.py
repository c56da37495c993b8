"""Which path leads to which endpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.routing import Route as HttpRoute
from starlette.types import ASGIApp, Scope

from millstream.agent.exchange import Agent
from millstream.config import Config
from millstream.dialects.base import ClientCall
from millstream.pipeline import Gateway
from millstream.server.accounts import Accounts
from millstream.server.agent.app import AgentSurface
from millstream.server.conversation.app import ConversationSurface
from millstream.server.count import CountEndpoint
from millstream.server.deliver import Pulse
from millstream.server.durable import app as durable
from millstream.server.figures import Figured
from millstream.server.front.app import front_routes
from millstream.server.gemini import GeminiMethods
from millstream.server.gemini import read_call as read_gemini_call
from millstream.server.identity import owner
from millstream.server.info import Info
from millstream.server.model_api import Deliveries, ModelEndpoint
from millstream.server.openapi import app as openapi
from millstream.server.page import Page
from millstream.server.plain.app import PlainSurface
from millstream.server.responses.app import ResponsesState
from millstream.server.runs.manager import Runs
from millstream.server.state import StateEndpoint
from millstream.server.wire import plain_call

ReadCall = Callable[[Scope, bytes], ClientCall]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surfaces:
    """What there is to lead to."""

    config: Config
    gateway: Gateway
    deliveries: Deliveries
    runs: Runs
    agent: Agent
    responses: ResponsesState
    plain: PlainSurface
    agents: AgentSurface
    accounts: Accounts
    figured: Figured
    info: Info

    @property
    def pulse(self) -> Pulse:
        server = self.config.server
        return Pulse(server.eager_after, server.heartbeat, server.send_timeout)


def model_routes(surfaces: Surfaces) -> list[HttpRoute]:
    """The calls of the model APIs. OpenAI's and Anthropic's are found without ``/v1`` too."""
    endpoints: dict[str, ASGIApp] = {
        "/v1/messages": _model_api(surfaces, "anthropic"),
        "/v1/messages/count_tokens": _count_api(surfaces, "anthropic"),
        "/v1/chat/completions": _model_api(surfaces, "openai_chat"),
        "/v1/responses": surfaces.responses.endpoint(surfaces.pulse),
        "/v1/responses/input_tokens": _count_api(surfaces, "openai_responses"),
    }
    found = [
        HttpRoute(path, endpoint, methods=["POST"])
        for full, endpoint in endpoints.items()
        for path in (full, full.removeprefix("/v1"))
    ]
    gemini = GeminiMethods(
        surfaces.gateway.dialects["gemini"],
        _model_api(surfaces, "gemini", read_gemini_call),
        _count_api(surfaces, "gemini", read_gemini_call),
    )
    paths = [f"/{version}/models/{{target:path}}" for version in ("v1beta", "v1")]
    return found + [HttpRoute(path, gemini, methods=["POST"]) for path in paths]


def _model_api(surfaces: Surfaces, name: str, read_call: ReadCall = plain_call) -> ASGIApp:
    gateway, pulse = surfaces.gateway, surfaces.pulse
    dialect = gateway.dialects[name]
    endpoint = ModelEndpoint(gateway, dialect, surfaces.deliveries, pulse, surfaces.config.server.max_body, read_call)
    return surfaces.plain.or_run(endpoint, dialect, pulse, read_call)


def _count_api(surfaces: Surfaces, name: str, read_call: ReadCall = plain_call) -> CountEndpoint:
    gateway = surfaces.gateway
    return CountEndpoint(gateway, gateway.dialects[name], surfaces.config.server.max_body, read_call)


def other_routes(surfaces: Surfaces, calls: Sequence[BaseRoute]) -> list[BaseRoute]:
    """All but ``calls``, with which they are named in the state that ``/api/v1/state`` shows."""
    found = [*_surface_routes(surfaces), *_info_routes(surfaces.info)]
    paths = [route.path for route in (*calls, *found) if isinstance(route, (HttpRoute, WebSocketRoute))]
    state = StateEndpoint(surfaces.gateway, surfaces.figured, paths, surfaces.info.worker)
    return [*found, HttpRoute("/api/v1/state", state.answer)]


def _surface_routes(surfaces: Surfaces) -> list[BaseRoute]:
    config, gateway, deliveries, runs = surfaces.config, surfaces.gateway, surfaces.deliveries, surfaces.runs
    pulse = surfaces.pulse
    return [
        *surfaces.responses.routes(pulse),
        *surfaces.plain.routes(pulse),
        *surfaces.agents.routes(pulse),
        *front_routes(config, gateway, surfaces.agent, runs, deliveries, owner, surfaces.agents.questions, pulse),
        *durable.routes(config, runs, deliveries, owner, pulse),
        *openapi.routes(),
        *ConversationSurface(config, gateway, runs, deliveries).routes(pulse),
        *surfaces.accounts.routes(surfaces.figured),
    ]


def _info_routes(info: Info) -> list[BaseRoute]:
    page = Page(info.home)
    return [
        HttpRoute("/health", info.health),
        HttpRoute("/v1/models", info.models),
        HttpRoute("/v1/models/{name:path}", info.model),
        HttpRoute("/v1beta/models", info.gemini_models),
        HttpRoute("/v1beta/models/{target:path}", info.gemini_model),
        HttpRoute("/api/hello", info.hello, methods=["GET", "HEAD"]),
        HttpRoute("/", page.home),
        HttpRoute("/web/{name}", page.file),
    ]
