"""Gateways that keep replies, the official client of them, and upstreams to test both with."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from gateway_site import Site
from openai import AsyncOpenAI
from raw_upstream import Call
from wires import ChatWire

from millstream.config import Config, ResponsesConfig, SessionsConfig
from millstream.testing.gateway import GatewayThread

UPSTREAM = ChatWire()
MODEL = "openai_chat-up/m"


def config(site: Site, sessions: SessionsConfig | None = None, **responses: Any) -> Config:
    return msgspec.structs.replace(
        site.config(),
        responses=ResponsesConfig(**responses),
        sessions=sessions or SessionsConfig(store="memory"),
    )


@contextlib.asynccontextmanager
async def sdk(gateway: GatewayThread, key: str = "any") -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=gateway.url + "/v1", api_key=key, max_retries=0) as client:
        yield client


async def says(call: Call) -> None:
    """Says how many messages it was given, and the last of them."""
    messages = json.loads(call.body)["messages"]
    last = messages[-1]["content"]
    await call.stream(*UPSTREAM.answer(f"{len(messages)}: {last if isinstance(last, str) else last[0]['text']}"))


def said(item: Any) -> str:
    """The text of a message."""
    text: str = item.content[0].text
    return text


class Held:
    """An answer that goes on when the test lets it."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def __call__(self, call: Call) -> None:
        await call.head()
        await call.send(UPSTREAM.start() + UPSTREAM.text(0, "one", first=True))
        self.begun.set()
        going = asyncio.ensure_future(self.go_on.wait())
        leaving = asyncio.ensure_future(call.gone())
        await asyncio.wait({going, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if leaving.done():
            going.cancel()
            self.gone.set_result(leaving.result())
            return
        leaving.cancel()
        await asyncio.wait({leaving})
        await call.send(UPSTREAM.text(0, " two") + UPSTREAM.close(0) + UPSTREAM.end())
        await call.end()
