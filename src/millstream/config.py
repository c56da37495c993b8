"""One frozen tree of settings: TOML file, then environment, then flags, each over the one before.

Every value has a dotted name (``server.port``). In the environment it is ``MILLSTREAM_SERVER__PORT`` (two underscores
for a dot), on the command line ``--set server.port=9000``; ``MILLSTREAM_HOST`` and ``MILLSTREAM_PORT`` are short for
the two most used. A name nothing has, a wrong type or a file that is not there is a ``ConfigError`` of one line.
"""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
import platformdirs

ENV_PREFIX = "MILLSTREAM_"
_ENV_SHORT = {"MILLSTREAM_HOST": "server.host", "MILLSTREAM_PORT": "server.port"}


class ConfigError(Exception):
    """A setting cannot be used. The message is one line that names it and the fix."""


Seconds = Annotated[float, msgspec.Meta(gt=0)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
"""0 lets the system choose."""
PerMinute = Annotated[int, msgspec.Meta(gt=0)]
Dollars = Annotated[float, msgspec.Meta(gt=0)]


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Times are in seconds, sizes in bytes."""

    host: str = "127.0.0.1"
    port: Port = 8090
    api_key: str | None = None
    """The one key clients must show; needed beyond loopback. Also as ``api_key_env`` or ``api_key_file``."""
    api_key_env: str | None = None
    api_key_file: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    """Host names clients may address us by, besides loopback's, while no key protects us (DNS rebinding)."""
    cors_origins: tuple[str, ...] = ()
    """Web origins that may call us from a browser, besides any port of localhost."""
    max_body: Annotated[int, msgspec.Meta(gt=0)] = 32 * 1024 * 1024
    eager_after: Seconds = 5.0
    """A streaming client gets its response head after this long even if the upstream has not answered."""
    heartbeat: Seconds = 10.0
    """Silence after which a keepalive in the client's dialect is sent."""
    send_timeout: Seconds = 300.0
    """A client that takes nothing for this long is taken for gone."""
    pace: Literal["off", "word", "char"] = "off"
    """For human eyes: how text that came in a burst leaves, a quarter of a second later at most. A request's header
    ``x-millstream-pace`` says otherwise."""
    drain: Seconds = 30.0
    """On shutdown, running streams may go on this long before they get a terminal error."""


class UpstreamConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait for an upstream, in seconds, and how often to try it again before any content came."""

    connect_timeout: Seconds = 10.0
    head_timeout: Seconds = 600.0
    idle_timeout: Seconds = 300.0
    retries: Annotated[int, msgspec.Meta(ge=0, le=20)] = 2
    backoff: Seconds = 0.5
    max_retry_wait: Seconds = 10.0
    """A ``retry-after`` above this is not waited for here but handed to the client."""
    on_cut: Literal["fail", "continue"] = "fail"
    """What becomes of an answer that breaks off in the middle: it fails, or another call goes on where it stopped."""
    continue_with: tuple[str, ...] = ()
    """Models that are asked to go on, in this order, where the one that broke off cannot."""


class ProviderConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Overrides a catalog row of the same name, or defines a provider of one's own. None leaves the row's value."""

    dialect: str | None = None
    base_url: str | None = None
    api_key: str | None = None
    api_key_env: str | None = None
    api_key_file: str | None = None
    auth: Literal["bearer", "x-api-key", "x-goog-api-key", "api-key", "google", "none"] | None = None
    values: dict[str, str] = {}
    headers: dict[str, str] = {}
    default_model: str | None = None
    quirks: dict[str, Any] = {}


class EmbeddedConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The model that runs inside this process. ``model`` is a GGUF file; without it, the one that is downloaded."""

    model: str | None = None
    context: int | None = None
    threads: int | None = None
    slots: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4


class ReplayConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where ``replay/NAME`` looks for recordings and scenario files, besides those that ship with millstream."""

    folder: str | None = None


class SessionsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where what outlives a request is kept. ``path`` is the SQLite file, beside which ``journal.db`` holds the runs;
    without it, the one of ``state_path``."""

    store: Literal["sqlite", "memory", "redis"] = "sqlite"
    path: str | None = None
    redis_url: str | None = None
    """Such as ``redis://[user:password@]host:6379/0``, ``rediss://`` with TLS; needed for redis only."""
    max_bytes: Annotated[int, msgspec.Meta(gt=0)] = 512 * 1024 * 1024
    """All that is kept together; beyond it, what was kept longest ago is forgotten."""
    keep_for: Seconds = 30 * 24 * 3600.0


class ResponsesConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Background responses and WebSockets of the Responses API. Times are in seconds, sizes in bytes."""

    background_runs: Annotated[int, msgspec.Meta(ge=0)] = 64
    """How many may run at once; with 0, none."""
    run_limit: Seconds = 3600.0
    """A background response that takes longer than this fails."""
    run_buffer: Annotated[int, msgspec.Meta(gt=0)] = 16 * 1024 * 1024
    """The events of one background response that are held for whoever comes back; the oldest are let go of first."""
    connection_limit: Seconds = 3600.0
    """A WebSocket takes no further requests after this long."""


class McpToolConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What differs for one tool of a server. ``timeout`` in seconds; None leaves the server's value."""

    timeout: Seconds | None = None
    permission: Literal["allow", "ask", "deny"] | None = None


class McpOAuthConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How to get a token for a server; without ``grant``, not by OAuth. ``tokens`` is the file it is kept in."""

    grant: Literal["authorization_code", "client_credentials"] | None = None
    client_id: str | None = None
    client_secret: str | None = None
    client_secret_env: str | None = None
    scope: str | None = None
    port: Port = 0
    """Where the browser returns to after a login, on this machine; 0 lets the system choose."""
    tokens: str | None = None


class McpServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """An MCP server: ``command`` is started here, ``url`` is spoken to over streamable HTTP. Times are in seconds.

    ``${NAME}`` and ``${NAME:-default}`` in texts are environment variables. From ``type`` on, the names are those
    that other clients give the same things.
    """

    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str | None = None
    url: str | None = None
    headers: dict[str, str] = {}
    oauth: McpOAuthConfig = McpOAuthConfig()
    enabled: bool = True
    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    permission: Literal["allow", "ask", "deny"] = "allow"
    startup_timeout: Seconds = 30.0
    timeout: Seconds = 60.0
    tools: dict[str, McpToolConfig] = {}
    type: Literal["stdio", "http", "streamable-http", "streamable_http", "streamableHttp"] | None = None
    http_headers: dict[str, str] = {}
    bearer_token_env_var: str | None = None
    enabled_tools: tuple[str, ...] | None = None
    disabled_tools: tuple[str, ...] = ()
    startup_timeout_sec: Seconds | None = None
    tool_timeout_sec: Seconds | None = None


class RunsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Runs: replies that are kept in a journal while they are made, for whoever comes back. Times are in seconds."""

    limit: Seconds = 300.0
    """A run that takes longer than this fails."""
    most: Annotated[int, msgspec.Meta(gt=0)] = 1000
    """How many may be under way in one process."""
    on_disconnect: Literal["cancel", "drain", "detach"] = "cancel"
    """What becomes of a run of an app when its last reader has left, unless the request says it."""
    keep_for: Seconds = 24 * 3600.0
    """From its beginning on, a run can be read for so long."""
    held: Annotated[int, msgspec.Meta(gt=0)] = 1024 * 1024
    """Bytes of a run's newest events that are held for its readers; those behind read the journal."""
    durable: bool = False
    """An event is delivered only once the journal has it."""
    recover: Literal["fail", "continue"] = "fail"
    """What becomes of a run whose gateway died: it fails, or another that shares its journal goes on with it. Needs
    ``upstream.on_cut`` to continue, and makes runs durable."""
    heartbeat: Seconds = 15.0
    """Silence after which an app is sent a sign of life."""
    compression: bool = True
    """Streams for apps are compressed where the client asks for it."""


class ConversationConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Conversations of an app's users. Times are in seconds, lengths in characters."""

    model: str | None = None
    """Who answers; None: the default model."""
    fallback: tuple[str, ...] = ()
    """Models that are asked in turn where those before fail without having said anything."""
    patience: Seconds = 30.0
    """A model after which there is another may be silent for so long."""
    system: str | None = None
    max_tokens: Annotated[int, msgspec.Meta(gt=0)] | None = None
    """Of an answer; None leaves it to the model's API."""
    small_model: str | None = None
    """Who is asked for intents, suggestions and summaries; None: the model that answers."""
    intent: bool = True
    suggestions: bool = True
    aside_timeout: Seconds = 5.0
    """An intent, suggestions or a summary that take longer are left out."""
    history: Literal["drop", "summarise"] = "drop"
    """What becomes of the turns that are too many to tell the model."""
    history_tokens: Annotated[int, msgspec.Meta(gt=0)] = 8000
    limit: Seconds = 240.0
    """Of one answer. ``runs.limit`` holds as well, and is not to be the shorter one."""
    max_chunks: Annotated[int, msgspec.Meta(gt=0)] = 20_000
    """Pieces of one answer."""
    max_message: Annotated[int, msgspec.Meta(gt=0)] = 32_000
    max_context: Annotated[int, msgspec.Meta(gt=0)] = 16_000
    max_messages: Annotated[int, msgspec.Meta(gt=0)] = 1000
    """Of one conversation."""
    max_sessions: Annotated[int, msgspec.Meta(gt=0)] = 200
    """Of one user; beyond it the oldest is forgotten."""
    messages_per_minute: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Of one user; 0: no limit. Counted where ``limits.redis_url`` says."""
    on_disconnect: Literal["cancel", "drain", "detach"] = "cancel"
    """What becomes of an answer when its last reader has left."""


class SearchConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where WebSearch asks; without ``service`` there is none. ``url`` is needed for searxng only."""

    service: Literal["brave", "tavily", "searxng"] | None = None
    url: str | None = None
    api_key: str | None = None
    """Also as ``api_key_env`` or ``api_key_file``; else ``BRAVE_API_KEY`` or ``TAVILY_API_KEY``."""
    api_key_env: str | None = None
    api_key_file: str | None = None


class WorkspaceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The tools of coding agents on the files of one directory. Without ``root`` there are none."""

    root: str | None = None
    allow: tuple[Literal["Write", "Bash"], ...] = ()
    """What may change things: Write (with Edit and MultiEdit) and Bash."""
    network: bool = False
    """Commands of Bash may use the network."""
    unsafe: bool = False
    """Where bubblewrap cannot be used, Bash runs without a sandbox: it may do all that the gateway may."""
    readable: tuple[str, ...] = ()
    """Paths in hidden directories (people's homes, for one) that commands of Bash may read."""
    timeouts: dict[str, Seconds] = {}
    """By tool; otherwise Bash 30, Read 5, LS 3, Task 300, the others 10."""
    output_limit: Annotated[int, msgspec.Meta(ge=1000)] = 30_000
    """Characters of a result."""
    skip: tuple[str, ...] | None = None
    """Names of directories that Glob and Grep leave out, in place of .git, node_modules, .venv and their like."""
    private_addresses: bool = False
    """WebFetch may fetch from this machine and its network."""
    task_iterations: Annotated[int, msgspec.Meta(ge=1, le=100)] = 15
    """Model calls of one Task."""
    search: SearchConfig = SearchConfig()


class PhrasesConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of progress. In braces: ``step``; ``tools``; ``tool``, ``done`` and ``total``; ``tool`` and ``run_id``."""

    starting: str = "Starting"
    thinking: str = "Thinking (step {step})"
    running: str = "Running {tools}"
    done: str = "{tool} ({done}/{total})"
    failed: str = "{tool} failed ({done}/{total})"
    approval: str = "{tool} waits for approval of run {run_id}"


class ToolsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Tools that run here. Names are patterns (``*``) of a tool, of its source, or ``source/tool``."""

    mode: Literal["client", "gateway"] = "client"
    """Who runs tools for clients of model APIs; a request's header ``x-millstream-tools`` says otherwise."""
    progress: Literal["thinking", "text", "off"] = "thinking"
    max_iterations: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 15
    """Model calls of one reply."""
    parallel: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 16
    """Calls of one turn that run at a time."""
    allow: tuple[str, ...] = ("*",)
    permissions: dict[str, Literal["allow", "ask", "deny"]] = {}
    timeouts: dict[str, Seconds] = {}
    most_output: Annotated[int, msgspec.Meta(ge=1000)] = 100_000
    """Characters of a result that the model is told."""
    approval_timeout: Seconds = 300.0
    """Who is asked for permission and says nothing for so long, has said no."""
    phrases: PhrasesConfig = PhrasesConfig()
    workspace: WorkspaceConfig = WorkspaceConfig()


class AutoConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the model ``auto`` is, by how hard a request looks; None: the default model."""

    simple: str | None = None
    moderate: str | None = None
    complex: str | None = None
    moderate_from: Annotated[int, msgspec.Meta(ge=1)] = 2
    complex_from: Annotated[int, msgspec.Meta(ge=1)] = 4


class KeyConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A key of the gateway's own. ``sha256`` of it, in hexadecimal, or the variable ``env`` that holds the key itself;
    the rest as ``millstream keys add`` has it."""

    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None
    env: str | None = None
    user: str | None = None
    """Whom alone it may act for; None: it speaks for users of its own."""
    models: tuple[str, ...] = ("*",)
    requests_per_minute: PerMinute | None = None
    tokens_per_minute: PerMinute | None = None
    budget: Dollars | None = None
    period: Literal["day", "month"] = "month"
    admin: bool = False
    """Sees everybody's usage, and the metrics."""


class JwtConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens (JWT) of an identity provider, whose public keys are at ``jwks_url`` or in ``jwks_file``. Without either,
    none is taken. Times are in seconds."""

    jwks_url: str | None = None
    jwks_file: str | None = None
    issuer: str | None = None
    audience: tuple[str, ...] = ()
    """A token must be for one of them."""
    user_claim: str = "sub"
    algorithms: tuple[
        Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"], ...
    ] = ("RS256", "PS256", "ES256", "EdDSA")
    models: tuple[str, ...] = ("*",)
    leeway: Annotated[float, msgspec.Meta(ge=0, le=300)] = 30.0
    """By how much clocks may differ."""
    cache_for: Seconds = 3600.0
    """How long the public keys are good for; a token with a key that is new makes them be asked for again."""


class AuthConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Who may call, besides whoever shows ``server.api_key``."""

    required: bool | None = None
    """Whether credentials must be shown. None: beyond loopback, and where a key or tokens are configured."""
    keys_file: str | None = None
    """What ``millstream keys`` writes; without it, ``keys.json`` beside the state."""
    keys: dict[str, KeyConfig] = {}
    jwt: JwtConfig = JwtConfig()


class PriceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars for a million tokens. ``cache_read`` is for the part of the input that came from a cache."""

    input: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    output: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    cache_read: Annotated[float, msgspec.Meta(ge=0)] | None = None


class LimitsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """For each caller that has no limits of its own. None: no bound."""

    requests_per_minute: PerMinute | None = None
    tokens_per_minute: PerMinute | None = None
    budget: Dollars | None = None
    """In US dollars, for each ``period`` of the calendar (UTC)."""
    period: Literal["day", "month"] = "month"
    reserve_output: Annotated[int, msgspec.Meta(ge=0)] = 1024
    """Output tokens that are reserved for a request that does not bound them."""
    redis_url: str | None = None
    """Where replicas and workers count together, such as ``redis://host:6379/0``; None: each on its own."""
    prices: dict[str, PriceConfig] = {}
    """By patterns of ``provider/model``, in place of the prices that are known."""


class MetricsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``GET /metrics``, and OpenTelemetry. What is exported where is said by its own variables (``OTEL_…``)."""

    enabled: bool = True
    public: bool = False
    """Anyone may read them; otherwise, where credentials are required, admins."""
    most_models: Annotated[int, msgspec.Meta(gt=0)] = 100
    """Models that are told apart; later ones are counted as one."""
    otel: bool = False
    """One span per request; needs ``pip install 'millstream[otel]'``."""


class StreamsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Streams that apps make and follow at ``/v1/stream/``. Times are in seconds."""

    poll: Seconds = 20.0
    """A reader who waits for what comes next is told after so long that nothing came."""
    follow: Seconds = 60.0
    """A connection of events ends after so long, and its reader comes again."""


class LogConfig(msgspec.Struct, frozen=True, kw_only=True):
    format: Literal["auto", "human", "json"] = "auto"


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


def default_path() -> Path:
    """Where the configuration is looked for when no file is named."""
    return platformdirs.user_config_path("millstream") / "config.toml"


def state_path() -> Path:
    """Where sessions are kept when the configuration names no file."""
    return platformdirs.user_state_path("millstream") / "sessions.db"


def load(path: Path | None, environ: Mapping[str, str], flags: Sequence[str] = ()) -> Config:
    """The settings in force. ``flags`` are ``name=value`` pairs; ``path`` None means ``default_path()`` if it exists.

    Raises ``ConfigError``.
    """
    named = path or (Path(environ["MILLSTREAM_CONFIG"]) if environ.get("MILLSTREAM_CONFIG") else None)
    tree = _read(named) if named is not None else _read_if_there(default_path())
    source = str(named or default_path())
    _check_names(tree, Config, source, ())
    for name, text in _from_environment(environ).items():
        _override(tree, name.split("."), text, f"environment variable for {name}")
    for flag in flags:
        name, equals, text = flag.partition("=")
        if not equals:
            raise ConfigError(f"--set {flag}: write it as NAME=VALUE, for example --set server.port=9000")
        _override(tree, name.strip().split("."), text, f"--set {name}")
    return _converted(tree, source)


def check(tree: Mapping[str, Any], source: str) -> Config:
    """The settings of a file's content that is about to be written. Raises ``ConfigError`` as ``load`` would."""
    _check_names(tree, Config, source, ())
    return _converted(tree, source)


def _converted(tree: Mapping[str, Any], source: str) -> Config:
    try:
        return msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {_plain(error)}") from error


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


def secret(value: str | None, env: str | None, file: str | None, environ: Mapping[str, str], owner: str) -> str | None:
    """A credential given directly, by a file or by a variable's name. Raises ``ConfigError`` for an unreadable file."""
    if value is not None:
        return value
    if file is not None:
        try:
            return Path(file).expanduser().read_text().strip()
        except OSError as error:
            raise ConfigError(f"{owner}.api_key_file: cannot read {file}: {error.strerror}") from error
    return environ.get(env) or None if env is not None else None


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.expanduser().open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError as error:
        raise ConfigError(f"no configuration file at {path}: create it, or leave --config out") from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def _read_if_there(path: Path) -> dict[str, Any]:
    return _read(path) if path.exists() else {}


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Dotted names → values. Variables that only begin like ours are left alone."""
    found: dict[str, str] = {}
    top = _fields(Config)
    for variable, text in sorted(environ.items()):
        name = variable.removeprefix(ENV_PREFIX).lower()
        if variable in _ENV_SHORT:
            found[_ENV_SHORT[variable]] = text
        elif variable.startswith(ENV_PREFIX) and ("__" in name or name in top):
            found[name.replace("__", ".")] = text
    return found


def _fields(struct: type[msgspec.Struct]) -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(struct)}


def _nested(kind: Any) -> type[msgspec.Struct] | None:
    return kind if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None


def _check_names(tree: Mapping[str, Any], struct: type[msgspec.Struct], source: str, above: tuple[str, ...]) -> None:
    fields = _fields(struct)
    for name, value in tree.items():
        path = (*above, name)
        if name not in fields:
            raise ConfigError(f"{source}: {'.'.join(path)} is not a setting{_nearest(name, fields)}")
        if not isinstance(value, Mapping):
            continue
        inner = _nested(fields[name])
        if inner is not None:
            _check_names(value, inner, source, path)
        elif get_origin(fields[name]) is dict and (entry := _nested(get_args(fields[name])[1])) is not None:
            for key, item in value.items():
                if isinstance(item, Mapping):
                    _check_names(item, entry, source, (*path, key))


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; known here: {', '.join(sorted(known))}"


def _override(tree: dict[str, Any], path: list[str], text: str, source: str) -> None:
    kind: Any = Config
    node = tree
    for depth, name in enumerate(path):
        struct = _nested(kind)
        if struct is not None:
            fields = _fields(struct)
            if name not in fields:
                raise ConfigError(f"{source}: {'.'.join(path)} is not a setting{_nearest(name, fields)}")
            kind = fields[name]
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
        else:
            raise ConfigError(f"{source}: {'.'.join(path[:depth])} has no settings below it")
        if depth < len(path) - 1:
            node = node.setdefault(name, {})
    node[path[-1]] = _value(text, kind, source)


def _value(text: str, kind: Any, source: str) -> Any:
    """``text`` as ``kind``: plain for numbers, booleans and strings; TOML for lists and tables."""
    try:
        value: Any = text
        if text[:1] in ("[", "{"):
            value = tomllib.loads(f"v = {text}")["v"]
        return msgspec.to_builtins(msgspec.convert(value, kind, strict=False))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: {text!r} is not valid: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {_plain(error)}") from error


def _plain(error: msgspec.ValidationError) -> str:
    """msgspec's message with its path (``- at `$.server.port```) in front, as a person would write it."""
    message, _, path = str(error).partition(" - at `$")
    name = path.rstrip("`").replace("[...]", "").lstrip(".")
    message = message[:1].lower() + message[1:]
    return f"{name}: {message}" if name else message
