"""Tokens (JWT, RFC 7519) of an identity provider, checked against its public keys (JWKS, RFC 7517) by PyJWT.

Only public-key signatures are taken, only by the algorithm that the key is for, and only tokens that end. What was
found good is remembered for a while by the token's hash: the second request with it costs a look-up.
"""

from __future__ import annotations

import asyncio
import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millstream.config import ConfigError, JwtConfig
from millstream.core.errors import Kind, PolicyRefusal, UpstreamFault
from millstream.policy.caller import Caller, Limits, owner_of
from millstream.telemetry import logs

if TYPE_CHECKING:
    from jwt import PyJWK

_FETCH_TIMEOUT_S = 5.0
_MOST_BYTES = 1024 * 1024
_ASK_AGAIN_S = 10.0
"""How often at most the keys are asked for: tokens with made-up key ids must not become requests to the provider."""

_REMEMBER_S = 300.0
_MOST_REMEMBERED = 10_000
_LONGEST_TOKEN = 16 * 1024
_LONGEST_USER = 256


class Tokens:
    """``now`` is Unix time. Raises ``ConfigError`` where something that makes tokens safe is not set."""

    def __init__(self, config: JwtConfig, limits: Limits, now: Callable[[], float]) -> None:
        if config.issuer is None or not config.audience:
            raise ConfigError("auth.jwt: issuer and audience are needed, or tokens for others would be taken here")
        try:
            import jwt
        except ImportError as error:
            raise ConfigError("auth.jwt needs: pip install 'millstream[auth]'") from error
        self._jwt = jwt
        self._config = config
        self._issuer = config.issuer
        self._limits = limits
        self._now = now
        self._keys: dict[str | None, PyJWK] = {}
        self._fetched: float | None = None
        self._tried: float | None = None
        self._fetching = asyncio.Lock()
        self._good: dict[bytes, tuple[Caller, float]] = {}

    def remembered(self, token: str) -> Caller | None:
        """Whose ``token`` is, if that was found out not long ago and still holds."""
        found = self._good.get(_digest(token))
        return found[0] if found is not None and self._now() < found[1] else None

    async def caller(self, token: str) -> Caller:
        """Raises ``PolicyRefusal`` (401) for a token that is not to be trusted, ``UpstreamFault`` (503) while the
        identity provider cannot be reached and its keys are not known."""
        jwt = self._jwt
        if len(token) > _LONGEST_TOKEN:
            raise _refusal("it is too long")
        try:
            header = jwt.get_unverified_header(token)
            key = await self._key(header.get("kid"), str(header.get("alg")))
            claims = jwt.decode(
                token,
                key,
                algorithms=[str(header["alg"])],
                issuer=self._issuer,
                audience=list(self._config.audience),
                leeway=self._config.leeway,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise _refusal("it has expired") from error
        except (jwt.InvalidAudienceError, jwt.InvalidIssuerError) as error:
            raise _refusal("it is for, or from, somebody else") from error
        except jwt.MissingRequiredClaimError as error:
            raise _refusal(f"it lacks the claim {error.claim}") from error
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise _refusal("its signature or form is wrong") from error
        return self._remember(token, self._caller_of(claims), float(claims["exp"]) + self._config.leeway)

    def _caller_of(self, claims: dict[str, Any]) -> Caller:
        user = claims.get(self._config.user_claim)
        if not isinstance(user, str) or not user or len(user) > _LONGEST_USER or not user.isprintable():
            raise _refusal(f"its claim {self._config.user_claim} names no user")
        return Caller("", user, owner_of("user", self._issuer, user), self._config.models, self._limits)

    def _remember(self, token: str, caller: Caller, until: float) -> Caller:
        if len(self._good) >= _MOST_REMEMBERED:
            self._good.clear()
        self._good[_digest(token)] = (caller, min(until, self._now() + _REMEMBER_S))
        return caller

    async def _key(self, kid: object, algorithm: str) -> PyJWK:
        """Raises ``PolicyRefusal`` or ``UpstreamFault``."""
        if algorithm not in self._config.algorithms:
            raise _refusal("its signature is not of a kind that is taken here")
        if self._stale() or kid not in self._keys:
            await self._fetch(kid)
        key = self._keys.get(kid) if isinstance(kid, str) else self._only_key()
        if key is None:
            raise _refusal("nobody knows the key that signed it")
        return key

    def _only_key(self) -> PyJWK | None:
        """For a token that names no key."""
        return next(iter(self._keys.values())) if len(self._keys) == 1 else None

    def _stale(self) -> bool:
        return self._fetched is None or self._now() - self._fetched > self._config.cache_for

    async def _fetch(self, kid: object) -> None:
        async with self._fetching:
            if not self._stale() and kid in self._keys:
                return
            if self._tried is not None and self._now() - self._tried < _ASK_AGAIN_S:
                if not self._keys:
                    raise _unreachable()
                return
            self._tried = self._now()
            try:
                self._keys = self._usable(await asyncio.to_thread(self._load))
                self._fetched = self._now()
            except (OSError, urllib.error.URLError, ValueError, self._jwt.PyJWTError) as error:
                logs.logger.warning("the keys of %s cannot be had: %s", self._issuer, error)
                if not self._keys:
                    raise _unreachable() from error

    def _load(self) -> bytes:
        if self._config.jwks_file is not None:
            return Path(self._config.jwks_file).expanduser().read_bytes()
        url = self._config.jwks_url or ""
        if not url.startswith(("https://", "http://")):
            raise ValueError(f"auth.jwt.jwks_url is not an http(s) URL: {url!r}")
        with urllib.request.urlopen(url, timeout=_FETCH_TIMEOUT_S) as answer:  # noqa: S310  # http(s), as just checked
            data: bytes = answer.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES} bytes")
        return data

    def _usable(self, data: bytes) -> dict[str | None, PyJWK]:
        """Public keys for signatures only: a shared secret, were one listed, would let anyone sign."""
        found = self._jwt.PyJWKSet.from_json(data.decode()).keys
        return {key.key_id: key for key in found if key.key_type != "oct" and key.public_key_use in (None, "sig")}


def looks_like_token(text: str) -> bool:
    return text.startswith("ey") and text.count(".") == 2


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _refusal(why: str) -> PolicyRefusal:
    return PolicyRefusal(f"this token is not accepted: {why}", Kind.AUTHENTICATION)


def _unreachable() -> UpstreamFault:
    return UpstreamFault("the keys that tokens are checked with cannot be had now", status=503, retry_after=10)
