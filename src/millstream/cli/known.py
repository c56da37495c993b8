"""What a gateway with given settings would know: its providers, its names, its key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from millstream import registry
from millstream.config import Config, fingerprint
from millstream.policy.routing import Routes
from millstream.providers.catalog import Provider
from millstream.server import settings


@dataclass(frozen=True, slots=True)
class Known:
    """``server_key`` is what clients must show, if anything. ``fingerprint`` is what its ``/health`` would say."""

    providers: Mapping[str, Provider]
    routes: Routes
    fingerprint: str
    server_key: str | None = field(default=None, repr=False)


def known(config: Config, environ: Mapping[str, str]) -> Known:
    """Raises ``ConfigError`` as the gateway itself would."""
    providers = registry.providers(config, environ)
    return Known(
        providers=providers,
        routes=settings.routes(config, providers),
        fingerprint=fingerprint(config, (name for name, provider in providers.items() if provider.usable)),
        server_key=settings.server_key(config, environ),
    )
