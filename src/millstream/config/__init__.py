"""Owns one frozen tree of settings: TOML file, then environment, then flags, each over the one before.

Every value has a dotted name (``server.port``). In the environment it is ``MILLSTREAM_SERVER__PORT`` (two underscores
for a dot), on the command line ``--set server.port=9000``; ``MILLSTREAM_HOST`` and ``MILLSTREAM_PORT`` are short for
the two most used. A name nothing has, a wrong type or a file that is not there is a ``ConfigError`` of one line.

Does not own what a setting does: each section is handed, as a value, to who goes by it.
"""

from millstream.config.access import AuthConfig, JwtConfig, KeyConfig, LimitsConfig, PriceConfig
from millstream.config.conversation import ConversationConfig
from millstream.config.environment import ENV_PREFIX, secret
from millstream.config.errors import ConfigError
from millstream.config.keeping import ResponsesConfig, RunsConfig, SessionsConfig, StreamsConfig
from millstream.config.mcp import McpOAuthConfig, McpServerConfig, McpToolConfig
from millstream.config.models import AutoConfig, EmbeddedConfig, ProviderConfig, ReplayConfig, UpstreamConfig
from millstream.config.places import default_path, state_path
from millstream.config.reading import check, load
from millstream.config.serving import LogConfig, MetricsConfig, ServerConfig
from millstream.config.tools import PhrasesConfig, SearchConfig, ToolsConfig, WorkspaceConfig
from millstream.config.tree import Config, fingerprint

__all__ = [
    "ENV_PREFIX",
    "AuthConfig",
    "AutoConfig",
    "Config",
    "ConfigError",
    "ConversationConfig",
    "EmbeddedConfig",
    "JwtConfig",
    "KeyConfig",
    "LimitsConfig",
    "LogConfig",
    "McpOAuthConfig",
    "McpServerConfig",
    "McpToolConfig",
    "MetricsConfig",
    "PhrasesConfig",
    "PriceConfig",
    "ProviderConfig",
    "ReplayConfig",
    "ResponsesConfig",
    "RunsConfig",
    "SearchConfig",
    "ServerConfig",
    "SessionsConfig",
    "StreamsConfig",
    "ToolsConfig",
    "UpstreamConfig",
    "WorkspaceConfig",
    "check",
    "default_path",
    "fingerprint",
    "load",
    "secret",
    "state_path",
]
