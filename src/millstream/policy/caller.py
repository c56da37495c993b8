"""Who calls, as the rest of the gateway sees it once credentials have been looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from millstream.core.errors import Kind, PolicyRefusal

Period = Literal["day", "month"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a caller may use; None is without bound. ``budget`` is in US dollars, for each calendar ``period`` (UTC)."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    budget: float | None = None
    period: Period = "month"

    def __bool__(self) -> bool:
        return (self.requests_per_minute, self.tokens_per_minute, self.budget) != (None, None, None)


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Caller:
    """``name`` is the key's, or empty. ``user`` is whom alone it may act for; None where it speaks for its own users,
    whoever they are. What is stored for it belongs to ``owner``. ``models`` are patterns; an ``admin`` sees everybody's
    usage and the metrics."""

    name: str = ""
    user: str | None = None
    owner: str = ""
    models: tuple[str, ...] = ("*",)
    limits: Limits = NO_LIMITS
    admin: bool = False

    @property
    def account(self) -> str:
        """What its limits are counted under, the same wherever its credentials are shown."""
        return f"{self.name}\0{self.user or ''}"

    def require_user(self, user_id: str) -> None:
        """Raises ``PolicyRefusal`` (403) unless it may act for ``user_id``."""
        if self.user is not None and self.user != user_id:
            raise PolicyRefusal("these credentials are another user's", Kind.PERMISSION)

    def may_use(self, *names: str) -> bool:
        """Whether one of its patterns fits one of a model's ``names``."""
        return self.models == ("*",) or any(fnmatchcase(name, pattern) for pattern in self.models for name in names)


NOBODY = Caller()
ANYBODY = Caller(admin=True)
"""Where no credentials are asked for, everyone who reaches the gateway is its owner."""

Owner = Callable[[], str]
"""Whose the things are that the present request stores and asks for."""


def owner_of(kind: Literal["server", "key", "user"], *names: str) -> str:
    """Whose what is stored shall be: a name that tells nothing, and that no other kind of caller has."""
    return hashlib.sha256("\0".join(("millstream", kind, *names)).encode()).hexdigest()[:32]
