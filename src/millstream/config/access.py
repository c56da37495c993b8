"""Who may call, how often, and for how much."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from millstream.config.units import Dollars, PerMinute, Seconds


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
