"""What every family of workspace tools is made of."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from millstream.tools.base import ToolContext, ToolOutcome

T = TypeVar("T")
Stop = Callable[[], bool]


class Arguments(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A tool's arguments; the fields' descriptions and limits are what the model is told."""


@dataclass(frozen=True, slots=True)
class WorkspaceTool:
    """``run`` takes an instance of ``arguments``. It may raise ``ToolFault``, ``PathRefused`` and ``OSError``."""

    name: str
    description: str
    arguments: type[Arguments]
    run: Callable[[Any, ToolContext], Awaitable[ToolOutcome]]


class ToolFault(Exception):
    """The call cannot be done; the message is for the model."""


async def in_thread(work: Callable[[Stop], T]) -> T:
    """Runs blocking ``work`` beside the event loop. When this is cancelled, the ``Stop`` it was given says so."""
    stopped = threading.Event()
    try:
        return await asyncio.to_thread(work, stopped.is_set)
    finally:
        stopped.set()


def bounded(text: str, limit: int, hint: str) -> str:
    """``text`` cut after ``limit`` characters, saying so with ``hint`` how to see the rest."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[cut here: {len(text) - limit} more characters. {hint}]"
