"""A front end of AG-UI that lets ``ag-ui-validate`` watch all that it is told: ``python ag_ui_client.py URL MODEL``.

It prints what was found, case by case, as JSON. It runs where that package is, which is not where millstream is.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from copy import deepcopy
from typing import Any

import httpx
from ag_ui_validate.transport import TransportOptions, validate_endpoint
from ag_ui_validate.types import ValidatorOptions

PAINT = {"name": "paint", "description": "Paints the page.", "parameters": {"type": "object"}}
_LIMIT_MS = 30_000


class Front:
    """One conversation, kept as ``HttpAgent`` keeps it."""

    def __init__(self, base: str, model: str) -> None:
        self._base = base
        self._model = model
        self._thread = uuid.uuid4().hex
        self.messages: list[dict[str, Any]] = []
        self.findings: list[dict[str, str]] = []
        self.ends: list[str] = []
        self.events: list[dict[str, Any]] = []
        """Of the last run."""
        self._speaking = asyncio.Event()

    def say(self, text: str) -> None:
        self.messages.append({"id": uuid.uuid4().hex, "role": "user", "content": text})

    async def run(self, *, stop: bool = False, **more: Any) -> dict[str, Any]:
        """Everything of one run; ``stop`` it once something was said. Returns its input, for another reader."""
        given: dict[str, Any] = {"threadId": self._thread, "runId": uuid.uuid4().hex, "tools": [], "context": []}
        given |= {"messages": deepcopy(self.messages), "state": {}, "forwardedProps": {"model": self._model}, **more}
        stopping = asyncio.create_task(self._stop(given["runId"])) if stop else None
        await self.read(given)
        if stopping is not None:
            await stopping
        self._keep()
        return given

    async def read(self, given: dict[str, Any], **severities: str) -> None:
        self.events = []
        options = TransportOptions(
            ValidatorOptions(severity_overrides=severities),
            input=given,
            timeout_ms=_LIMIT_MS,
            on_event=lambda raw, _: self._heard(raw),
        )
        told = await validate_endpoint(f"{self._base}/agui", options)
        self.findings += [
            {"rule": one.rule, "severity": one.severity, "message": one.message} for one in told.report.diagnostics
        ]
        last = self.events[-1]
        self.ends.append(last["outcome"]["type"] if last["type"] == "RUN_FINISHED" else last["type"])

    async def read_again(self, given: dict[str, Any]) -> None:
        """What is over is told at once, which the judge would take for a buffer on the way."""
        await self.read(given, AGUI507="off")

    async def answer(self, *payloads: Any, status: str = "resolved") -> dict[str, Any]:
        """To every question of the last run, in turn."""
        asked = self.events[-1]["outcome"]["interrupts"]
        said = payloads or (None,) * len(asked)
        resume = [
            {"interruptId": one["id"], "status": status} | ({} if payload is None else {"payload": payload})
            for one, payload in zip(asked, said, strict=True)
        ]
        return await self.run(resume=resume)

    def _heard(self, raw: str) -> None:
        self.events.append(json.loads(raw))
        if self.events[-1]["type"] == "TEXT_MESSAGE_CONTENT":
            self._speaking.set()

    async def _stop(self, run_id: str) -> None:
        await self._speaking.wait()
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.post(f"{self._base}/api/v1/runs/{run_id}/cancel")

    def _keep(self) -> None:
        for event in self.events:
            match event["type"]:
                case "MESSAGES_SNAPSHOT":
                    self.messages = list(event["messages"])
                case "TEXT_MESSAGE_START":
                    self._message(event["messageId"])["content"] = ""
                case "TEXT_MESSAGE_CONTENT":
                    self._message(event["messageId"])["content"] += event["delta"]
                case "TOOL_CALL_START":
                    call = {"id": event["toolCallId"], "type": "function"}
                    call["function"] = {"name": event["toolCallName"], "arguments": ""}
                    self._message(event["parentMessageId"]).setdefault("toolCalls", []).append(call)
                case "TOOL_CALL_ARGS":
                    calls = [call for message in self.messages for call in message.get("toolCalls", ())]
                    call = next(call for call in calls if call["id"] == event["toolCallId"])
                    call["function"]["arguments"] += event["delta"]
                case "TOOL_CALL_RESULT":
                    said = {"role": "tool", "toolCallId": event["toolCallId"], "content": event["content"]}
                    self.messages.append({"id": event["messageId"], **said})

    def _message(self, name: str) -> dict[str, Any]:
        found = next((message for message in self.messages if message["id"] == name), None)
        if found is None:
            found = {"id": name, "role": "assistant"}
            self.messages.append(found)
        return found


async def question(front: Front) -> None:
    front.say("Hello!")
    await front.run()
    front.say("Hello again!")
    again = await front.run()
    await front.read_again(again)


async def tools(front: Front) -> None:
    front.say("read it")
    await front.run()


async def tools_of_the_page(front: Front) -> None:
    front.say("paint it")
    await front.run(tools=[PAINT])
    call = front.messages[-1]["toolCalls"][0]
    front.messages.append({"id": "painted", "role": "tool", "toolCallId": call["id"], "content": "It is red."})
    await front.run(tools=[PAINT])


async def approvals(front: Front) -> None:
    front.say("list it")
    await front.run()
    again = await front.answer({"approved": True}, {"approved": False, "reason": "not that one"})
    await front.read_again(again)
    front.say("Hello!")
    await front.run()


async def cancelled_approvals(front: Front) -> None:
    front.say("list it")
    await front.run()
    await front.answer(status="cancelled")


async def input_of_a_tool(front: Front) -> None:
    front.say("book it")
    await front.run()
    again = await front.answer({"action": "accept", "content": {"day": "Monday"}})
    await front.read_again(again)
    front.say("book it")
    await front.run()
    await front.answer({"action": "decline"})


async def failure(front: Front) -> None:
    front.say("break it")
    await front.run()


async def refusal(front: Front) -> None:
    front.say("refuse it")
    await front.run()


async def stop(front: Front) -> None:
    front.say("wait for it")
    await front.run(stop=True)


CASES = (
    question,
    tools,
    tools_of_the_page,
    approvals,
    cancelled_approvals,
    input_of_a_tool,
    failure,
    refusal,
    stop,
)


async def main(base: str, model: str) -> None:
    found = []
    for case in CASES:
        front = Front(base, model)
        await case(front)
        found.append({"case": case.__name__, "ends": front.ends, "findings": front.findings})
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
