"""An MCP server over streamable HTTP that misbehaves on request, byte by byte so that nothing keeps it from doing so.

Its tools are named after what they do; ``wait`` answers once ``release`` was called. ``mcp_naughty_http.py PORT
[MANNER]``: says ``listening on port N`` on standard error. MANNER ``mute`` answers nothing at all, ``clinging`` not the
end of its session; ``hasty`` ends its own stream at once and wants it asked for again at once.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from raw_upstream import JSON, Call, RawUpstream

HUGE = 100 * 1024 * 1024
PIECE = b"x" * 1024 * 1024


def message(**fields: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **fields}).encode()


def result(number: Any, words: str) -> bytes:
    return message(id=number, result={"content": [{"type": "text", "text": words}]})


def event(data: bytes) -> bytes:
    return b"event: message\ndata: " + data + b"\n\n"


class Server:
    def __init__(self, manner: str) -> None:
        self.manner = manner
        self.released = asyncio.Event()
        self.gets = 0
        self.over: list[str] = []
        """Calls that have ended, or whose client is gone."""

    async def answer(self, call: Call) -> None:
        if self.manner == "mute" or (self.manner == "clinging" and call.method == "DELETE"):
            await asyncio.Event().wait()
        if call.method == "GET":
            await self._own_stream(call)
        elif call.method == "DELETE":
            await call.answer(204, b"")
        else:
            await self._post(call, json.loads(call.body))

    async def _own_stream(self, call: Call) -> None:
        self.gets += 1
        if self.manner == "hasty":
            await call.stream(b"retry: 0\nid: 1\ndata:\n\n")
        else:
            await call.answer(405, b"")

    async def _post(self, call: Call, asked: dict[str, Any]) -> None:
        number, params = asked.get("id"), asked.get("params") or {}
        match asked.get("method"):
            case "initialize":
                about = {"serverInfo": {"name": "naughty", "version": "1"}, "capabilities": {"tools": {}}}
                told = message(id=number, result={"protocolVersion": "2025-06-18", **about})
                session = {} if self.manner == "" else {"mcp-session-id": "s1"}
                await call.answer(200, told, {**JSON, **session})
            case "tools/list":
                tools = [{"name": name, "inputSchema": {"type": "object"}} for name in [*TOOLS, *BASIC]]
                await call.answer(200, message(id=number, result={"tools": tools}))
            case "tools/call":
                token = (params.get("_meta") or {}).get("progressToken")
                await self._tool(call, params["name"], number, token)
            case _ if number is None:
                await call.answer(202, b"")
            case _:
                await call.answer(200, message(id=number, error={"code": -32601, "message": "Method not found"}))

    async def _tool(self, call: Call, name: str, number: Any, token: Any) -> None:
        match name:
            case "echo":
                await call.answer(200, result(number, "here"))
            case "gets":
                await call.answer(200, result(number, str(self.gets)))
            case "wait":
                await self.released.wait()
                self.released.clear()
                await call.answer(200, result(number, "released"))
            case "release":
                self.released.set()
                await call.answer(200, result(number, "done"))
            case "over":
                await call.answer(200, result(number, " ".join(self.over)))
            case _:
                try:
                    await TOOLS[name](call, number, token)
                finally:
                    self.over.append(name)


async def hang(call: Call, number: Any, token: Any) -> None:
    await call.head()
    await call.send(b": one moment\n\n")
    await call.gone()


async def say_nothing(call: Call, number: Any, token: Any) -> None:
    await call.gone()


async def flood(call: Call, number: Any, token: Any) -> None:
    step = message(method="notifications/progress", params={"progressToken": token, "progress": 1})
    await call.head()
    while True:
        await call.send(event(step) * 100)


async def chatter(call: Call, number: Any, token: Any) -> None:
    await call.head()
    while True:
        await call.send(b": x\n\n" * 10_000)


async def reset(call: Call, number: Any, token: Any) -> None:
    call.reset()


async def cut_json(call: Call, number: Any, token: Any) -> None:
    await call.head(headers=JSON)
    await call.send(result(number, "half")[:20])
    call.cut()


async def cut_stream(call: Call, number: Any, token: Any) -> None:
    await call.head()
    step = message(method="notifications/progress", params={"progressToken": token, "progress": 1})
    await call.send(event(step))
    call.cut()


async def huge_json(call: Call, number: Any, token: Any) -> None:
    await call.head(headers=JSON)
    await call.send(b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"')
    for _ in range(HUGE // len(PIECE)):
        await call.send(PIECE)
    await call.send(b'"}]}}')
    await call.end()


async def huge_event(call: Call, number: Any, token: Any) -> None:
    await call.head()
    await call.send(b"data: ")
    for _ in range(HUGE // len(PIECE)):
        await call.send(PIECE)
    await call.send(b"\n\n")
    await call.end()


async def packed(call: Call, number: Any, token: Any) -> None:
    """100 MB that come as 100 kB."""
    await call.answer(200, gzip.compress(result(number, "x" * HUGE), 1), {**JSON, "content-encoding": "gzip"})


async def page(call: Call, number: Any, token: Any) -> None:
    await call.answer(200, b"<h1>Welcome</h1>", {"content-type": "text/html"})


async def junk_json(call: Call, number: Any, token: Any) -> None:
    await call.answer(200, b'{"hello')


async def junk_event(call: Call, number: Any, token: Any) -> None:
    await call.stream(event(b"hello"))


async def no_result(call: Call, number: Any, token: Any) -> None:
    await call.answer(200, message(id=number, result={"content": "no list"}))


async def nothing(call: Call, number: Any, token: Any) -> None:
    await call.stream()


async def broken(call: Call, number: Any, token: Any) -> None:
    await call.answer(500, b"oh no", {"content-type": "text/plain"})


async def forgetful(call: Call, number: Any, token: Any) -> None:
    await call.answer(404, b"no such session", {"content-type": "text/plain"})


async def elsewhere(call: Call, number: Any, token: Any) -> None:
    await call.answer(307, b"", {"location": "http://127.0.0.1:9/mcp"})


async def die(call: Call, number: Any, token: Any) -> None:
    os._exit(7)


TOOLS: dict[str, Callable[[Call, Any, Any], Awaitable[None]]] = {
    work.__name__: work
    for work in (
        *(hang, say_nothing, flood, chatter, reset, cut_json, cut_stream, huge_json, huge_event, packed),
        *(page, junk_json, junk_event, no_result, nothing, broken, forgetful, elsewhere, die),
    )
}
BASIC = ("echo", "gets", "over", "wait", "release")


async def main() -> None:
    server = Server(sys.argv[2] if len(sys.argv) > 2 else "")
    with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
        async with RawUpstream(server.answer, listener=listener):
            sys.stderr.write(f"listening on port {listener.getsockname()[1]}\n")
            sys.stderr.flush()
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
