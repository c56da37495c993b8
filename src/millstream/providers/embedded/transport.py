"""The embedded model as an upstream in the OpenAI Chat dialect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from millstream.core.errors import Kind, UpstreamFault
from millstream.dialects.base import Headers, UpstreamRequest
from millstream.providers.base import ReadReply
from millstream.providers.embedded.options import EmbeddedOptions
from millstream.providers.embedded.process import LlamaProcess
from millstream.providers.embedded.wording import PromptFrames, WholeReply, fault_of, request_body
from millstream.providers.transport import HttpReply, HttpTransport, Waits

_NAME = "the embedded model"
_ERROR_BODY = 64 * 1024
_BUSY_RETRY_S = 5.0
_DYING_S = 1.0


class EmbeddedReply(ReadReply):
    """An answer under way. It holds one of the model's slots until its end. Implements ``providers.base.Reply``."""

    def __init__(self, inner: HttpReply, process: LlamaProcess, leave: Callable[[], None]) -> None:
        self._inner = inner
        self._process = process
        self._leave: Callable[[], None] | None = leave
        streams = inner.headers.get("content-type") == "text/event-stream"
        self._wording = PromptFrames() if streams else WholeReply()
        self._ended = False

    @property
    def status(self) -> int:
        return self._inner.status

    @property
    def headers(self) -> Headers:
        return self._inner.headers

    async def read(self) -> bytes:
        """The next bytes; ``b""`` at the end. Raises ``UpstreamFault`` if the model's process broke off."""
        out = b""
        while not out and not self._ended:
            data = await self._read()
            out = self._wording.feed(data)
            if not data:
                self._ended = True
                self.close()
                return self._wording.finish()
        return out

    async def _read(self) -> bytes:
        try:
            return await self._inner.read()
        except UpstreamFault as fault:
            self.close()
            if not await asyncio.to_thread(self._process.ended_within, _DYING_S):
                raise
            message = f"the embedded model's process ended while it answered ({self._process.end})"
            raise UpstreamFault(message, Kind.TRUNCATED) from fault

    def close(self) -> None:
        """Stop generating. llama.cpp notices with the next token, or after the batch of the prompt it is reading."""
        self._inner.close()
        if self._leave is not None:
            self._leave()
            self._leave = None


class EmbeddedTransport:
    """Loads the model with the first request, or with ``load``. Implements ``providers.base.Transport``.

    llama.cpp runs in a process of its own because its Python binding holds the interpreter while a model loads and
    while one is let go of, for up to half a minute. A crash of it also ends no other stream; the next request loads
    the model again.
    """

    def __init__(self, options: EmbeddedOptions) -> None:
        self._options = options
        self._slots = asyncio.Semaphore(options.slots)
        self._waiting = 0
        self._process: LlamaProcess | None = None
        self._http: HttpTransport | None = None
        self._loading: asyncio.Task[HttpTransport] | None = None

    async def load(self) -> None:
        """Have the model ready, fetching its file if need be. Raises ``UpstreamFault`` that says what is wrong."""
        await self._ready()

    async def open(self, request: UpstreamRequest, *, stream: bool) -> EmbeddedReply:
        """Raises ``UpstreamFault``: OVERLOADED if too many wait, UNREACHABLE if the model cannot be loaded, and each
        refusal of llama.cpp by its kind, such as CONTEXT_LENGTH."""
        body = request_body(request.body, stream=stream, own_template=self._options.model is None)
        http = await self._ready()
        await self._enter()
        try:
            reply = await self._send(http, UpstreamRequest("/v1" + request.path, body), stream=stream)
        except BaseException:
            self._slots.release()
            raise
        process = self._process
        if process is None:  # closed while the answer's head came
            reply.close()
            self._slots.release()
            raise UpstreamFault(f"{_NAME} was stopped", Kind.SHUTDOWN)
        return EmbeddedReply(reply, process, self._slots.release)

    async def count_tokens(self, prompt: str | bytes) -> int:
        """How many tokens the model makes of a bare text, or of a chat request given as its body's bytes."""
        if isinstance(prompt, str):
            request = UpstreamRequest("/tokenize", msgspec.json.encode({"content": prompt}))
        else:
            request = UpstreamRequest("/v1/chat/completions/input_tokens", prompt)
        reply = await self._send(await self._ready(), request, stream=False)
        try:
            counted = msgspec.json.decode(await reply.read_all(64 * 1024 * 1024), type=_Count)
        finally:
            reply.close()
        return len(counted.tokens) if isinstance(prompt, str) else counted.input_tokens

    async def aclose(self) -> None:
        """Ends the model's process, whatever it is doing. A later request starts it again."""
        await self._put_away()
        if self._loading is not None:
            await asyncio.gather(self._loading, return_exceptions=True)
            self._loading = None
            await self._put_away()

    async def _put_away(self) -> None:
        process, self._process = self._process, None
        http, self._http = self._http, None
        if process is not None:
            await asyncio.to_thread(process.stop)
        if http is not None:
            await http.aclose()

    async def _ready(self) -> HttpTransport:
        if self._http is not None and self._process is not None and self._process.alive:
            return self._http
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._load())
        # Others wait for the same load: one that leaves must not end it.
        return await asyncio.shield(self._loading)

    async def _load(self) -> HttpTransport:
        await self._put_away()  # what is left of one that crashed
        process = LlamaProcess(self._options)
        self._process = process
        await asyncio.to_thread(process.start)
        # llama.cpp's server closes kept connections when it likes, and a request that meets that moment fails.
        headers = {"authorization": f"Bearer {process.key}", "connection": "close"}
        self._http = HttpTransport(_NAME, process.address, headers, Waits())
        return self._http

    async def _enter(self) -> None:
        if self._waiting >= self._options.queue and self._slots.locked():
            message = f"{_NAME} is busy: {self._options.slots} answers under way, {self._waiting} requests waiting"
            raise UpstreamFault(message, Kind.OVERLOADED, retry_after=_BUSY_RETRY_S)
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1

    async def _send(self, http: HttpTransport, request: UpstreamRequest, *, stream: bool) -> HttpReply:
        reply = await http.open(request, stream=stream)
        if reply.status < 400:
            return reply
        try:
            body = await reply.read_all(_ERROR_BODY)
        finally:
            reply.close()
        raise fault_of(reply.status, body)


class _Count(msgspec.Struct):
    tokens: list[int] = []
    input_tokens: int = 0
