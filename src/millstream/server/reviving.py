"""Goes on with runs of processes that died, whatever surface they came in by."""

from __future__ import annotations

import msgspec

from millstream.agent.exchange import Agent
from millstream.pipeline import Gateway
from millstream.server.agent.reviving import revive_agent
from millstream.server.plain.begin import revive
from millstream.server.runs.manager import Orphan, Revive
from millstream.server.runs.run import Producer


class _Kind(msgspec.Struct):
    """Requests of runs without tools name none."""

    kind: str = ""


class Reviver:
    """Implements ``Revive``."""

    def __init__(self, gateway: Gateway, agent: Agent, talks: Revive | None = None) -> None:
        """``talks`` is for conversations."""
        self._gateway = gateway
        self._agent = agent
        self._talks = talks

    def __call__(self, orphan: Orphan) -> Producer | None:
        match _kind_of(orphan.request):
            case "agent":
                return revive_agent(self._gateway, self._agent, orphan)
            case "talk" if self._talks is not None:
                return self._talks(orphan)
            case "":
                return revive(self._gateway, orphan)
        return None


def _kind_of(request: bytes) -> str | None:
    try:
        return msgspec.json.decode(request, type=_Kind).kind
    except msgspec.MsgspecError:
        return None
