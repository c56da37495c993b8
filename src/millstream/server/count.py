"""``POST /v1/messages/count_tokens``: the upstream's own count where it has one, else an estimate that says so."""

from __future__ import annotations

import msgspec
from starlette.types import Receive, Scope, Send

from millstream.core.errors import MillstreamError
from millstream.dialects.base import ClientCall, Dialect
from millstream.pipeline import Gateway, count_tokens
from millstream.server.deliver import ClientGone, Delivery, Pulse
from millstream.server.guard import send_error
from millstream.server.wire import encode_headers, header_map, read_body


class CountEndpoint:
    """An ASGI application."""

    def __init__(self, gateway: Gateway, dialect: Dialect, max_body: int) -> None:
        self._gateway = gateway
        self._dialect = dialect
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        delivery = Delivery(receive, send, Pulse())
        try:
            call = ClientCall(await read_body(scope, receive, self._max_body), header_map(scope), stream=False)

            async def answer() -> None:
                count = await count_tokens(self._gateway, self._dialect, call)
                headers = {"content-type": "application/json"}
                if count.estimated:
                    headers["x-millstream-estimated"] = "true"
                body = msgspec.json.encode({"input_tokens": count.tokens})
                await delivery.respond(200, encode_headers(headers), body)

            await delivery.attend(answer)
        except MillstreamError as error:
            await send_error(send, self._dialect, error)
        except ClientGone:
            return
