"""Who makes the present request: found by the guard, read by whoever serves.

It goes two ways. The scope's state holds it for handlers of a request; a context variable for what has no scope in
hand, also in the tasks that a request starts and that outlive it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from starlette.types import Scope

from millstream.policy.caller import ANYBODY, Caller

_STATE = "millstream.caller"
_present: ContextVar[Caller] = ContextVar("millstream_caller", default=ANYBODY)


def set_caller(scope: Scope, caller: Caller) -> None:
    """For the rest of this request. To be called in the request's own task."""
    scope.setdefault("state", {})[_STATE] = caller
    _present.set(caller)


def caller_of(scope: Scope) -> Caller:
    """Of the request that ``scope`` is; anybody, where no guard has looked at it."""
    found = scope.get("state", {}).get(_STATE, ANYBODY)
    assert isinstance(found, Caller)  # noqa: S101  # nobody else has this name
    return found


def given_caller(scope: Scope) -> Caller | None:
    """What an application that we are mounted in has found out already."""
    found = scope.get("state", {}).get(_STATE)
    return found if isinstance(found, Caller) else None


def caller() -> Caller:
    """Of the request that the present task works for."""
    return _present.get()


@contextmanager
def on_behalf_of(caller: Caller) -> Iterator[None]:
    """What is begun within is done for ``caller``, whoever the present request is of, if of anybody."""
    token = _present.set(caller)
    try:
        yield
    finally:
        _present.reset(token)


def owner() -> str:
    """Whose the things are that the present request stores and asks for."""
    return _present.get().owner
