"""Everything that a client may show to be let in: the configuration's one key, keys of the gateway's own, tokens."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping, Sequence

from millstream.config import Config, ConfigError
from millstream.core.errors import Kind, MillstreamError, PolicyRefusal
from millstream.policy.auth import is_loopback, server_caller
from millstream.policy.caller import Caller, Limits
from millstream.policy.keys import KeyRecord, digest
from millstream.server.keyfile import WatchedKeys, keys_path, read_keys, settings_key
from millstream.server.settings import server_key
from millstream.server.tokens import Tokens, looks_like_token


def common_limits(config: Config) -> Limits:
    """Those of callers that have none of their own."""
    limits = config.limits
    return Limits(limits.requests_per_minute, limits.tokens_per_minute, limits.budget, limits.period)


def takes_tokens(config: Config) -> bool:
    return config.auth.jwt.jwks_url is not None or config.auth.jwt.jwks_file is not None


def credentials_required(config: Config, environ: Mapping[str, str]) -> bool:
    """Whether nobody is let in without. Raises ``ConfigError``, also where nobody could be let in at all."""
    own_key = server_key(config, environ) is not None
    configured = own_key or bool(config.auth.keys) or takes_tokens(config)
    said = config.auth.required
    public = not is_loopback(config.server.host)
    if public and said is False:
        raise ConfigError(
            f"auth.required: it cannot be false where server.host is {config.server.host}, "
            "which can be reached from other machines"
        )
    required = configured or public if said is None else said
    if required and not configured and not read_keys(keys_path(config)):
        reason = f"server.host {config.server.host} can be reached from other machines, which" if public else "it"
        raise ConfigError(
            f"{'' if public else 'auth.required: '}{reason} needs a key: make one (millstream keys add NAME), "
            "set server.api_key_file (or api_key_env), or leave the host at 127.0.0.1"
        )
    return required


class Credentials:
    """Raises ``ConfigError`` for settings that cannot be."""

    def __init__(
        self, config: Config, environ: Mapping[str, str], now: Callable[[], float], *, required: bool | None = None
    ) -> None:
        self.required = credentials_required(config, environ) if required is None else required
        limits = common_limits(config)
        self.anybody = Caller(limits=limits, admin=True)
        self._now = now
        self._key = server_key(config, environ)
        self._key_caller = server_caller(self._key, limits) if self._key is not None else None
        fixed = _configured_keys(config, environ)
        self._keys = WatchedKeys(keys_path(config), fixed, limits, time.monotonic)
        self._tokens = Tokens(config.auth.jwt, limits, now) if takes_tokens(config) else None

    def find(self, shown: Sequence[str]) -> Caller | None:
        """Whose credentials are among ``shown``, as far as that can be told at once."""
        if not shown:
            return None
        ring = self._keys.ring
        for key in shown:
            if self._key is not None and hmac.compare_digest(key.encode(), self._key.encode()):
                return self._key_caller
            if len(ring) and (found := ring.find(key, self._now())) is not None:
                return found
            if self._tokens is not None and (found := self._tokens.remembered(key)) is not None:
                return found
        return None

    async def verify(self, shown: Sequence[str]) -> Caller:
        """Of credentials that ``find`` does not know. Raises ``PolicyRefusal`` (401), ``UpstreamFault`` (503) while it
        cannot be told."""
        problem: MillstreamError | None = None
        for token in shown:
            if self._tokens is not None and looks_like_token(token):
                try:
                    return await self._tokens.caller(token)
                except MillstreamError as error:
                    problem = error
        if problem is not None:
            raise problem
        if not self.required:
            return self.anybody
        if not shown:
            message = "this gateway needs a key: send it as `Authorization: Bearer` or `x-api-key`"
            raise PolicyRefusal(message, Kind.AUTHENTICATION)
        raise PolicyRefusal("this gateway does not know that key", Kind.AUTHENTICATION)


def _configured_keys(config: Config, environ: Mapping[str, str]) -> list[KeyRecord]:
    found: list[KeyRecord] = []
    for name, key in config.auth.keys.items():
        secret = environ.get(key.env, "") if key.env is not None else ""
        if key.sha256 is None and not secret:
            why = f"the environment variable {key.env} is not set" if key.env is not None else "set sha256 or env"
            raise ConfigError(f"auth.keys.{name}: {why}")
        found.append(settings_key(name, key, key.sha256 or digest(secret)))
    return found
