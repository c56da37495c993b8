"""An upstream that says what a test tells it, when it tells it, for tests that wait for a browser meanwhile."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from raw_upstream import Call, RawUpstream
from wires import ChatWire

_LIMIT_S = 30.0


class Line:
    """One request to the model, and its answer as far as the test has let it be said."""

    def __init__(self, call: Call) -> None:
        self.request: dict[str, Any] = json.loads(call.body)
        self.over = asyncio.Event()
        self._call = call
        self._wire = ChatWire()
        self._loop = asyncio.get_running_loop()
        self._calls = 0

    @property
    def question(self) -> Any:
        """What the last message says."""
        return self.request["messages"][-1]["content"]

    def say(self, words: str) -> None:
        self._send(self._wire.text(0, words))

    def use(self, tool: str, **arguments: Any) -> None:
        self._calls += 1
        self._send(
            self._wire.tool(self._calls, f"call_{id(self)}_{self._calls}", tool)
            + self._wire.arguments(self._calls, json.dumps(arguments))
        )

    def end(self) -> None:
        self._send(self._wire.end("tools" if self._calls else "stop"))
        self._wait(self._call.end())
        self._leave()

    def answer(self, text: str) -> None:
        """All of it, streamed or whole as it was asked for."""
        if self.request.get("stream"):
            self.say(text)
            self.end()
        else:
            self._wait(self._call.answer(200, self._wire.reply(text)))
            self._leave()

    def fail(self, message: str) -> None:
        """With an error in the stream."""
        self._send(self._wire.error("internal", message))
        self._wait(self._call.end())
        self._leave()

    def gone(self) -> None:
        """Waits until the gateway lets go of the answer."""
        self._wait(self._call.gone())
        self._leave()

    async def begin(self) -> None:
        if self.request.get("stream"):
            await self._call.head()
            await self._call.send(self._wire.start())

    def _send(self, data: bytes) -> None:
        self._wait(self._call.send(data))

    def _wait(self, work: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_LIMIT_S)

    def _leave(self) -> None:
        self._loop.call_soon_threadsafe(self.over.set)


class Prompted:
    """Use it with ``with``. ``url`` is where it is (OpenAI's Chat API)."""

    def __init__(self) -> None:
        self._lines: queue.Queue[Line] = queue.Queue()
        self._up: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.url = self._up.result(_LIMIT_S)[0]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _, loop, end = self._up.result(_LIMIT_S)
        loop.call_soon_threadsafe(end.set)
        self._thread.join(_LIMIT_S)

    def line(self) -> Line:
        """The next request, waited for. Raises ``queue.Empty``."""
        return self._lines.get(timeout=_LIMIT_S)

    def is_quiet(self) -> bool:
        """Nothing was asked that no test has taken."""
        return self._lines.empty()

    def forget(self) -> None:
        """Whatever was asked and not taken."""
        while not self._lines.empty():
            self._lines.get()

    async def _run(self) -> None:
        async with RawUpstream(self._answer) as server:
            end = asyncio.Event()
            self._up.set_result((f"{server.url}/v1", asyncio.get_running_loop(), end))
            await end.wait()

    async def _answer(self, call: Call) -> None:
        line = Line(call)
        await line.begin()
        self._lines.put(line)
        await line.over.wait()
