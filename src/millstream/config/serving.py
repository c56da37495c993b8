"""How the gateway listens, and what it says about itself."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from millstream.config.units import Port, Seconds


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
    ui_stream: Literal[5, 6, 7] = 6
    """The version of the npm package ``ai`` that streams of ``/api/chat`` are for. A request's header
    ``x-millstream-ui-stream`` says otherwise."""
    drain: Seconds = 30.0
    """On shutdown, running streams may go on this long before they get a terminal error."""


class MetricsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``GET /metrics``, and OpenTelemetry. What is exported where is said by its own variables (``OTEL_…``)."""

    enabled: bool = True
    public: bool = False
    """Anyone may read them; otherwise, where credentials are required, admins."""
    most_models: Annotated[int, msgspec.Meta(gt=0)] = 100
    """Models that are told apart; later ones are counted as one."""
    otel: bool = False
    """Spans and figures of requests; needs ``pip install 'millstream[otel]'``."""


class LogConfig(msgspec.Struct, frozen=True, kw_only=True):
    format: Literal["auto", "human", "json"] = "auto"
