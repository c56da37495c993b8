"""All settings together, and what two gateways that treat requests alike have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

import msgspec

from millstream.config.access import AuthConfig, LimitsConfig
from millstream.config.conversation import ConversationConfig
from millstream.config.keeping import ResponsesConfig, RunsConfig, SessionsConfig, StreamsConfig
from millstream.config.mcp import McpServerConfig
from millstream.config.models import AutoConfig, EmbeddedConfig, ProviderConfig, ReplayConfig, UpstreamConfig
from millstream.config.serving import LogConfig, MetricsConfig, ServerConfig
from millstream.config.tools import ToolsConfig


class Config(msgspec.Struct, frozen=True, kw_only=True):
    default_model: str | None = None
    unknown_model: Literal["error", "default"] = "error"
    server: ServerConfig = ServerConfig()
    upstream: UpstreamConfig = UpstreamConfig()
    providers: dict[str, ProviderConfig] = {}
    aliases: dict[str, str] = {}
    embedded: EmbeddedConfig = EmbeddedConfig()
    replay: ReplayConfig = ReplayConfig()
    sessions: SessionsConfig = SessionsConfig()
    responses: ResponsesConfig = ResponsesConfig()
    runs: RunsConfig = RunsConfig()
    streams: StreamsConfig = StreamsConfig()
    conversation: ConversationConfig = ConversationConfig()
    mcp_servers: dict[str, McpServerConfig] = {}
    tools: ToolsConfig = ToolsConfig()
    auto: AutoConfig = AutoConfig()
    auth: AuthConfig = AuthConfig()
    limits: LimitsConfig = LimitsConfig()
    metrics: MetricsConfig = MetricsConfig()
    log: LogConfig = LogConfig()


def fingerprint(config: Config, usable: Iterable[str]) -> str:
    """The same for two gateways that treat every request alike, wherever they listen.

    ``usable`` names the providers that have what they need, because keys come from the environment too. The result is
    shown to anyone who asks for ``/health``, so no secret goes into it: a short one could be guessed from its hash.
    """
    tree = msgspec.to_builtins(config)
    for address in ("host", "port"):
        del tree["server"][address]
    for owner in (tree["server"], *tree["providers"].values()):
        owner["api_key"] = owner["api_key"] is not None
    for provider in tree["providers"].values():
        provider["headers"] = sorted(provider["headers"])
    for server in tree["mcp_servers"].values():
        server["oauth"]["client_secret"] = server["oauth"]["client_secret"] is not None
        for secrets in ("env", "headers", "http_headers"):
            server[secrets] = sorted(server[secrets])
    for known in tree["auth"]["keys"].values():
        known["sha256"] = known["sha256"] is not None
    tree["limits"]["redis_url"] = tree["limits"]["redis_url"] is not None
    tree["sessions"]["redis_url"] = tree["sessions"]["redis_url"] is not None
    search = tree["tools"]["workspace"]["search"]
    search["api_key"] = search["api_key"] is not None
    text = msgspec.json.encode([tree, sorted(usable)], order="sorted")
    return hashlib.sha256(text).hexdigest()[:12]
