"""The endpoints that answer at once: which tools there are, which model a request needs, and whether a tool may run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Literal

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from millstream.agent.approval import Verdict
from millstream.agent.exchange import Agent
from millstream.core.errors import ClientFault, Kind, MillstreamError
from millstream.core.messages import Request, Tool
from millstream.dialects.chat_events import ChatErrors
from millstream.pipeline import Gateway
from millstream.policy.auto import AUTO, Auto
from millstream.server.agent.asking import ApproveAsk, RouteAsk, read_as
from millstream.server.deliver import ClientGone
from millstream.server.guard import send_error
from millstream.server.plain.asking import Ask, request_of
from millstream.server.runs.manager import unreachable
from millstream.server.runs.questions import Questions
from millstream.server.wire import read_body
from millstream.sessions.base import StoreError

Question = Literal["tools", "route", "approve"]


class SmallAnswers:
    """Makes an ASGI application for each."""

    def __init__(self, gateway: Gateway, agent: Agent, questions: Questions, max_body: int) -> None:
        self._gateway = gateway
        self._agent = agent
        self._questions = questions
        self._max_body = max_body

    def __call__(self, question: Question) -> ASGIApp:
        answers: dict[str, Callable[[Scope, bytes], Awaitable[dict[str, Any]]]] = {
            "tools": self._tools,
            "route": self._route,
            "approve": self._approve,
        }
        return _Answer(answers[question], self._max_body)

    async def _tools(self, scope: Scope, body: bytes) -> dict[str, Any]:
        listing = await self._agent.toolbox.list()
        tools = [
            {
                "name": tool.name,
                "description": tool.spec.description,
                "source": tool.spec.source,
                "parameters": tool.spec.parameters,
                "permission": tool.permission,
                "timeout": tool.timeout,
            }
            for tool in listing.tools.values()
        ]
        return {"tools": tools, "missing": list(listing.missing)}

    async def _route(self, scope: Scope, body: bytes) -> dict[str, Any]:
        ask = read_as(RouteAsk, body)
        plain = request_of(Ask(ask.query, ask.messages, system=ask.system), AUTO, self._gateway.dialects["openai_chat"])
        choice = (self._gateway.auto or Auto()).choose(_with_tools(plain, ask))
        route = self._gateway.routes.resolve(choice.model or self._gateway.routes.default)
        return {
            "complexity": choice.complexity,
            "model": route.name,
            "reason": choice.reason,
            "signals": asdict(choice.signals),
        }

    async def _approve(self, scope: Scope, body: bytes) -> dict[str, Any]:
        ask = read_as(ApproveAsk, body)
        run_id = scope["path_params"]["run_id"]
        try:
            answered = await self._questions.give(run_id, ask.id, Verdict(ask.approved, ask.reason, ask.content))
        except ClientFault as fault:
            if fault.kind is not Kind.NOT_FOUND:
                raise
            answered = []  # also a run that is not kept may ask, while it is here
        except StoreError as error:
            raise unreachable(error) from error
        if not answered:
            message = f"run {run_id!r} waits for no approval" + (f" {ask.id!r}" if ask.id else "")
            raise ClientFault(message, Kind.NOT_FOUND, code="approval_not_found")
        return {"run_id": run_id, "answered": answered, "approved": ask.approved}


def _with_tools(request: Request, ask: RouteAsk) -> Request:
    tools = tuple(Tool(tool if isinstance(tool, str) else str(tool.get("name", "tool"))) for tool in ask.tools)
    return msgspec.structs.replace(request, tools=tools)


class _Answer:
    def __init__(self, answer: Callable[[Scope, bytes], Awaitable[dict[str, Any]]], max_body: int) -> None:
        self._answer = answer
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            data = msgspec.json.encode(await self._answer(scope, await read_body(scope, receive, self._max_body)))
        except ClientGone:
            return
        except MillstreamError as error:
            await send_error(send, ChatErrors(), error)
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": data})
