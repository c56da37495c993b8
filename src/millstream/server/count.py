"""Token counts: the upstream's own where it has one, else an estimate that says so in ``x-millstream-estimated``."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from millstream.core.errors import MillstreamError
from millstream.counting import count_tokens
from millstream.dialects.base import ClientCall, Dialect
from millstream.pipeline import Gateway
from millstream.server.connection import connection_of
from millstream.server.deliver import ClientGone, Delivery, Pulse
from millstream.server.guard import send_error
from millstream.server.wire import encode_headers, plain_call, read_body


class CountEndpoint:
    """An ASGI application."""

    def __init__(
        self,
        gateway: Gateway,
        dialect: Dialect,
        max_body: int,
        read_call: Callable[[Scope, bytes], ClientCall] = plain_call,
    ) -> None:
        self._gateway = gateway
        self._dialect = dialect
        self._max_body = max_body
        self._read_call = read_call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        delivery = Delivery(receive, send, Pulse(), connection_of(scope))
        try:
            call = self._read_call(scope, await read_body(scope, receive, self._max_body))

            async def answer() -> None:
                count = await count_tokens(self._gateway, self._dialect, call)
                headers = {"content-type": "application/json"}
                if count.estimated:
                    headers["x-millstream-estimated"] = "true"
                await delivery.respond(200, encode_headers(headers), self._dialect.count_reply(count.tokens))

            await delivery.attend(answer)
        except MillstreamError as error:
            await send_error(send, self._dialect, error)
        except ClientGone:
            return
