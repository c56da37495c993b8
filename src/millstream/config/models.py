"""Who answers: providers, the models that run here, recordings, and how long an upstream is waited for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from millstream.config.units import Seconds


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


class AutoConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the model ``auto`` is, by how hard a request looks; None: the default model."""

    simple: str | None = None
    moderate: str | None = None
    complex: str | None = None
    moderate_from: Annotated[int, msgspec.Meta(ge=1)] = 2
    complex_from: Annotated[int, msgspec.Meta(ge=1)] = 4
