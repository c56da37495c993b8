"""Goes on with the answers of gateways that died, as far as they were said and kept."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from millstream.agent.left import Left, left_of
from millstream.config import ConversationConfig
from millstream.core.errors import GatewayBug, MillstreamError
from millstream.core.events import ChoiceEnd, Finish
from millstream.core.messages import Request
from millstream.core.run_events import RunEntry, RunEvent, Suggestions, Switched
from millstream.dialects.conversation import NAME
from millstream.pipeline import Gateway, Record
from millstream.server.conversation.answer import Attempts, has_begun
from millstream.server.conversation.options import talk_options
from millstream.server.conversation.past import recent_turns
from millstream.server.conversation.talk import Place, Talk
from millstream.server.runs.manager import Orphan
from millstream.server.runs.run import Producer, RunSink
from millstream.server.runs.writing import LOST
from millstream.sessions.history import Answered, Asked, History, Loaded, NoSuchSession


class TalkAsked(msgspec.Struct, frozen=True, tag="talk", tag_field="kind"):
    """What another process needs to go on with an answer. ``who`` is whose the conversation is."""

    request: Request
    who: str
    small_model: str


class TalkReviver:
    def __init__(self, gateway: Gateway, history: History, config: ConversationConfig) -> None:
        self._gateway = gateway
        self._history = history
        self._config = config

    def __call__(self, orphan: Orphan) -> Producer | None:
        """None where it cannot be gone on with."""
        try:
            asked = msgspec.json.decode(orphan.request, type=TalkAsked)
            left = left_of(orphan.entries, ())
            if left is None or orphan.about.session_id is None:
                return None
            record = Record(orphan.id, NAME, model=asked.request.model, stream=True)
            attempts = self._attempts(asked.request, record, orphan.entries, left)
        except (msgspec.MsgspecError, MillstreamError):
            return None  # another version's, or of another configuration
        session_id = orphan.about.session_id

        async def produce(sink: RunSink) -> None:
            loaded, answer = await self._found(asked.who, session_id, orphan.id)
            if left.ended or answer is not None:
                sink.take(_ending(orphan.entries, left, answer))
                return
            place = Place(self._history, asked.who, loaded, _question(loaded, orphan.id))
            options, recent = talk_options(self._config), recent_turns(loaded.entries)
            talk = Talk(self._gateway, options, place, attempts, record, recent, asked.small_model, orphan.entries)
            await talk(sink)

        return produce

    def _attempts(self, request: Request, record: Record, entries: Sequence[RunEntry], left: Left) -> Attempts:
        """Of the model that was speaking, if one was; else it is begun anew."""
        config = self._config
        if not has_begun(entries):
            return Attempts(self._gateway, request, record, config.fallback, config.patience)
        switched = [entry.event.model for entry in entries if isinstance(entry.event, Switched)]
        if switched:
            request = msgspec.structs.replace(request, model=switched[-1])
        return Attempts(self._gateway, request, record, (), config.patience, left)

    async def _found(self, who: str, session_id: str, run_id: str) -> tuple[Loaded, Answered | None]:
        try:
            loaded = await self._history.load(who, session_id)
        except NoSuchSession:
            raise GatewayBug("the conversation was deleted while its gateway was dead", code=LOST) from None
        found = (one for one in loaded.entries if isinstance(one, Answered) and one.run_id == run_id)
        return loaded, next(found, None)


def _question(loaded: Loaded, run_id: str) -> Asked:
    return next(one for one in loaded.entries if isinstance(one, Asked) and one.run_id == run_id)


def _ending(entries: Sequence[RunEntry], left: Left, answer: Answered | None) -> list[RunEvent]:
    """What is missing of an answer that was said and written down. Raises ``GatewayBug`` where it was broken off."""
    if left.ended:
        return [Finish()] if isinstance(left.said[-1], ChoiceEnd) else []
    if answer is None or answer.state != "complete":
        raise GatewayBug("the gateway that worked on this answer died when it had been broken off", code=LOST)
    said = [Suggestions(answer.suggestions)] if answer.suggestions else []
    missing = [one for one in said if one not in (entry.event for entry in entries)]
    return [*missing, ChoiceEnd(0, "stop"), Finish()]
