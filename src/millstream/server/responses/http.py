"""``POST /v1/responses``: as any model API, and with replies that are kept, continued or run in the background."""

from __future__ import annotations

from millstream.core.errors import ClientFault
from millstream.dialects.base import ClientCall, Dialect
from millstream.dialects.openai_responses.held import error_event
from millstream.pipeline import End, Exchange, Gateway
from millstream.policy.caller import Owner
from millstream.server.deliver import Delivery
from millstream.server.model_api import STREAM_HEADERS, Deliveries, Turn
from millstream.server.responses.asking import Asked, Asking
from millstream.server.responses.runs import Run, Runs
from millstream.server.wire import encode_headers


class ResponsesTurn(Turn):
    """One call. A background run writes its own line in the log, when it ends."""

    def __init__(
        self,
        gateway: Gateway,
        dialect: Dialect,
        delivery: Delivery,
        *,
        asking: Asking,
        runs: Runs,
        deliveries: Deliveries,
        owner: Owner,
    ) -> None:
        super().__init__(gateway, dialect, delivery)
        self._asking = asking
        self._runs = runs
        self._deliveries = deliveries
        self._owner = owner
        self._logs_itself = False

    async def _answer(self, call: ClientCall) -> None:
        asked = await self._asking.prepare(call, self._record.id)
        exchange = self._gateway.exchange(asked.dialect, asked.call, self._record)
        await (self._begin(asked, exchange) if asked.background else self._exchange(exchange))

    async def _begin(self, asked: Asked, exchange: Exchange) -> None:
        run = self._runs.begin(asked.reply_id, self._owner(), exchange)
        self._logs_itself = True
        asked.keep(run.beginning)
        if exchange.record.stream:
            # It ends with its run, which the shutdown ends: it is not to be interrupted besides.
            self._deliveries.discard(self._delivery)
            await follow(run, -1, self._delivery, exchange.response_headers)
        else:
            headers = {"content-type": "application/json", **exchange.response_headers}
            await self._delivery.respond(200, encode_headers(headers), run.beginning)

    def _log(self, end: End) -> None:
        if not self._logs_itself:
            super()._log(end)


async def follow(run: Run, after: int, delivery: Delivery, headers: dict[str, str]) -> None:
    """Stream the events of ``run`` that follow number ``after``, and those still to come.

    Raises ``ClientFault`` if they are no longer held, ``ClientGone`` if the client leaves; the run goes on.
    """
    run.check(after)
    delivery.streams(
        lambda: encode_headers({"content-type": "text/event-stream; charset=utf-8", **STREAM_HEADERS, **headers}),
        run.keepalive,
    )
    await delivery.attend(lambda: _follow(run, after, delivery))


async def _follow(run: Run, after: int, delivery: Delivery) -> None:
    await delivery.start()
    while True:
        lost: ClientFault | None = None
        try:
            frames = run.after(after)
        except ClientFault as fault:  # it reads more slowly than the reply grows
            lost = fault
            frames = [error_event(fault, after + 1)]
        after += len(frames)
        if frames and (wait := delivery.write(b"".join(frames))) is not None:
            await wait
        if lost is not None or (run.done and not frames):
            break
        if not frames:
            await run.news()
    await delivery.end()
