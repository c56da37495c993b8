"""A run's entries → parts of the UI message stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from millstream.core import events as ev
from millstream.core import run_events as app
from millstream.core.errors import Kind, MillstreamError
from millstream.core.messages import Opaque, Usage
from millstream.core.run_events import RunEntry
from millstream.dialects.fronts import Question, RunView, question_id, shown

Version = Literal[5, 6, 7]
"""Of the npm package ``ai``. 5 has no approvals and no finish reason; only 7 knows of an approval's answer."""

KEEPALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"
HEADERS = {"x-vercel-ai-ui-message-stream": "v1"}

_REASONS = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "context_window": "length",
    "tool_calls": "tool-calls",
    "content_filter": "content-filter",
    "refusal": "content-filter",
}
_encode = msgspec.json.Encoder().encode


class UiMessageView(RunView):
    """``skip`` chunks of it, which the client has, are left out. ``message_id`` is the message that grows."""

    def __init__(
        self,
        run_id: str,
        message_id: str,
        is_open: Callable[[str], bool],
        *,
        version: Version = 6,
        since: str | None = None,
        skip: int = 0,
    ) -> None:
        super().__init__(is_open if version > 5 else _never, since)
        self.count = 0
        """Chunks so far, those that were left out included."""
        self._run_id = run_id
        self._message_id = message_id
        self._version = version
        self._skip = skip
        self._model = ""
        self._in_step = False
        self._open: dict[int, str] = {}
        """Text and reasoning under way: block → the ending part's type."""
        self._calls: dict[int, tuple[str, str, str]] = {}
        """Calls whose arguments are under way: block → id, name, kind."""
        self._arguments: dict[int, list[str]] = {}
        self._told: set[str] = set()
        """Calls whose input was told."""
        self._denied: set[str] = set()
        self._sources: set[str] = set()
        self._fault: ev.Fault | None = None

    def render(self, entries: Sequence[RunEntry]) -> bytes:
        chunks = [chunk for _, _, chunk in self.chunks(entries)]
        before = self.count
        self.count += len(chunks)
        out = b"".join([b"data: %b\n\n" % chunk for chunk in chunks[max(0, self._skip - before) :]])
        ended = self.paused or (entries and isinstance(entries[-1].event, app.RunEnd))
        return out + DONE if ended else out

    def keepalive(self) -> bytes:
        return KEEPALIVE

    def failure(self, error: MillstreamError) -> bytes:
        chunks = [_encode({"type": "error", "errorText": error.message}), *self._finish("error", {})]
        return b"".join([b"data: %b\n\n" % chunk for chunk in chunks]) + DONE

    def opening(self) -> list[bytes]:
        metadata = {"runId": self._run_id, "model": self._model}
        return [_encode({"type": "start", "messageId": self._message_id, "messageMetadata": metadata})]

    def pause(self, asked: Sequence[Question], at: int) -> list[bytes]:
        return self._finish("tool-calls", {})

    def say(self, entry: RunEntry) -> list[bytes]:
        event = entry.event
        if type(event) is ev.TextDelta:
            delta = _encode(event.text)
            return [b'{"type":"text-delta","id":"b%d","delta":%b}' % (event.index, delta)] if event.text else []
        if isinstance(event, app.RunStart):
            self._model = event.model
            return self.opening()
        if isinstance(event, app.RunEnd):
            return self._end(event)
        return [_encode(part) for part in self._parts(event, entry.number)]

    def _parts(self, event: app.RunEvent, number: int) -> list[dict[str, Any]]:
        match event:
            case ev.TextStart():
                return self._start("text", event.index)
            case ev.ReasoningStart():
                return self._start("reasoning", event.index) if event.redacted is None else self._redacted(event)
            case ev.ReasoningDelta():
                return [{"type": "reasoning-delta", "id": f"b{event.index}", "delta": event.text}] if event.text else []
            case ev.TextEnd() | ev.ReasoningEnd():
                return self._close(event.index, event.signature)
            case ev.ToolCallStart():
                return self._call(event)
            case ev.ToolCallDelta():
                self._arguments[event.index].append(event.arguments)
                call_id = self._calls[event.index][0]
                return [{"type": "tool-input-delta", "toolCallId": call_id, "inputTextDelta": event.arguments}]
            case ev.ToolCallEnd():
                return self._called(event)
            case ev.ServerToolResult():
                output = event.text if event.text is not None else event.data
                said = {"type": "tool-output-available", "toolCallId": event.call_id, "output": output}
                return [said | {"providerExecuted": True, "dynamic": True}] if event.call_id in self._told else []
            case ev.Citation():
                return self._source(event, number)
            case ev.Media():
                url = event.url or f"data:{event.media_type};base64,{event.data or ''}"
                return [{"type": "file", "mediaType": event.media_type, "url": url}]
            case ev.Fault():
                self._fault = event
                return []
            case _:
                return self._app_parts(event)

    def _app_parts(self, event: app.RunEvent) -> list[dict[str, Any]]:
        match event:
            case app.StepStart():
                ended = self._end_step()
                self._in_step = True
                return [*ended, {"type": "start-step"}]
            case app.ToolDetected():
                said = {"type": "tool-input-start", "toolCallId": event.call_id, "toolName": event.tool}
                return [said | {"dynamic": True}]
            case app.ToolRunStart():
                return self._input(event.call_id, event.tool, event.arguments)
            case app.ToolRunProgress():
                data = {"toolCallId": event.call_id, "tool": event.tool}
                more = {"current": event.current, "total": event.total, "message": event.message}
                data |= {name: value for name, value in more.items() if value is not None}  # type: ignore[misc]  # str | float
                return [{"type": "data-tool-progress", "id": f"progress-{event.call_id}", "data": data}]
            case app.ToolRunEnd():
                return [self._output(event)]
            case app.ApprovalAsked():
                return [*self._input(event.call_id, event.tool, event.arguments), self._asked(event)]
            case app.ApprovalGiven():
                return self._given(event)
            case app.Switched():
                return [_status("switched", f"{event.model}: {event.reason}")]
            case app.Status():
                return [_status(event.status, event.message)]
            case app.Context():
                return [{"type": "data-context", "data": {"intent": event.intent, "entities": dict(event.entities)}}]
            case app.Suggestions():
                return [{"type": "data-suggestions", "data": list(event.items)}]
            case _:
                return []  # what the model's API alone is about

    def _start(self, kind: str, index: int) -> list[dict[str, Any]]:
        self._open[index] = f"{kind}-end"
        return [{"type": f"{kind}-start", "id": f"b{index}"}]

    def _close(self, index: int, signature: Opaque | None) -> list[dict[str, Any]]:
        kind = self._open.pop(index, None)
        if kind is None:
            return []
        said: dict[str, Any] = {"type": kind, "id": f"b{index}"}
        return [said | _signed("signature", signature)]

    def _redacted(self, event: ev.ReasoningStart) -> list[dict[str, Any]]:
        (start,) = self._start("reasoning", event.index)
        return [start | _signed("redacted", event.redacted)]

    def _call(self, event: ev.ToolCallStart) -> list[dict[str, Any]]:
        self._calls[event.index] = (event.id, event.name, event.kind)
        self._arguments[event.index] = []
        said = {"type": "tool-input-start", "toolCallId": event.id, "toolName": event.name}
        return [said | (_BY_PROVIDER if event.kind == "server" else {})]

    def _called(self, event: ev.ToolCallEnd) -> list[dict[str, Any]]:
        call_id, name, kind = self._calls.pop(event.index)
        text = "".join(self._arguments.pop(event.index))
        self._told.add(call_id)
        said: dict[str, Any] = {"toolCallId": call_id, "toolName": name}
        said |= _BY_PROVIDER if kind == "server" else {}
        if kind == "custom":
            return [{"type": "tool-input-available", **said, "input": text, **_signed("signature", event.signature)}]
        try:
            value = msgspec.json.decode(text or "{}")
        except msgspec.DecodeError:
            wrong = "the model wrote arguments that are not valid JSON"
            if self._version == 5:  # whose first releases refuse a whole stream for a ``tool-input-error``
                failed = {"type": "tool-output-error", "toolCallId": call_id, "errorText": wrong}
                return [failed | (_BY_PROVIDER if kind == "server" else {})]
            return [{"type": "tool-input-error", **said, "input": text, "errorText": wrong}]
        return [{"type": "tool-input-available", **said, "input": value, **_signed("signature", event.signature)}]

    def _input(self, call_id: str, tool: str, arguments: str) -> list[dict[str, Any]]:
        if call_id in self._told:
            return []
        self._told.add(call_id)
        value = msgspec.json.decode(arguments or "{}")
        said = {"type": "tool-input-available", "toolCallId": call_id, "toolName": tool}
        return [said | {"input": value, "dynamic": True}]

    def _output(self, event: app.ToolRunEnd) -> dict[str, Any]:
        said: dict[str, Any] = {"toolCallId": event.call_id, "dynamic": True}
        if event.call_id in self._denied and event.is_error and self._version > 5:
            return {"type": "tool-output-denied", "toolCallId": event.call_id}
        if event.is_error:
            return {"type": "tool-output-error", **said, "errorText": shown(event.content)}
        return {"type": "tool-output-available", **said, "output": shown(event.content)}

    def _asked(self, event: app.ApprovalAsked) -> dict[str, Any]:
        asked = question_id(self._run_id, event.id)
        if self._version > 5:
            return {"type": "tool-approval-request", "approvalId": asked, "toolCallId": event.call_id}
        data = {"id": event.id, "runId": self._run_id, "toolCallId": event.call_id, "tool": event.tool}
        return {"type": "data-approval", "id": asked, "data": data}

    def _given(self, event: app.ApprovalGiven) -> list[dict[str, Any]]:
        if not event.approved:
            self._denied.add(event.call_id)
        asked = question_id(self._run_id, event.id)
        if self._version == 5:
            data = {"id": event.id, "runId": self._run_id, "toolCallId": event.call_id, "approved": event.approved}
            return [{"type": "data-approval", "id": asked, "data": data}]
        if self._version == 6:
            return []
        said = {"type": "tool-approval-response", "approvalId": asked, "approved": event.approved}
        return [said | ({"reason": event.reason} if event.reason else {})]

    def _source(self, event: ev.Citation, number: int) -> list[dict[str, Any]]:
        """Each source once, however often it is cited."""
        key = event.url or event.title or event.cited_text
        if key is None or key in self._sources:
            return []
        self._sources.add(key)
        source = f"source-{number}"
        title = {"title": event.title} if event.title else {}
        if event.url:
            return [{"type": "source-url", "sourceId": source, "url": event.url, **title}]
        return [{"type": "source-document", "sourceId": source, "mediaType": "text/plain", "title": key}]

    def _end_step(self) -> list[dict[str, Any]]:
        parts = [part for index in list(self._open) for part in self._close(index, None)]
        if self._in_step:
            self._in_step = False
            parts.append({"type": "finish-step"})
        return parts

    def _end(self, end: app.RunEnd) -> list[bytes]:
        metadata = {"runId": self._run_id, "model": self._model, "usage": _usage(end.usage), "seconds": end.seconds}
        fault = self._fault
        if fault is None:
            return self._finish(_REASONS.get(end.finish_reason or "stop", "other"), metadata)
        if fault.kind is Kind.CANCELLED:
            reason = {"reason": fault.message} if self._version > 6 else {}
            return [_encode({"type": "abort"} | reason), *self._finish("other", metadata)]
        retry = {} if fault.retry_after is None else {"retryAfter": fault.retry_after}
        error = {"code": fault.code or fault.kind.value, "retryable": fault.retryable, **retry}
        said = _encode({"type": "error", "errorText": fault.message})
        return [said, *self._finish("error", metadata | {"error": error})]

    def _finish(self, reason: str, metadata: dict[str, Any]) -> list[bytes]:
        """Always there, also after an error: without it ``WorkflowChatTransport`` asks again and again."""
        said: dict[str, Any] = {"type": "finish"}
        if self._version > 5:
            said["finishReason"] = reason
        if metadata:
            said["messageMetadata"] = metadata | {"finishReason": reason}
        return [_encode(part) for part in [*self._end_step(), said]]


_BY_PROVIDER = {"providerExecuted": True, "dynamic": True}


def _never(_: str) -> bool:
    return False


def _status(status: str, message: str | None) -> dict[str, Any]:
    return {"type": "data-status", "data": {"status": status, "message": message}, "transient": True}


def _signed(name: str, value: Opaque | None) -> dict[str, Any]:
    """What the model's provider wants to have back, which the client's history carries."""
    if value is None:
        return {}
    return {"providerMetadata": {"millstream": {"origin": value.origin, name: value.value}}}


def _usage(usage: Usage | None) -> dict[str, int] | None:
    """In the AI SDK's own words."""
    if usage is None:
        return None
    total = usage.input_tokens + usage.output_tokens
    said = {"inputTokens": usage.input_tokens, "outputTokens": usage.output_tokens, "totalTokens": total}
    more = {"reasoningTokens": usage.reasoning_tokens, "cachedInputTokens": usage.cache_read_tokens}
    return said | {name: count for name, count in more.items() if count is not None}
