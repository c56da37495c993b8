"""A run's entries → AG-UI events, each with an ``id`` by which a client can take the stream up again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from millstream.core import events as ev
from millstream.core import run_events as app
from millstream.core.errors import Kind, MillstreamError
from millstream.core.messages import Usage
from millstream.core.opaque import wrap
from millstream.core.run_events import RunEntry
from millstream.core.timestamps import timestamp
from millstream.dialects.ag_ui import NAME
from millstream.dialects.ag_ui.request import History
from millstream.dialects.fronts import Question, RunView, question_id, shown

KEEPALIVE = b": keep-alive\n\n"
Place = tuple[int, int]
"""Of an event: the number of its entry, and its place within it."""

ANSWER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"approved": {"type": "boolean"}, "reason": {"type": "string"}},
    "required": ["approved"],
}
_NO_HISTORY = History()
_encode = msgspec.json.Encoder().encode


class AgUiView(RunView):
    """For the run that the client calls ``client_run`` in ``thread``; ``run_id`` is the one it is of here. ``after`` is
    the place of the last event that the client has. Questions may be answered for ``patience`` seconds. ``history`` is
    the conversation that came with the answer that a run goes on from."""

    carries_inputs = True

    def __init__(
        self,
        run_id: str,
        client_run: str,
        thread: str,
        is_open: Callable[[str], bool],
        *,
        since: str | None = None,
        after: Place = (0, -1),
        patience: float = 300.0,
        history: History = _NO_HISTORY,
    ) -> None:
        super().__init__(is_open, since)
        self._run_id = run_id
        self._ids = {"threadId": thread, "runId": client_run}
        self._after = after
        self._patience = patience
        self._history = history
        self._model = ""
        self._step = 0
        self._in_step = False
        self._parent: str | None = None
        """The assistant's message that calls of this step belong to."""
        self._texts: dict[int, str] = {}
        self._thoughts: dict[int, str] = {}
        self._calls: dict[int, str] = {}
        self._told: set[str] = set()
        """Calls that have begun."""
        self._begun: set[str] = set()
        """Calls of tools that run here, whose arguments are still to be told."""
        self._fault: ev.Fault | None = None
        self._server_calls: set[str] = set()
        self._silent = True

    def render(self, entries: Sequence[RunEntry]) -> bytes:
        found = [one for one in self.chunks(entries) if one[2]]
        frames = [
            b"id: %d-%d\ndata: %b\n\n" % (number, place, chunk)
            for number, place, chunk in found
            if (number, place) > self._after
        ]
        self._silent = self._silent and not frames
        if found and self._silent and (self.paused or isinstance(entries[-1].event, app.RunEnd)):
            # It has all of it, but its wire broke before the response ended: TanStack AI takes one without an end for a
            # failure, and an end with a place that it knows for none.
            frames.append(b"data: %b\n\n" % found[-1][2])
        return b"".join(frames)

    def keepalive(self) -> bytes:
        return KEEPALIVE

    def failure(self, error: MillstreamError) -> bytes:
        said = {"type": "RUN_ERROR", "message": error.message, "code": error.code or error.kind.value}
        return b"data: %b\n\n" % _encode(said)

    def opening(self) -> list[bytes]:
        return [_encode({"type": "RUN_STARTED", **self._ids})]

    def reopening(self) -> list[bytes]:
        """A result is of a call that this run has told of, and calls are not told twice: so the history tells of it.
        One that knows nothing of the call may not be all that the client has, and would replace it."""
        knows = not self._history.calls.isdisjoint(self._told)
        snapshot = b'{"type":"MESSAGES_SNAPSHOT","messages":%b}' % self._history.messages if knows else b""
        return [*self.opening(), snapshot]

    def pause(self, asked: Sequence[Question], at: int) -> list[bytes]:
        expires = timestamp(at + int(self._patience * 1000))
        interrupts = [
            {
                "id": question_id(self._run_id, one.id),
                "toolCallId": one.call_id,
                "expiresAt": expires,
                **_interrupt(one),
                "metadata": {"tool": one.tool, "runId": self._run_id, **_about(one)},
            }
            for one in asked
        ]
        outcome = {"type": "interrupt", "interrupts": interrupts}
        said = [*self._end_step(), {"type": "RUN_FINISHED", **self._ids, "outcome": outcome}]
        return [_encode(event) for event in said]

    def say(self, entry: RunEntry) -> list[bytes]:
        event = entry.event
        if type(event) is ev.TextDelta:
            if not event.text:
                return []
            message = _encode(self._texts[event.index])
            said = (message, _encode(event.text), entry.at)
            return [b'{"type":"TEXT_MESSAGE_CONTENT","messageId":%b,"delta":%b,"timestamp":%d}' % said]
        if isinstance(event, app.RunStart):
            self._model = event.model
            return self.opening()
        return [_encode({**said, "timestamp": entry.at}) for said in self._events(event)]

    def _events(self, event: app.RunEvent) -> list[dict[str, Any]]:
        match event:
            case ev.TextStart():
                message = self._texts[event.index] = self._parent = f"{self._run_id}-{event.index}"
                return [{"type": "TEXT_MESSAGE_START", "messageId": message, "role": "assistant"}]
            case ev.TextEnd():
                return [{"type": "TEXT_MESSAGE_END", "messageId": self._texts.pop(event.index)}]
            case ev.ReasoningStart():
                return self._thought(event)
            case ev.ReasoningDelta():
                message = self._thoughts[event.index]
                said = {"type": "REASONING_MESSAGE_CONTENT", "messageId": message, "delta": event.text}
                return [said] if event.text else []
            case ev.ReasoningEnd():
                signature = None if event.signature is None else wrap(event.signature, NAME)
                return self._end_thought(event.index, signature)
            case ev.ToolCallStart():
                self._calls[event.index] = event.id
                if event.kind == "server":
                    self._server_calls.add(event.id)
                return [self._call(event.id, event.name)]
            case ev.ToolCallDelta():
                return [{"type": "TOOL_CALL_ARGS", "toolCallId": self._calls[event.index], "delta": event.arguments}]
            case ev.ToolCallEnd():
                return [{"type": "TOOL_CALL_END", "toolCallId": self._calls.pop(event.index)}]
            case ev.ServerToolResult():
                text = event.text if event.text is not None else _encode(event.data).decode()
                return [self._result(event.call_id, text)] if event.call_id in self._server_calls else []
            case ev.Citation():
                value = {"url": event.url, "title": event.title, "citedText": event.cited_text}
                return [_custom("source", value)]
            case ev.Media():
                return [_custom("file", {"mimeType": event.media_type, "data": event.data, "url": event.url})]
            case ev.Fault():
                self._fault = event
                return []
            case _:
                return self._app_events(event)

    def _app_events(self, event: app.RunEvent) -> list[dict[str, Any]]:
        match event:
            case app.StepStart():
                ended = self._end_step()
                self._step, self._in_step, self._parent = event.number, True, None
                return [*ended, {"type": "STEP_STARTED", "stepName": f"step {event.number}"}]
            case app.ToolDetected():
                self._begun.add(event.call_id)
                return [self._call(event.call_id, event.tool)]
            case app.ToolRunStart() | app.ApprovalAsked():
                return self._arguments(event.call_id, event.arguments)
            case app.ToolRunProgress():
                value = {"toolCallId": event.call_id, "tool": event.tool, "message": event.message}
                return [_custom("tool_progress", value | {"current": event.current, "total": event.total})]
            case app.ToolRunEnd():
                result = self._result(event.call_id, shown(event.content))
                if event.is_error:
                    result["metadata"] = {"isError": True}
                return [*self._arguments(event.call_id, ""), result]
            case app.ApprovalGiven():
                value = {"id": question_id(self._run_id, event.id), "toolCallId": event.call_id}
                return [_custom("approval", value | {"approved": event.approved, "reason": event.reason})]
            case app.InputGiven():
                value = {"id": question_id(self._run_id, event.id), "toolCallId": event.call_id}
                return [_custom("input", value | {"action": event.action})]
            case app.Switched():
                return [_custom("status", {"status": "switched", "message": f"{event.model}: {event.reason}"})]
            case app.Status():
                return [_custom("status", {"status": event.status, "message": event.message})]
            case app.Context():
                return [_custom("context", {"intent": event.intent, "entities": dict(event.entities)})]
            case app.Suggestions():
                return [_custom("suggestions", list(event.items))]
            case app.RunEnd():
                return self._end(event)
            case _:
                return []  # what the model's API alone is about

    def _thought(self, event: ev.ReasoningStart) -> list[dict[str, Any]]:
        message = self._thoughts[event.index] = f"{self._run_id}-{event.index}"
        said: list[dict[str, Any]] = [
            {"type": "REASONING_START", "messageId": message},
            {"type": "REASONING_MESSAGE_START", "messageId": message, "role": "reasoning"},
        ]
        if event.redacted is not None:
            said.append(_encrypted(message, "redacted:" + wrap(event.redacted, NAME)))
        return said

    def _end_thought(self, index: int, signature: str | None) -> list[dict[str, Any]]:
        message = self._thoughts.pop(index)
        said = [{"type": "REASONING_MESSAGE_END", "messageId": message}]
        if signature is not None:
            said.append(_encrypted(message, signature))
        return [*said, {"type": "REASONING_END", "messageId": message}]

    def _call(self, call_id: str, tool: str) -> dict[str, Any]:
        self._told.add(call_id)
        self._parent = self._parent or f"{self._run_id}-s{self._step}"
        said = {"type": "TOOL_CALL_START", "toolCallId": call_id, "toolCallName": tool}
        return said | {"parentMessageId": self._parent}

    def _arguments(self, call_id: str, arguments: str) -> list[dict[str, Any]]:
        if call_id not in self._begun:
            return []
        self._begun.discard(call_id)
        said = [{"type": "TOOL_CALL_ARGS", "toolCallId": call_id, "delta": arguments}] if arguments else []
        return [*said, {"type": "TOOL_CALL_END", "toolCallId": call_id}]

    def _result(self, call_id: str, content: str) -> dict[str, Any]:
        said = {"type": "TOOL_CALL_RESULT", "messageId": f"{call_id}-result", "toolCallId": call_id}
        return said | {"content": content, "role": "tool"}

    def _end_step(self) -> list[dict[str, Any]]:
        """With all that is open in it, as after a fault."""
        said: list[dict[str, Any]] = [{"type": "TEXT_MESSAGE_END", "messageId": one} for one in self._texts.values()]
        self._texts.clear()
        said += [event for index in list(self._thoughts) for event in self._end_thought(index, None)]
        open_calls = [*self._calls.values(), *sorted(self._begun)]
        said += [{"type": "TOOL_CALL_END", "toolCallId": call_id} for call_id in open_calls]
        self._calls.clear()
        self._begun.clear()
        if self._in_step:
            self._in_step = False
            said.append({"type": "STEP_FINISHED", "stepName": f"step {self._step}"})
        return said

    def _end(self, end: app.RunEnd) -> list[dict[str, Any]]:
        usage = {"usage": [_usage(end.usage, self._model)]} if end.usage is not None else {}
        fault = self._fault
        if fault is None:
            said = {"type": "RUN_FINISHED", **self._ids, "outcome": {"type": "success"}}
        elif fault.kind is Kind.CANCELLED:
            said = {"type": "RUN_FINISHED", **self._ids, "outcome": {"type": "cancelled"}}
        else:
            said = {"type": "RUN_ERROR", "message": fault.message, "code": fault.code or fault.kind.value}
        return [*self._end_step(), said | usage]


def _interrupt(asked: Question) -> dict[str, Any]:
    """A tool's question has MCP's three answers; a form's values go with ``accept``."""
    if isinstance(asked, app.ApprovalAsked):
        return {"reason": "tool_call", "message": f"May {asked.tool} run?", "responseSchema": ANSWER_SCHEMA}
    fields: dict[str, Any] = {"action": {"type": "string", "enum": ["accept", "decline", "cancel"]}}
    if asked.schema is not None:
        fields["content"] = asked.schema
    schema = {"type": "object", "properties": fields, "required": ["action"]}
    return {"reason": "input_required", "message": asked.message, "responseSchema": schema}


def _about(asked: Question) -> dict[str, Any]:
    if isinstance(asked, app.ApprovalAsked):
        return {"arguments": asked.arguments}
    return {"source": asked.source} | ({} if asked.url is None else {"url": asked.url})


def _custom(name: str, value: Any) -> dict[str, Any]:
    return {"type": "CUSTOM", "name": f"millstream.{name}", "value": value}


def _encrypted(message: str, value: str) -> dict[str, Any]:
    said = {"type": "REASONING_ENCRYPTED_VALUE", "subtype": "message", "entityId": message}
    return said | {"encryptedValue": value}


def _usage(usage: Usage, model: str) -> dict[str, Any]:
    said: dict[str, Any] = {
        "model": model,
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.input_tokens + usage.output_tokens,
    }
    more = {
        "reasoningTokens": usage.reasoning_tokens,
        "cachedInputTokens": usage.cache_read_tokens,
        "cacheWriteInputTokens": usage.cache_write_tokens,
    }
    return said | {name: count for name, count in more.items() if count is not None}
