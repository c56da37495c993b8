"""``/api/conversation-stream`` and ``/api/conversation``: say something, and hear the answer as it comes, or whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing

import msgspec
from starlette.types import Receive, Scope

from millstream.config import ConversationConfig
from millstream.core.assemble import error_of
from millstream.core.errors import Kind, MillstreamError, UpstreamFault
from millstream.core.run_events import RunEnd
from millstream.dialects.base import ErrorReply
from millstream.dialects.conversation import ConversationEvents, error_reply
from millstream.policy.ratelimit import Rates
from millstream.server.conversation.asking import read_ask
from millstream.server.conversation.begin import Beginner, Begun, User
from millstream.server.deliver import Delivery, Pulse
from millstream.server.model_api import Deliveries
from millstream.server.runs.endpoint import RUN_HEADER, RunEndpoint
from millstream.server.runs.manager import Runs
from millstream.server.runs.reader import Reader
from millstream.server.wire import encode_headers, read_body
from millstream.sessions.base import StoreError

SESSION_HEADER = "x-millstream-session"


class TalkEndpoint(RunEndpoint):
    """``POST``: begin a turn. ``GET`` with a run's id: hear it again, and the rest of it. ``whole``: it
    answers once, with all of it."""

    about = "a conversation"

    def __init__(
        self,
        beginner: Beginner,
        rates: Rates,
        user_of: Callable[[Scope], User],
        runs: Runs,
        deliveries: Deliveries,
        pulse: Pulse,
        caps: ConversationConfig,
        max_body: int,
        *,
        compress: bool,
        whole: bool,
    ) -> None:
        super().__init__(deliveries, pulse, compress=compress)
        self._beginner = beginner
        self._rates = rates
        self._user_of = user_of
        self._runs = runs
        self._caps = caps
        self._max_body = max_body
        self._whole = whole

    async def serve(self, scope: Scope, receive: Receive, delivery: Delivery, headers: Mapping[str, str]) -> None:
        """In this order: may they, so often, this; then who, and what about."""
        user = self._user_of(scope)
        told: dict[str, str] = {}
        if scope["method"] == "POST":
            if self._caps.messages_per_minute:
                await self._rates.take("messages", user.who, self._caps.messages_per_minute)
            ask = read_ask(await read_body(scope, receive, self._max_body), self._caps)
            begun = await self._beginner.begin(user, ask)
            told[SESSION_HEADER] = begun.session_id
        else:
            begun = Begun(scope["path_params"]["run_id"], "")
        told[RUN_HEADER] = begun.run_id
        with closing(await self._runs.read(begun.run_id, user.owner)) as reader:
            if self._whole:
                await delivery.attend(lambda: self._answer(reader, delivery, told))
            else:
                await self.follow(reader, ConversationEvents(), delivery, headers, told)

    def unreachable(self, error: StoreError) -> MillstreamError:
        return UpstreamFault(f"conversations cannot be reached: {error}", status=503, retryable=True)

    def refusal(self, error: MillstreamError, headers: Mapping[str, str]) -> ErrorReply:
        reads_events = not self._whole and "text/event-stream" in headers.get("accept", "")
        return error_reply(error, as_stream=reads_events and error.kind is Kind.RATE_LIMIT)

    async def _answer(self, reader: Reader, delivery: Delivery, told: Mapping[str, str]) -> None:
        events = ConversationEvents()
        end = RunEnd("lost")
        while entries := await reader.next():
            events.render(entries)
            last = entries[-1].event
            end = last if isinstance(last, RunEnd) else end
        if events.fault is not None:
            raise error_of(events.fault)
        context = events.context
        body = {
            "message": "".join(events.text),
            **events.outcome(end),
            "intent": context.intent if context is not None else None,
            "entities": context.entities if context is not None else {},
        }
        headers = {"content-type": "application/json", **told}
        await delivery.respond(200, encode_headers(headers), msgspec.json.encode(body))
