"""Keys of the gateway's own: what is known of each, and which one a client shows.

A key is 256 random bits, so its plain SHA-256 is as safe to keep as anything slow, and is looked up in no time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from millstream.policy.caller import Caller, Limits, Period, owner_of

PREFIX = "msk_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")


class KeyRecord(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """``sha256`` is of the key, in hexadecimal. ``hint`` is how its owner recognises it. ``expires`` is Unix time. The
    other fields are those of ``Caller`` and ``Limits``."""

    name: str
    sha256: str
    hint: str = ""
    created: int = 0
    expires: int | None = None
    user: str | None = None
    models: tuple[str, ...] = ("*",)
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    budget: float | None = None
    period: Period = "month"
    admin: bool = False

    def caller(self, limits: Limits) -> Caller:
        """``limits`` are for what the key itself does not bound."""
        own = Limits(
            limits.requests_per_minute if self.requests_per_minute is None else self.requests_per_minute,
            limits.tokens_per_minute if self.tokens_per_minute is None else self.tokens_per_minute,
            limits.budget if self.budget is None else self.budget,
            limits.period if self.budget is None else self.period,
        )
        owner = owner_of("key", self.name) if self.user is None else owner_of("user", self.user)
        return Caller(self.name, self.user, owner, self.models, own, self.admin)

    def expired(self, now: float) -> bool:
        return self.expires is not None and now >= self.expires


class KeyRing:
    """Keys by what clients show."""

    def __init__(self, records: Iterable[KeyRecord], limits: Limits) -> None:
        self._known = {record.sha256: (record.caller(limits), record.expires) for record in records}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, key: str, now: float) -> Caller | None:
        """Whose ``key`` is, unless it is nobody's or has expired at ``now``."""
        found = self._known.get(digest(key))
        if found is None or (found[1] is not None and now >= found[1]):
            return None
        return found[0]


def digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def record_of(key: str, name: str, now: float) -> KeyRecord:
    """What is kept of a new ``key``. Raises ``ValueError`` for a name that cannot be one."""
    if not _NAME.fullmatch(name):
        raise ValueError("a key's name has up to 64 letters, digits, and _ . @ -, and begins with a letter or digit")
    return KeyRecord(name=name, sha256=digest(key), hint=f"{PREFIX}…{key[-4:]}", created=int(now))


def moment(at: int | None) -> str:
    """A Unix time for people, in UTC."""
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
