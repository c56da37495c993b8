"""A client of the Responses API's WebSocket, and an upstream that says what it was told."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from raw_upstream import Call
from websockets.asyncio.client import ClientConnection, connect
from wires import ChatWire

from millstream.testing.gateway import GatewayThread

UPSTREAM = ChatWire()
MODEL = "openai_chat-up/m"
NATIVE = "openai_responses-up/m"


@contextlib.asynccontextmanager
async def socket_to(
    gateway: GatewayThread, path: str = "/v1/responses", **options: Any
) -> AsyncIterator[ClientConnection]:
    url = f"{gateway.url.replace('http', 'ws', 1)}{path}"
    async with connect(url, proxy=None, **options) as found:
        yield found


async def ask(connection: ClientConnection, **fields: Any) -> None:
    await connection.send(json.dumps({"type": "response.create", "model": MODEL, "store": False, **fields}))


async def hear(connection: ClientConnection, ends: tuple[str, ...] = ("response.completed", "response.failed")) -> Any:
    """The events of one answer, to its last."""
    events: list[Any] = []
    while not events or events[-1]["type"] not in (*ends, "error"):
        events.append(json.loads(await connection.recv()))
    return events


async def answer_to(connection: ClientConnection, **fields: Any) -> Any:
    """The final response object."""
    await ask(connection, **fields)
    last = (await hear(connection))[-1]
    assert last["type"] == "response.completed", last
    return last["response"]


def text_of(response: Mapping[str, Any]) -> str:
    text: str = response["output"][-1]["content"][0]["text"]
    return text


async def says(call: Call) -> None:
    """Says how many messages it was given, and the last of them."""
    messages = json.loads(call.body)["messages"]
    last = messages[-1]["content"]
    await call.stream(*UPSTREAM.answer(f"{len(messages)}: {last if isinstance(last, str) else last[0]['text']}"))
