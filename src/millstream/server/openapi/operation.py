"""What is told of an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from millstream.server.openapi import shapes

Place = Literal["path", "query", "header"]
SSE = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    place: Place
    about: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True, slots=True)
class Operation:
    """``body`` is the type of a JSON request, ``answer`` of a JSON response, ``events`` of each event of a stream;
    ``lines`` is the content type of an answer that is neither. ``nothing``: it may also have nothing left to say
    (204). ``refused_as_event``: to a client that accepts events, a refusal may be one. ``example`` is a body that works
    anywhere. ``done``: after the events comes one more, ``[DONE]``.

    Streams of bytes: ``statuses`` are those of an answer that has no body of its own, ``kinds`` the content types of
    one that has and ``takes`` of a request; ``failure`` is the type of a refusal, None where it has no body."""

    method: Literal["get", "head", "post", "put", "delete"]
    path: str
    tag: str
    name: str
    summary: str
    about: str = ""
    body: Any = None
    answer: Any = None
    events: Any = None
    lines: str | None = None
    nothing: bool = False
    refused_as_event: bool = False
    parameters: tuple[Parameter, ...] = ()
    example: Mapping[str, Any] | None = None
    done: bool = False
    statuses: Mapping[str, str] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    failure: Any = shapes.Error


NUMBER = {"type": "integer", "minimum": 0, "maximum": 999_999_999_999_999}
RUN = Parameter("run_id", "path", "The run, as the header `x-millstream-run` of the answer named it.")
