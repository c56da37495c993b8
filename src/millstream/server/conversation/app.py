"""The parts of this package put together, for the application."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from millstream.config import Config, ConfigError
from millstream.pipeline import Gateway
from millstream.policy.ratelimit import Rates
from millstream.server.conversation.asking import check_user
from millstream.server.conversation.begin import Beginner, User
from millstream.server.conversation.sessions import SessionsApi
from millstream.server.conversation.talking import TalkEndpoint
from millstream.server.deliver import Pulse
from millstream.server.identity import caller_of
from millstream.server.model_api import Deliveries
from millstream.server.runs.manager import Runs
from millstream.sessions.history import History, whose


class ConversationSurface:
    """Conversations are kept in the journal of ``runs``, as long as ``sessions.keep_for`` says."""

    def __init__(self, config: Config, gateway: Gateway, runs: Runs, deliveries: Deliveries) -> None:
        """Raises ``ConfigError``."""
        if config.conversation.messages_per_minute and find_spec("limits") is None:
            message = "conversation.messages_per_minute needs the extra limits: pip install 'millstream[limits]'"
            raise ConfigError(message)
        self._config = config
        self._gateway = gateway
        self._runs = runs
        self._deliveries = deliveries

    def routes(self, pulse: Pulse) -> list[BaseRoute]:
        """Silence is filled as ``runs.heartbeat`` says, not as ``pulse`` does."""
        config, own = self._config, self._config.conversation
        now = self._gateway.now
        pulse = replace(pulse, heartbeat=config.runs.heartbeat)
        history = History(self._runs.journal, now, config.sessions.keep_for, own.max_sessions)
        beginner = Beginner(self._gateway, self._runs, history, own)
        rates = Rates(now, config.limits.redis_url)

        def talk(*, whole: bool) -> TalkEndpoint:
            return TalkEndpoint(
                beginner,
                rates,
                _user_of,
                self._runs,
                self._deliveries,
                pulse,
                own,
                config.server.max_body,
                compress=config.runs.compression,
                whole=whole,
            )

        stream, sessions = talk(whole=False), SessionsApi(beginner, history, self._runs, _user_of)
        one = "/api/conversation/{user_id}/sessions/{session_id}"
        return [
            Route("/api/conversation-stream/{user_id}", stream, methods=["POST"]),
            Route("/api/conversation-stream/{user_id}/{run_id}", stream, methods=["GET"]),
            Route("/api/conversation/{user_id}", talk(whole=True), methods=["POST"]),
            Route("/api/conversation/{user_id}/sessions", sessions.all, methods=["GET"]),
            Route(one, sessions.show, methods=["GET"]),
            Route(one, sessions.delete, methods=["DELETE"]),
            Route(f"{one}/stop", sessions.stop, methods=["POST"]),
        ]


def _user_of(scope: Scope) -> User:
    """Whom the request is about. Raises ``PolicyRefusal`` (403) where its caller may not speak for them."""
    user_id = check_user(scope["path_params"]["user_id"])
    caller = caller_of(scope)
    caller.require_user(user_id)
    return User(user_id, whose(caller.owner, user_id))
