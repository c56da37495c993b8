"""What apps ask agents for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from millstream.core.errors import ClientFault

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
T = TypeVar("T")


class AgentAsk(msgspec.Struct, frozen=True):
    """The body of a chat with tools. ``messages`` are those of OpenAI's Chat API. ``tools`` are names of tools or of
    their sources, or patterns; without it, all there are. ``accumulated`` false leaves the whole text so far out of
    each piece."""

    messages: list[Any] | None = None
    query: str | None = None
    model: str | None = None
    system: str | None = None
    tools: tuple[str, ...] | None = None
    max_iterations: Annotated[int, msgspec.Meta(ge=1)] | None = None
    max_tokens: int | None = None
    accumulated: bool = True
    session_id: str | None = None


class RouteAsk(msgspec.Struct, frozen=True):
    """A request as far as it matters for the choice of a model. ``tools`` are names or whole definitions."""

    messages: list[Any] | None = None
    query: str | None = None
    system: str | None = None
    tools: tuple[str | Mapping[str, Any], ...] = ()


class ApproveAsk(msgspec.Struct, frozen=True):
    """``id`` is the question's; without it, all that the run has open are answered. ``content`` is what a tool asked
    for."""

    id: str | None = None
    approved: bool = True
    reason: str | None = None
    content: dict[str, Any] | None = None


def read_as(kind: type[T], body: bytes) -> T:
    """Raises ``ClientFault``."""
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise ClientFault(str(error)) from error
    except _UNREADABLE as error:
        raise ClientFault(f"the request body is not valid JSON: {error}") from error
