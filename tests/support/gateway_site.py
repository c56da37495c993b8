"""A gateway between a client and an upstream that a test plays itself, all on real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec
from raw_client import RawClient
from raw_upstream import Answer, RawUpstream
from starlette.types import ASGIApp, Receive, Scope, Send
from wires import AnthropicWire, ChatWire, Wire

from millstream.config import Config, ProviderConfig, ServerConfig, UpstreamConfig
from millstream.testing.gateway import GatewayThread

LIMIT_S = 20.0
_QUICK = {"backoff": 0.01}
_SERVER = frozenset(field.name for field in msgspec.structs.fields(ServerConfig))
WIRES: tuple[type[Wire], ...] = (AnthropicWire, ChatWire)
_BASES = {"anthropic": "", "openai_chat": "/v1", "openai_responses": "/v1", "gemini": ""}
"""For each dialect, what stands between a host and its own SDK's base URL."""

T = TypeVar("T")


class Site:
    """One upstream address for all tests of a module, and a gateway for each group of settings that they ask for.

    Models are ``anthropic-up/…``, ``openai_chat-up/…`` and so on: the same upstream, spoken to in each dialect.
    """

    def __init__(self, *, direct: bool = True) -> None:
        """Not ``direct``: streams go through ASGI's ``send`` and ``receive``, as in a server that is not our own."""
        self._wrap = None if direct else _hide_connection
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._gateways: dict[str, GatewayThread] = {}

    def close(self) -> None:
        for gateway in self._gateways.values():
            gateway.stop()
        for gateway in self._gateways.values():
            gateway.join()
        self._listener.close()

    def upstream(self, *answers: Answer) -> RawUpstream:
        return RawUpstream(*answers, listener=self._listener.dup())

    def config(self, **settings: Any) -> Config:
        """``settings`` of ``[server]`` and ``[upstream]`` by their own names; ``aliases`` and the like as they are."""
        port = self._listener.getsockname()[1]
        providers = {
            f"{dialect}-up": ProviderConfig(
                dialect=dialect, base_url=f"http://127.0.0.1:{port}{base}", default_model="m"
            )
            for dialect, base in _BASES.items()
        }
        settings = {**_QUICK, **settings}
        top = {name: settings.pop(name) for name in ("aliases", "unknown_model", "default_model") if name in settings}
        server = {name: settings.pop(name) for name in list(settings) if name in _SERVER}
        return Config(providers=providers, server=ServerConfig(**server), upstream=UpstreamConfig(**settings), **top)

    def gateway(self, **settings: Any) -> GatewayThread:
        """Running, and shared by all that ask for the same settings."""
        key = repr(sorted(settings.items()))
        if key not in self._gateways:
            self._gateways[key] = GatewayThread(self.config(**settings), wrap=self._wrap).__enter__()
        return self._gateways[key]

    def client(self, **settings: Any) -> RawClient:
        """Of the gateway with ``settings``."""
        return RawClient(self.gateway(**settings).address)


def _hide_connection(app: ASGIApp) -> ASGIApp:
    async def without_extensions(scope: Scope, receive: Receive, send: Send) -> None:
        await app({name: value for name, value in scope.items() if name != "extensions"}, receive, send)

    return without_extensions


def model_of(upstream: Wire) -> str:
    return f"{upstream.name}-up/m"


def run(main: Coroutine[Any, Any, T], limit: float = LIMIT_S) -> T:
    """``main`` to its end; a test that hangs for ``limit`` seconds fails."""

    async def limited() -> T:
        async with asyncio.timeout(limit):
            return await main

    return asyncio.run(limited())
