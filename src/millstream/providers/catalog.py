"""Catalog rows and the configuration's ``[providers.NAME]`` → providers, each with its credential resolved."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal

import msgspec

from millstream.dialects.base import Dialect, Quirks

Auth = Literal["bearer", "x-api-key", "x-goog-api-key", "api-key", "google", "none"]
Kind = Literal["http", "embedded", "replay"]
Speed = Literal["fastest", "fast", "usual", "varies"]


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Part of an address that is the user's own: where it is looked for, and what it is otherwise."""

    env: tuple[str, ...] = ()
    default: str | None = None


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One table of ``catalog.toml``, which explains the fields."""

    dialect: str
    kind: Kind = "http"
    base_url: str = ""
    api_key_env: str | None = None
    key_prefix: str | None = None
    auth: Auth | None = None
    default_model: str | None = None
    small_model: str | None = None
    own_models: tuple[str, ...] = ()
    key_url: str | None = None
    speed: Speed | None = None
    values: dict[str, Value] = {}
    headers: dict[str, str] = {}
    quirks: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Provider:
    """An upstream one may send requests to. ``key`` is its credential; it is never printed or logged."""

    name: str
    dialect: Dialect
    kind: Kind
    base_url: str
    auth: Auth
    quirks: Quirks
    key: str | None = field(default=None, repr=False)
    key_env: str | None = None
    key_prefix: str | None = None
    default_model: str | None = None
    small_model: str | None = None
    own_models: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    configured: bool = False
    """It has its key, or the configuration names it: what an unconfigured gateway may choose by itself."""
    missing: tuple[str, ...] = ()
    """Variables, one of which must be set to complete its address."""

    @property
    def usable(self) -> bool:
        """Its address is complete, and it needs no key, or has one."""
        return self.lacks is None

    @property
    def lacks(self) -> str | None:
        """The variable that has to be set before it can be used."""
        if self.key is None and self.key_env is not None:
            return self.key_env
        return " or ".join(self.missing) or None

    @property
    def local(self) -> bool:
        """It runs here and needs no key."""
        return self.key_env is None and self.key is None


_DEFAULT_AUTH: dict[str, Auth] = {"anthropic": "x-api-key", "gemini": "x-goog-api-key"}
_AUTH_HEADERS: dict[Auth, tuple[str, str]] = {
    "bearer": ("authorization", "Bearer "),
    "x-api-key": ("x-api-key", ""),
    "x-goog-api-key": ("x-goog-api-key", ""),
    "api-key": ("api-key", ""),
}


def rows() -> dict[str, Row]:
    """The catalog as shipped."""
    text = resources.files("millstream.providers").joinpath("catalog.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, Row])


def provider(
    name: str, row: Row, dialect: Dialect, key: str | None, *, configured: bool, missing: tuple[str, ...] = ()
) -> Provider:
    """A row made usable. Raises ``msgspec.ValidationError`` that names the quirk if one does not exist."""
    return Provider(
        name=name,
        dialect=dialect,
        kind=row.kind,
        base_url=row.base_url.rstrip("/"),
        auth=row.auth or _DEFAULT_AUTH.get(row.dialect, "bearer"),
        quirks=msgspec.convert(row.quirks, dialect.quirks),
        key=key,
        key_env=row.api_key_env,
        key_prefix=row.key_prefix,
        default_model=row.default_model,
        small_model=row.small_model,
        own_models=row.own_models,
        headers=row.headers,
        configured=configured and not missing,
        missing=missing,
    )


def credential_headers(upstream: Provider) -> dict[str, str]:
    """The provider's own headers and its credential in the header it wants."""
    headers = dict(upstream.headers)
    if upstream.key is not None and upstream.auth in _AUTH_HEADERS:
        header, prefix = _AUTH_HEADERS[upstream.auth]
        headers[header] = prefix + upstream.key
    return headers
