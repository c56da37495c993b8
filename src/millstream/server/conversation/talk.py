"""One turn of a conversation as a run: the answer, its asides, and what is kept of both."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from millstream.conversation.asides import (
    intent_request,
    read_intent,
    read_suggestions,
    suggestions_request,
    summary_request,
)
from millstream.conversation.turns import Turn, text_tokens
from millstream.core.errors import Kind, MillstreamError, PolicyRefusal
from millstream.core.messages import Request
from millstream.core.run_events import Context, RunEntry, RunEvent, Status, Suggestions
from millstream.dialects.conversation import PROCESSING, message_id_of
from millstream.pipeline import End, Gateway, Record
from millstream.server.conversation.answer import Answer, Attempts
from millstream.server.conversation.asides import ask_aside
from millstream.server.conversation.options import TalkOptions
from millstream.server.conversation.past import overlong
from millstream.server.request_log import log_request
from millstream.server.runs.run import RunSink, settled
from millstream.sessions.base import StoreError
from millstream.sessions.history import Answered, Asked, Entry, History, Loaded, NoSuchSession, State, Summarised
from millstream.telemetry import logs


@dataclass(frozen=True, slots=True)
class Place:
    """Where it is kept: the conversation of ``who`` up to and with ``asked``."""

    history: History
    who: str
    loaded: Loaded
    asked: Asked


class Talk:
    """A ``Producer``. ``recent`` are the turns before the question, ``before`` is what another process had said."""

    def __init__(
        self,
        gateway: Gateway,
        options: TalkOptions,
        place: Place,
        attempts: Attempts,
        record: Record,
        recent: Sequence[Turn],
        small_model: str,
        before: Sequence[RunEntry] = (),
    ) -> None:
        self._gateway = gateway
        self._options = options
        self._place = place
        self._attempts = attempts
        self._record = record
        self._recent = recent
        self._small_model = small_model
        self._before = before
        told = [entry.event for entry in before if isinstance(entry.event, Context)]
        self._context: Context | None = told[-1] if told else None
        self._suggestions: tuple[str, ...] = ()
        self._summary: Summarised | None = None

    async def __call__(self, sink: RunSink) -> None:
        began = self._gateway.now()
        end: End = "failed"
        try:
            await self._talk(sink)
            end = "finished"
        except BaseException as error:
            end = "failed" if isinstance(error, Exception) else "cancelled"
            raise
        finally:
            log_request(self._gateway, self._record, 200, end, began)

    async def _talk(self, sink: RunSink) -> None:
        if Status(PROCESSING) not in (entry.event for entry in self._before):
            sink.take([Status(PROCESSING)])
        answer = Answer(sink, self._options.max_chunks, self._before)
        try:
            error = await self._answered(answer, sink)
        except BaseException:  # also a client that left: what was said until then is kept
            await self._keep(answer)
            if answer.finished:
                sink.take(answer.ending)
            raise
        await settled(sink)
        await self._keep(answer)
        if error is not None:
            raise error
        ending: list[RunEvent] = [Suggestions(self._suggestions)] if self._suggestions else []
        sink.take([*ending, *answer.ending])

    async def _answered(self, answer: Answer, sink: RunSink) -> MillstreamError | None:
        limit = self._options.limit
        try:
            async with asyncio.timeout(limit), asyncio.TaskGroup() as group:
                wanted = self._options.intent and not self._place.asked.goes_on and self._context is None
                noting = group.create_task(self._note(sink)) if wanted else None
                error = await self._attempts.run(answer)
                if error is not None:
                    if noting is not None:
                        noting.cancel()
                    return error
                if self._options.suggestions:
                    group.create_task(self._suggest(answer))
                if self._options.summarise:
                    group.create_task(self._sum_up(answer))
        except TimeoutError:
            if not answer.finished:
                message = f"the answer took longer than {limit:g} s (conversation.limit)"
                return PolicyRefusal(message, Kind.TIMEOUT, code="run_limit")
        return None

    async def _note(self, sink: RunSink) -> None:
        """What the user wants. Where nobody can say it, it is what it was before."""
        request = intent_request(self._small_model, self._recent, self._place.asked.text)
        found = read_intent(await self._ask(request, "intent"))
        before = self._place.loaded.last_answer
        known = Context(before.intent, before.entities, updated=False) if before is not None and before.intent else None
        if found is None:
            self._context = known
        else:
            same = known is not None and (known.intent, known.entities) == (found.name, found.entities)
            self._context = Context(found.name, found.entities, updated=not same)
        if self._context is not None:
            sink.take([self._context])

    async def _suggest(self, answer: Answer) -> None:
        asked = self._place.asked
        turns = [*self._recent, Turn("user", asked.text, 0), Turn("assistant", answer.text, 0)]
        if asked.goes_on:
            turns = [*self._recent[:-1], Turn("assistant", self._recent[-1].text + answer.text, 0)]
        found = await self._ask(suggestions_request(self._small_model, turns), "suggestions")
        self._suggestions = read_suggestions(found)

    async def _sum_up(self, answer: Answer) -> None:
        entries = (*self._place.loaded.entries, self._entry(answer))
        found = overlong(entries, self._options.history_tokens)
        if found is None:
            return
        text = await self._ask(summary_request(self._small_model, found.summary, found.turns), "summary")
        if text.strip():
            self._summary = Summarised(found.before, text.strip())

    async def _ask(self, request: Request, about: str) -> str:
        named = f"{self._place.asked.run_id}.{about}"
        return await ask_aside(self._gateway, request, named, self._options.aside_timeout)

    def _entry(self, answer: Answer) -> Answered:
        state: State = "complete" if answer.finished else "interrupted" if answer.text else "failed"
        text, context, run_id = answer.text, self._context, self._place.asked.run_id
        return Answered(
            message_id_of(run_id),
            run_id,
            int(self._gateway.now() * 1000),
            text,
            text_tokens(text),
            state,
            self._record.route.name if self._record.route is not None else "",
            context.intent if context is not None else None,
            context.entities if context is not None else {},
            self._suggestions,
            self._record.usage,
        )

    async def _keep(self, answer: Answer) -> None:
        place = self._place
        entries: list[Entry] = [self._entry(answer)]
        if self._summary is not None:
            entries.append(self._summary)
        try:
            await place.history.add(place.who, place.loaded, *entries)
            if place.loaded.about.messages == 1:  # its beginning is not to wait for that
                await place.history.forget_oldest(place.who)
        except NoSuchSession:
            return  # deleted meanwhile
        except StoreError as error:
            logs.logger.warning("an answer of conversation %s is not kept: %s", place.loaded.id, error)
