"""One ``response.create`` on a WebSocket: asked, answered event by event, remembered, logged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping

import msgspec

from millstream.core.errors import ClientFault, GatewayBug, MillstreamError
from millstream.core.events import ChoiceEnd, Finish, MessageStart
from millstream.core.repeats import Repeats
from millstream.core.sse import Frame, SSEDecoder
from millstream.dialects.base import ClientCall, Dialect, ReplyContext
from millstream.dialects.openai_responses.held import HeldResponses
from millstream.dialects.openai_responses.state import Item
from millstream.dialects.openai_responses.websocket import Create, error_message
from millstream.pipeline import End, Exchange, Gateway, Record
from millstream.server.deliver import ClientGone
from millstream.server.request_log import log_request
from millstream.server.responses.asking import Asked, Asking, whole_input
from millstream.server.responses.keeping import History
from millstream.server.responses.memory import Memory
from millstream.telemetry import logs

Send = Callable[[list[bytes]], Awaitable[None]]
"""Sends texts, one message each. Raises ``ClientGone``."""

_LAST = (b'"response.completed"', b'"response.incomplete"')


class _Final(msgspec.Struct):
    type: str
    response: msgspec.Raw


class _Reply(msgspec.Struct):
    id: str
    output: list[dict[str, object]] = []


class SocketTurn:
    """Implements ``pipeline.Client``."""

    def __init__(
        self,
        gateway: Gateway,
        dialect: Dialect,
        asking: Asking,
        memory: Memory,
        send: Send,
        create: Create,
        headers: Mapping[str, str],
    ) -> None:
        self.started = False
        self.sending = False
        self.last_sent = asyncio.get_running_loop().time()
        self._gateway = gateway
        self._dialect = dialect
        self._asking = asking
        self._memory = memory
        self._send = send
        self._create = create
        self._headers = headers
        self._record = Record(gateway.new_id(), dialect.name)
        self._mark = b"" if create.stream_id is None else b'{"stream_id":%b,' % msgspec.json.encode(create.stream_id)
        self._decoder = SSEDecoder()
        self._asked: Asked | None = None
        self._previous: str | None = None
        self._exchange: Exchange | None = None
        self._task: asyncio.Task[object] | None = None
        self._interruption: MillstreamError | None = None

    async def serve(self) -> None:
        """Raises ``ClientGone``, and what it was cancelled with, unless that was ``interrupt``."""
        began = self._gateway.now()
        end: End = "failed"
        status = 200
        self._task = asyncio.current_task()
        try:
            await self._answer()
            end = "finished" if self._record.error is None else "failed"
        except MillstreamError as error:
            status = await self._refuse(error)
        except ClientGone:
            end = "cancelled"
            raise
        except asyncio.CancelledError:
            end = self._end_heard()
            if self._interruption is None or self._task is None:
                raise
            self._task.uncancel()
            end = "failed"
            status = await self._break_off(self._interruption)
        except Exception as error:
            logs.logger.error("request %s failed", self._record.id, exc_info=error)
            bug = GatewayBug(f"an internal error; the gateway's log has it as {self._record.id}")
            status = await self._break_off(bug)
        finally:
            self._task = None
            if self._record.error is not None and self._previous is not None:
                self._memory.drop(self._previous)  # so that its client begins anew, as the API has it
            log_request(self._gateway, self._record, status, end, began)

    def _end_heard(self) -> End:
        """Of a turn whose client has left: it may have read its reply's end before its upstream closed."""
        if self.sending or self._exchange is None or not self._exchange.has_ended:
            return "cancelled"
        return "finished" if self._record.error is None else "failed"

    def interrupt(self, reason: Exception) -> None:
        """End it with ``reason``, which its client is told."""
        if self._task is not None and self._interruption is None:
            self._interruption = reason if isinstance(reason, MillstreamError) else GatewayBug(str(reason))
            self._task.cancel()

    async def beat(self) -> None:
        """Fill a silence, if there is something to say in it."""
        if self.started and not self.sending and self._exchange is not None and self._asked and self._asked.held:
            await self.write(self._exchange.keepalive())

    async def start(self) -> None:
        self.started = True

    def write(self, data: bytes) -> Awaitable[None]:
        self.sending = True
        return _Texts(self, self._decoder.feed(data))

    def shortcut(self, repeats: Repeats) -> None:
        return

    async def end(self) -> None:
        await self.send(self._decoder.finish())

    async def _answer(self) -> None:
        call = ClientCall(self._create.body, self._headers)
        asked = self._asked = await self._asking.prepare(call, self._record.id, known=self._find, ended=self._remember)
        exchange = self._exchange = self._gateway.exchange(asked.dialect, asked.call, self._record)
        if self._create.generate:
            await exchange.stream(self)
        else:
            await self._prepare(asked, exchange)

    async def _prepare(self, asked: Asked, exchange: Exchange) -> None:
        """No model is asked: what its client will go on from is remembered, and gets an id."""
        dialect = asked.dialect if asked.held else HeldResponses(asked.reply_id, self._remember)
        context = ReplyContext(asked.reply_id, int(self._gateway.now()), exchange.request)
        await self.start()
        await self.write(dialect.renderer(context).render([MessageStart(), ChoiceEnd(0, "stop"), Finish()]))

    async def _refuse(self, error: MillstreamError) -> int:
        """An error that no event has come before. The status it has."""
        self._record.error = error
        await self._tell([error_message(error, self._create.stream_id)])
        return error.status

    async def _break_off(self, error: MillstreamError) -> int:
        if not self.started or self._exchange is None:
            return await self._refuse(error)
        await self._exchange.fail(self, error)
        return 200

    async def send(self, frames: list[Frame]) -> None:
        texts = [data for _, data in frames if data[:1] == b"{"]
        if self._asked is not None and not self._asked.held:
            for text in texts:
                self._look(text)
        if self._mark:
            texts = [self._mark + text[1:] for text in texts]
        await self._tell(texts)

    async def _tell(self, texts: list[bytes]) -> None:
        self.sending = True
        if texts:
            await self._send(texts)
            self.last_sent = asyncio.get_running_loop().time()
        self.sending = False

    def _look(self, text: bytes) -> None:
        """An event of an upstream of this API. Its last one tells what has to be remembered."""
        if not any(name in text for name in _LAST):
            return
        try:
            event = msgspec.json.decode(text, type=_Final)
        except msgspec.MsgspecError:
            return
        if event.type in ("response.completed", "response.incomplete"):
            self._remember(bytes(event.response))

    def _find(self, reply_id: str) -> History | None:
        self._previous = reply_id
        return self._memory.find(reply_id)

    def _remember(self, response: bytes) -> None:
        """For the next turn, before the client can ask for it."""
        if self._asked is None:
            return
        try:
            reply = msgspec.json.decode(response, type=_Reply)
            items: list[Item] = [*whole_input(self._asked.call), *reply.output]
        except (ClientFault, msgspec.MsgspecError):
            return  # between a client and an upstream that understand each other; it cannot be gone on from here
        size = len(self._asked.call.body) + len(response)
        self._memory.add(reply.id, History(items, stored=self._asked.store), size)


class _Texts:
    """Frames that are sent once this is awaited; it may also be let go of."""

    __slots__ = ("_frames", "_turn")

    def __init__(self, turn: SocketTurn, frames: list[Frame]) -> None:
        self._turn = turn
        self._frames = frames

    def __await__(self) -> Generator[object, object, None]:
        return self._turn.send(self._frames).__await__()
