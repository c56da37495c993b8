"""An answer that breaks off is gone on with: what was said becomes the beginning of another call's answer.

Only models that take a beginning of their answer can do so (the quirk ``continues``); where nothing was said but
thoughts, or an unfinished tool call, any can, since it is asked anew. ``core/seam.py`` makes one reply of it all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Protocol

import msgspec

from millstream.core.assemble import error_of
from millstream.core.errors import ClientFault, Kind, MillstreamError, PolicyRefusal, UpstreamFault
from millstream.core.events import Event, Fault
from millstream.core.messages import Request
from millstream.core.run_events import Switched
from millstream.core.seam import Seam
from millstream.core.tokens import text_tokens
from millstream.model_call import ModelCall
from millstream.pipeline import Continuation, Gateway, Record

_CUTS = frozenset({Kind.INTERNAL})
"""Faults after which the upstream may well answer, besides those that say so themselves."""


_DIED = "the gateway that worked on this answer died"


class SwitchSink(Protocol):
    """Where the events of a reply go that may be gone on with."""

    def take(self, events: Sequence[Event | Switched]) -> Awaitable[None] | None:
        """As ``EventSink``."""
        ...


class Answer(Protocol):
    """What ``ModelCall`` and ``ContinuedCall`` have in common."""

    async def run(self, sink: SwitchSink) -> None: ...


def model_call(gateway: Gateway, request: Request, record: Record) -> Answer:
    """One answer to ``request``, gone on with where it breaks off if the gateway does that. Raises as ``ModelCall``."""
    if gateway.continuation is None:
        return ModelCall(gateway, request, record)
    return ContinuedCall(gateway, request, record, gateway.continuation)


def can_continue(gateway: Gateway, model: str, request: Callable[[], Request]) -> bool:
    """Whether ``model`` goes on with a beginning of its answer. Raises ``ClientFault`` for a name nothing has."""
    route = gateway.route(model, request)
    patterns = gateway.upstreams[route.provider].provider.quirks.continues
    return any(fnmatchcase(route.model, pattern) for pattern in patterns)


class ContinuedCall:
    """As ``ModelCall``; ``Switched`` comes where another call goes on. ``seam`` holds what an earlier gateway had said
    of this answer, if any: then no first call is made."""

    def __init__(
        self, gateway: Gateway, request: Request, record: Record, ways: Continuation, seam: Seam | None = None
    ) -> None:
        """Raises ``ClientFault`` or ``PolicyRefusal``."""
        self.record = record
        self._gateway = gateway
        self._request = request
        self._ways = ways
        self._left = ways.most
        self._call = ModelCall(gateway, request, record) if seam is None else None
        self._seam = seam or Seam()
        self._echo = ""
        model = record.route.name if record.route is not None else request.model
        self._models: Iterator[str] = iter(dict.fromkeys((model, *ways.models)))
        self._model = next(self._models)

    async def run(self, sink: SwitchSink) -> None:
        """As ``ModelCall``."""
        if self._call is None:
            await self._go_on(sink, UpstreamFault(_DIED, Kind.TRUNCATED, code="run_lost"))
            return
        leg = _Leg(self._seam, sink)
        await self._call.run(leg)
        self._note()
        if leg.fault is None:
            return
        error = self.record.error or leg.fault
        if leg.content:
            await self._go_on(sink, error)
        else:
            await _say(sink, self._seam.fail(Fault.of(error)))

    async def _go_on(self, sink: SwitchSink, cut: MillstreamError) -> None:
        """To the answer's end, after ``cut``."""
        while True:
            if self._seam.complete:
                await _say(sink, self._seam.finish())
                self.record.error = None
                return
            error = await self._next(sink, cut) if self._may_go_on(cut) else cut
            self._note()
            if error is None:
                return
            if error is cut:
                self.record.error = cut
                await _say(sink, self._seam.fail(Fault.of(cut)))
                return
            cut = error

    def _may_go_on(self, cut: MillstreamError) -> bool:
        asked_for = self._request.response_format
        grammar = asked_for is not None and asked_for.kind != "text"  # it would hold for the rest alone
        if not isinstance(cut, UpstreamFault) or not (cut.retryable or cut.kind in _CUTS):
            return False
        return self._seam.continuable and not (grammar and self._seam.text.strip())

    async def _next(self, sink: SwitchSink, cut: MillstreamError) -> MillstreamError | None:
        """Another call, of the first model that can. The error it broke off with, ``cut`` where none could."""
        while self._left > 0:
            self._left -= 1
            call = self._prepared()
            if call is not None:
                leg = _Leg(self._seam, sink, self._echo, Switched(self._model, cut.message))
                try:
                    await call.run(leg)
                except MillstreamError as error:
                    leg.fault = error
                if leg.fault is None:
                    return None
                if leg.content:
                    return self.record.error or leg.fault
            model = next(self._models, None)
            if model is None:
                break
            self._model = model
        return cut

    def _prepared(self) -> ModelCall | None:
        """A call of the model whose turn it is; None where it cannot go on."""
        request, begun = self._request, self._seam.beginning(self._request.messages)
        self._echo = ""
        try:
            if begun is not None:
                if not can_continue(self._gateway, self._model, lambda: request):
                    return None
                messages, text = begun
                request = msgspec.structs.replace(request, messages=messages, max_tokens=self._room())
                route = self._gateway.route(self._model, lambda: request)
                if self._gateway.upstreams[route.provider].provider.quirks.echoes:
                    self._echo = text
            request = msgspec.structs.replace(request, model=self._model)
            call = ModelCall(self._gateway, request, self.record, continues=begun is not None)
        except (ClientFault, PolicyRefusal):
            return None
        self.record.switched = (*self.record.switched, self._model)
        return call

    def _room(self) -> int | None:
        most = self._request.max_tokens
        return None if most is None else max(1, most - text_tokens(self._seam.text))

    def _note(self) -> None:
        self.record.usage = self._seam.usage


class _Leg:
    """The ``EventSink`` of one call. Its failure is kept, not said. ``switched`` is said with the first event."""

    def __init__(self, seam: Seam, sink: SwitchSink, echo: str = "", switched: Switched | None = None) -> None:
        self.fault: MillstreamError | None = None
        self.content = False
        self._seam = seam
        self._sink = sink
        self._echo = echo
        self._switched = switched

    def take(self, events: Sequence[Event]) -> Awaitable[None] | None:
        last = events[-1]
        if isinstance(last, Fault):
            self.fault = error_of(last)
            self.content = self.content or last.content_sent
            events = events[:-1]
        said: list[Event | Switched] = []
        if self._switched is not None and events:
            said += [self._switched, *self._seam.resume(self._echo)]
            self._switched = None
        said += self._seam.take(events)
        return self._sink.take(said) if said else None


async def _say(sink: SwitchSink, events: Sequence[Event]) -> None:
    if (wait := sink.take(events)) is not None:
        await wait
