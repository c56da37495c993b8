"""What a dialect is: the contract each folder beside this file fulfils."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable
from urllib.parse import quote

import msgspec

from millstream.core.errors import ClientFault, MillstreamError, UpstreamFault
from millstream.core.events import Event, MessageStart
from millstream.core.messages import Extra, Leftovers, Reply, Request, Tool, UnknownPart
from millstream.core.repeats import Around

Headers = Mapping[str, str]
"""Header names in lower case."""


_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding a body may raise: it is no JSON, no UTF-8, or nested deeper than Python's stack."""


class Quirks(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one provider departs from its dialect. Each dialect extends this with what its providers need;
    a catalog row sets it by name, and a name that no field has is an error."""

    continues: tuple[str, ...] = ()
    """Models, as shell patterns, that go on with a last message of the assistant's as the beginning of their answer:
    one that broke off can be continued there."""

    echoes: bool = False
    """They say that beginning again before they go on."""


@dataclass(frozen=True, slots=True)
class ClientCall:
    """What a client sent. ``model`` and ``stream`` are set where its API says them in the URL instead of the body;
    ``params`` is the URL's query, for APIs that choose a format there (Gemini's ``alt=sse``); None if not looked at."""

    body: bytes
    headers: Headers = field(default_factory=dict)
    model: str | None = None
    stream: bool | None = None
    params: Mapping[str, str] | None = None


class Envelope(msgspec.Struct, frozen=True):
    """The two things routing needs to know before anything else is read."""

    model: str
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """Where a rendered request goes: the upstream's own model name and the provider's ways."""

    model: str
    quirks: Quirks
    stream: bool = True
    continues: bool = False
    """The request's last message is the beginning of the answer, which broke off; whoever wrote the request did not
    write that."""


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """A request in an upstream's words. ``path`` is appended to the provider's base URL.

    ``dropped`` names the client's tuning fields that this upstream cannot be told; they are counted and reported in
    the ``x-millstream-dropped`` response header. ``stop`` holds stop sequences that it cannot be told either, and that
    whoever relays the reply must therefore end it at (``core/stops.py``).
    """

    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplyContext:
    """What a renderer may not make up: an id and a Unix time, and what the client asked for.

    ``reply_id`` is used where the upstream gave no id. ``request`` is what the client sent, for what its dialect
    echoes in a reply or lets a client choose about it (usage in a stream, say).
    """

    reply_id: str
    created: int
    request: Request
    started: bool = False
    """The client already has the start of a reply (from an upstream that failed before any content): a renderer made
    with this gives nothing for ``MessageStart``."""
    start: MessageStart | None = None
    """With ``started``: the start the client has, for dialects whose clients insist that its id never changes."""


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error in a dialect's words, ready to be sent as a whole HTTP response."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Parser(Protocol):
    """Bytes of one upstream stream → events. Made per reply, never used again.

    Its output passes ``core.grammar`` whatever the bytes are: broken input gives a ``Fault`` or raises
    ``UpstreamFault``, never another exception. After a ``Fault`` or ``Finish`` it gives nothing more.
    """

    @property
    def pending(self) -> int:
        """Bytes taken in at the end of the input that belong to no complete frame yet."""
        ...

    def feed(self, data: bytes) -> list[Event]: ...

    def finish(self) -> list[Event]:
        """The upstream closed the stream: the events still held back, or a ``truncated`` fault."""
        ...


class Renderer(Protocol):
    """Events of one reply → bytes for one client. Its output ends with the dialect's own end exactly once."""

    def render(self, events: Sequence[Event]) -> bytes: ...

    def keepalive(self) -> bytes:
        """Bytes that keep this dialect's clients from giving up, sent between frames during silence."""
        ...


@runtime_checkable
class RepeatingParser(Protocol):
    """A parser that may know a read by what the one before it was (``core/repeats.py``)."""

    more_of: int
    """The block that ``more`` speaks of."""

    def more(self, data: bytes) -> str:
        """The text of the one delta of block ``more_of`` that ``data`` stands for; ``data`` is then taken in. Empty
        if that cannot be told: then it is to be fed."""
        ...

    @property
    def around(self) -> Around | None:
        """A read that is nothing but a text between these is such a delta, and to take it in is to tell ``hear``. None:
        for now there is no such read."""
        ...


@runtime_checkable
class RepeatingRenderer(Protocol):
    """A renderer that says such a delta without being given an event."""

    def more(self, index: int, text: str) -> bytes:
        """What ``render`` says to a delta of ``text`` without extras in block ``index``, of text or thinking."""
        ...

    def around(self, index: int) -> Around | None:
        """What ``more`` says around a text, as long as it is given no other events. None if that is not the same for
        each."""
        ...


class ErrorWords(Protocol):
    """Whose words errors are said in: a dialect's, or those of a surface that only we have."""

    def render_error(self, error: MillstreamError) -> ErrorReply: ...


class Dialect(Protocol):
    """One API's wire format. Values of this type are stateless and shared."""

    name: str
    quirks: type[Quirks]
    stateful: tuple[str, ...]
    """Fields of its requests that stand for something its own servers hold (an earlier reply, a cached prompt). Another
    upstream cannot be asked with them."""

    stream_content_type: str

    def stream_type(self, call: ClientCall) -> str:
        """The content type of a stream for this call; ``stream_content_type`` unless the API lets clients choose."""
        ...

    def peek(self, call: ClientCall) -> Envelope:
        """Model and streaming, read cheaply. Raises ``ClientFault`` that names the field."""
        ...

    def parse_request(self, call: ClientCall) -> Request:
        """Raises ``ClientFault`` that names the field."""
        ...

    def render_request(self, request: Request, target: Target) -> UpstreamRequest:
        """Raises ``ClientFault`` where dropping what cannot be said would change the answer's meaning."""
        ...

    def forward_request(self, call: ClientCall, target: Target) -> UpstreamRequest:
        """The side door: the client's own body and headers for the same dialect, only the model renamed."""
        ...

    def forward_count(self, call: ClientCall, target: Target) -> UpstreamRequest | None:
        """A client's token-count request for an upstream of the same dialect; None if this API cannot count."""
        ...

    def render_count(self, request: Request, target: Target) -> UpstreamRequest | None:
        """A request of any dialect, to be counted by an upstream of this one; None if this API cannot count. Raises
        ``ClientFault`` as ``render_request``."""
        ...

    def read_count(self, body: bytes) -> int | None:
        """The number in an upstream's answer to ``forward_count``; None if there is none."""
        ...

    def parse_count(self, call: ClientCall) -> Request:
        """What a token-count request is about. Raises ``ClientFault`` that names the field."""
        ...

    def count_reply(self, tokens: int) -> bytes:
        """The answer to a client's token-count request."""
        ...

    def parser(self) -> Parser: ...

    def parse_reply(self, body: bytes) -> list[Event]:
        """A whole reply as the events it would have streamed. Raises ``UpstreamFault`` if it is not one."""
        ...

    def renderer(self, context: ReplyContext) -> Renderer: ...

    def render_reply(self, reply: Reply, context: ReplyContext) -> bytes: ...

    def parse_error(self, status: int, headers: Headers, body: bytes) -> UpstreamFault: ...

    def render_error(self, error: MillstreamError) -> ErrorReply:
        """An error of this dialect's own upstream is given back to the byte (``error.raw``)."""
        ...


def peek_body(call: ClientCall) -> Envelope:
    """``peek`` for dialects that say model and streaming in the body."""
    try:
        return msgspec.json.decode(call.body, type=Envelope)
    except msgspec.ValidationError as error:
        raise ClientFault(str(error)) from error
    except _UNREADABLE as error:
        raise ClientFault(f"the request body is not valid JSON: {error}") from error


def rename_model(body: bytes, model: str) -> bytes:
    """``body`` with its top-level ``model`` replaced and every other byte of every other field kept."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except _UNREADABLE as error:
        raise ClientFault(f"the request body is not a JSON object: {error}") from error
    fields["model"] = msgspec.Raw(msgspec.json.encode(model))
    return msgspec.json.encode(fields)


def path_with(template: str, model: str) -> str:
    """``template`` with ``{model}`` as one segment of a URL's path: the name comes from a client."""
    name = quote(model, safe="@:") if model.strip(".") else model.replace(".", "%2E")
    return template.replace("{model}", name)


CUSTOM_TOOL_INPUT = "input"
"""A dialect without free-text tools (``Tool.kind`` ``custom``) sends each as a function with one string argument of
this name. The renderer of a client that has such tools turns the calls back (``core/json_field.py``)."""


def custom_as_function(tool: Tool) -> Tool:
    """``tool``, of kind ``custom``, as a function. A grammar cannot be enforced this way, so it is described."""
    grammar = (tool.format or {}).get("definition")
    described = [tool.description] if tool.description else []
    if isinstance(grammar, str):
        syntax = (tool.format or {}).get("syntax", "grammar")
        described.append(f"The {CUSTOM_TOOL_INPUT} must match this {syntax} grammar:\n{grammar}")
    parameters = {
        "type": "object",
        "properties": {CUSTOM_TOOL_INPUT: {"type": "string", "description": "The tool's whole input, as plain text."}},
        "required": [CUSTOM_TOOL_INPUT],
        "additionalProperties": False,
    }
    description = "\n\n".join(described) or None
    return Tool(tool.name, description, parameters, deferred=tool.deferred, cache=tool.cache)


def custom_arguments(text: str) -> str:
    """The input of a past ``custom`` call as the arguments of that function."""
    return msgspec.json.encode({CUSTOM_TOOL_INPUT: text}).decode()


def own_extra(dialect: str, fields: Mapping[str, Any]) -> Extra | None:
    """``fields`` as an ``Extra`` of ``dialect``, or None if there are none."""
    return {dialect: dict(fields)} if fields else None


def leftover(data: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """The fields of ``data`` that have no canonical name and so must ride in ``extra``."""
    return {name: value for name, value in data.items() if name not in known}


@dataclass(frozen=True, slots=True)
class Meanings:
    """What it means to leave out a dialect's own fields. Names are paths: ``store``, ``text.verbosity``."""

    nested: frozenset[str] = frozenset()
    """Objects of which some fields are canonical: what is left of them is named field by field."""

    silent: frozenset[str] = frozenset()
    """Fields whose loss nobody need hear of: they say nothing, or are seen to elsewhere."""

    defaults: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    """Values that say no more than the field's absence."""

    meant: frozenset[str] = frozenset()
    """Fields without which the answer would be another one."""

    shared: Mapping[str, str] = field(default_factory=dict)
    """Fields that some other dialects have too, and their name there."""


def leftovers_of(rest: Mapping[str, Any], meanings: Meanings, tuning: Sequence[str] = ()) -> Leftovers | None:
    """What ``rest``, the part of a request without canonical names, is to upstreams of other dialects. ``tuning`` names
    more that they cannot be told. A name that begins with ``$`` is a dialect's note to itself, which nobody misses."""
    shared: dict[str, tuple[str, Any]] = {}
    dropped: list[str] = list(tuning)
    meant: list[str] = []
    for path, value in _paths(rest, meanings.nested):
        if path in meanings.silent or value in (None, [], {}) or value in meanings.defaults.get(path, ()):
            continue
        if path in meanings.meant:
            meant.append(path)
        elif path in meanings.shared:
            shared[meanings.shared[path]] = (path, value)
        else:
            dropped.append(path)
    return Leftovers(shared, tuple(dropped), tuple(meant)) if shared or dropped or meant else None


def _paths(rest: Mapping[str, Any], nested: frozenset[str]) -> Iterator[tuple[str, Any]]:
    for name, value in rest.items():
        if name[:1] == "$":
            continue
        if name in nested and isinstance(value, Mapping):
            yield from ((f"{name}.{inner}", one) for inner, one in value.items() if inner[:1] != "$")
        else:
            yield name, value


def foreign_fields(
    request: Request, dialect: str, shared: Container[str] = frozenset()
) -> tuple[dict[str, Any], list[str]]:
    """The fields of another dialect's request that ``dialect`` shares with it, and the names of those it has no words
    for. Raises ``ClientFault`` if one of them means more than tuning."""
    left = request.leftovers
    if left is None or request.origin == dialect:
        return {}, []
    for name in left.meant:
        reason = "this model's API has no field for it, and without it the answer would be another"
        raise ClientFault(f"{name}: {reason}", param=name)
    told = {name: value for name, (_, value) in left.shared.items() if name in shared}
    return told, sorted([*left.tuning, *(path for name, (path, _) in left.shared.items() if name not in told)])


def left_out(part: UnknownPart, path: str, *, said_by_model: bool = False) -> str:
    """How a part that only another dialect knows is reported as dropped. Raises ``ClientFault`` if it is something
    that the user says."""
    kind = str(part.data.get("type") or "unknown")
    if part.asked and not said_by_model:
        raise ClientFault(f"{path}: this model's API has no parts of the kind {kind}", param=path)
    return f"messages.{kind}"


def check_fetchable(url: str, path: str) -> None:
    """Raises ``ClientFault`` for the address of a file that only the client's own provider can fetch (``gs://``)."""
    if not url.startswith(("https://", "http://", "data:")):
        raise ClientFault(f"{path}: this model's provider cannot fetch {url:.80}; send its content", param=path)


def is_cached(request: Request) -> bool:
    """Whether the client says where a cached prefix ends."""
    parts = [*request.system, *(part for message in request.messages for part in message.parts)]
    return any(getattr(part, "cache", None) is not None for part in (*parts, *request.tools))


def refuse_foreign_logprobs(request: Request, dialect: str) -> None:
    """Raises ``ClientFault`` where log probabilities are asked for in another dialect's words than ``dialect``'s: each
    has a form of its own for them, none of which is canonical, so that the answer would come without."""
    if request.origin != dialect and (request.logprobs or request.top_logprobs):
        raise ClientFault("logprobs: this model's API gives none that this client could read", param="logprobs")


_MAX_USER = 64


def short_user(user: str) -> str:
    """``user`` as OpenAI's APIs take it, in at most 64 characters. What agents say there is longer, and names devices
    and accounts: such a one becomes a digest, always the same."""
    return user if len(user) <= _MAX_USER else hashlib.sha256(user.encode()).hexdigest()


def retry_after_seconds(headers: Headers) -> float | None:
    """Seconds from ``retry-after-ms`` or ``retry-after``, if given as a number; zero counts as none."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        if 0 < seconds < math.inf:
            return seconds
    return None
