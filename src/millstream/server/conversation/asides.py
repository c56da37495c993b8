"""Asks small questions beside an answer. None of them can break it: one that fails is left out, and logged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from millstream.core.assemble import error_of
from millstream.core.errors import MillstreamError
from millstream.core.events import Event, Fault, TextDelta
from millstream.core.messages import Request
from millstream.dialects.conversation import NAME
from millstream.model_call import ModelCall
from millstream.pipeline import End, Gateway, Record
from millstream.server.request_log import log_request
from millstream.telemetry import logs

_MOST = 100_000
"""Characters of an answer that are looked at."""


async def ask_aside(gateway: Gateway, request: Request, about: str, seconds: float) -> str:
    """The answer's text; empty where there is none within ``seconds``. ``about`` names the question in the log."""
    record = Record(about, NAME, model=request.model, stream=True)
    began = gateway.now()
    end: End = "cancelled"
    words = _Words()
    try:
        async with asyncio.timeout(seconds):
            await ModelCall(gateway, request, record).run(words)
        text = words.text()
        end = "finished"
        return text
    except TimeoutError:
        logs.logger.info("%s took longer than %g s and is left out", about, seconds)
    except MillstreamError as error:
        end = "failed"
        record.error = error
    except Exception as error:  # whatever it is, the answer is not to suffer from it
        end = "failed"
        logs.logger.error("%s failed", about, exc_info=error)
    finally:
        log_request(gateway, record, 200, end, began)
    return ""


class _Words:
    """An ``EventSink`` that keeps the text."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._fault: Fault | None = None
        self._size = 0

    def text(self) -> str:
        """Raises the ``MillstreamError`` that it ended with, if any."""
        if self._fault is not None:
            raise error_of(self._fault)
        return "".join(self._pieces)

    def take(self, events: Sequence[Event]) -> Awaitable[None] | None:
        for event in events:
            if isinstance(event, TextDelta) and self._size < _MOST:
                self._size += len(event.text)
                self._pieces.append(event.text)
            elif isinstance(event, Fault):
                self._fault = event
        return None
