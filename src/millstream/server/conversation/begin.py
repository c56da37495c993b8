"""From what a user says to a run that answers it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from millstream.config import ConversationConfig
from millstream.conversation.turns import GO_ON, answer_request, text_tokens
from millstream.core.errors import ClientFault, Kind, MillstreamError
from millstream.core.messages import Request
from millstream.dialects.conversation import NAME, message_id_of
from millstream.pipeline import Gateway, Record
from millstream.server.conversation.answer import Attempts
from millstream.server.conversation.asking import TalkAsk
from millstream.server.conversation.options import talk_options
from millstream.server.conversation.past import past_of, recent_turns
from millstream.server.conversation.recovery import Recovery
from millstream.server.conversation.reviving import TalkAsked
from millstream.server.conversation.talk import Place, Talk
from millstream.server.runs.manager import Runs
from millstream.server.runs.run import RunAbout
from millstream.sessions.history import Answered, Asked, Entry, History, Loaded, NoSuchSession
from millstream.sessions.journal import SequenceConflict

SURFACE = "conversation"
_TITLE = 80


@dataclass(frozen=True, slots=True)
class User:
    """``id`` as its application calls it; ``who`` is whose its conversations are, and ``owner`` whose its runs are."""

    id: str
    who: str

    @property
    def owner(self) -> str:
        return f"conversation:{self.who}"


@dataclass(frozen=True, slots=True)
class Begun:
    run_id: str
    session_id: str


class Beginner:
    """Begins the turns of conversations."""

    def __init__(self, gateway: Gateway, runs: Runs, history: History, config: ConversationConfig) -> None:
        self._gateway = gateway
        self._runs = runs
        self._history = history
        self._config = config
        self._recovery = Recovery(runs, history, gateway.now)

    async def begin(self, user: User, ask: TalkAsk) -> Begun:
        """A run that answers ``ask``, or that was doing so all along. Raises ``MillstreamError``, ``StoreError``."""
        run_id = self._runs.new_id()
        if ask.session_id is None:
            self._attempts(self._request(ask, (), ""), Record(run_id, NAME))  # what cannot be asked leaves no trace
            await self._expect()
            title = " ".join((ask.message or "").split())[:_TITLE]
            loaded = await self._history.create(user.who, f"ses_{secrets.token_hex(12)}", title)
        else:
            loaded = await self.load(user, ask.session_id)
        if (pending := loaded.pending) is not None:
            if ask.resume:
                return Begun(pending.run_id, loaded.id)
            message = "the last message of this conversation is still being answered: wait, stop it, or resume it"
            raise ClientFault(message, status=409, code="session_busy", retryable=True, retry_after=1)
        return await self._begin(user, ask, run_id, loaded)

    async def load(self, user: User, session_id: str) -> Loaded:
        """A conversation, the last answer of which is there or on its way. Raises ``ClientFault`` (404)."""
        try:
            return await self._recovery.settled(user.who, user.owner, await self._history.load(user.who, session_id))
        except NoSuchSession:
            message = f"there is no conversation {session_id!r}, or it is kept no longer"
            raise ClientFault(message, Kind.NOT_FOUND, code="session_not_found", param="session_id") from None

    async def _begin(self, user: User, ask: TalkAsk, run_id: str, loaded: Loaded) -> Begun:
        last = loaded.last_answer
        if ask.resume and (last is None or last.state == "complete" or not last.text):
            if last is None or last.state == "failed":
                raise ClientFault("there is no answer to resume: send the message again", status=409, code="not_cut")
            return Begun(last.run_id, loaded.id)
        self._check_length(loaded)
        request = self._request(ask, loaded.entries, GO_ON if ask.resume else ask.message or "")
        record = Record(run_id, NAME, model=request.model, stream=True)
        attempts = self._attempts(request, record)
        if ask.session_id is not None:
            await self._expect()
        asked = self._asked(ask, run_id)
        try:
            loaded = await self._history.add(user.who, loaded, asked, alone=True)
        except SequenceConflict:
            message = "something else was said in this conversation at the same moment"
            raise ClientFault(message, status=409, code="session_busy", retryable=True, retry_after=1) from None
        except NoSuchSession:
            raise ClientFault("the conversation was just deleted", Kind.NOT_FOUND, code="session_not_found") from None
        small = self._config.small_model or request.model
        place = Place(self._history, user.who, loaded, asked)
        options = talk_options(self._config)
        talk = Talk(self._gateway, options, place, attempts, record, recent_turns(loaded.entries), small)
        model = record.route.name if record.route is not None else request.model
        about = RunAbout("", user.owner, SURFACE, model, loaded.id)
        try:
            asked_for = TalkAsked(msgspec.structs.replace(request, model=model), user.who, small)
            await self._runs.start(
                run_id,
                about,
                talk,
                on_disconnect=self._config.on_disconnect,
                asked=lambda: msgspec.json.encode(asked_for),
            )
        except MillstreamError:
            failed = Answered(message_id_of(run_id), run_id, self._moment(), "", 0, "failed")
            await self._history.add(user.who, loaded, failed)
            raise
        return Begun(run_id, loaded.id)

    async def _expect(self) -> None:
        """Raises ``PolicyRefusal`` (429) before anything is kept of what nobody may ask now."""
        if self._gateway.meter is not None:
            await self._gateway.meter.expect()

    def _check_length(self, loaded: Loaded) -> None:
        most = self._config.max_messages
        if loaded.about.messages >= most:
            message = f"this conversation has {most} messages (conversation.max_messages): begin another"
            raise ClientFault(message, status=409, code="session_full")

    def _asked(self, ask: TalkAsk, run_id: str) -> Asked:
        text = "" if ask.resume else ask.message or ""
        context = ask.context
        return Asked(
            f"{message_id_of(run_id)}_q", run_id, self._moment(), text, text_tokens(text), context, goes_on=ask.resume
        )

    def _request(self, ask: TalkAsk, entries: Sequence[Entry], message: str) -> Request:
        config = self._config
        return answer_request(
            ask.model or config.model or self._gateway.routes.default,
            past_of(entries, config.history_tokens, go_on=ask.resume),
            message,
            system=config.system,
            context=ask.context,
            max_tokens=config.max_tokens,
        )

    def _attempts(self, request: Request, record: Record) -> Attempts:
        return Attempts(self._gateway, request, record, self._config.fallback, self._config.patience)

    def _moment(self) -> int:
        return int(self._gateway.now() * 1000)
