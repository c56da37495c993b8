"""Which event of a run is shown how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

from millstream.cli.chat.blocks import shortened
from millstream.cli.chat.view import View
from millstream.core import events as ev
from millstream.core import run_events as run
from millstream.core.messages import ResultPart, TextPart

_SHOWN_OF_ARGUMENTS = 400


@dataclass(slots=True)
class Showing:
    """Tells a view of one answer's events. ``text`` is what the model has said so far, ``fault`` how it failed."""

    view: View
    text: str = ""
    fault: ev.Fault | None = None
    finished: bool = False
    _calls: dict[int, tuple[str, list[str]]] = field(default_factory=dict)

    def take(self, events: Sequence[run.RunEvent]) -> None:
        for event in events:
            self._one(event)

    def _one(self, event: run.RunEvent) -> None:
        match event:
            case ev.TextDelta():
                self.text += event.text
                self.view.text(event.text)
            case ev.ReasoningDelta():
                self.view.reasoning(event.text)
            case ev.TextEnd() | ev.ReasoningEnd():
                self.view.pause()
            case ev.TextStart():
                # Several blocks are one text for the next question, as they are on the screen.
                self.text += "\n\n" if self.text and not self.text.endswith("\n") else ""
            case ev.ReasoningStart():
                if event.redacted is not None:
                    self.view.note("(thinking that only the provider can read)")
            case ev.ToolCallStart():
                self._calls[event.index] = (event.name, [])
            case ev.ToolCallDelta():
                self._calls[event.index][1].append(event.arguments)
            case ev.ToolCallEnd():
                name, arguments = self._calls.pop(event.index)
                self.view.note(f"calls {name} {shortened(''.join(arguments), _SHOWN_OF_ARGUMENTS)}", "yellow")
            case ev.ServerToolResult():
                self.view.note(f"result: {shortened(event.text or '(not readable)', _SHOWN_OF_ARGUMENTS)}")
            case ev.Media():
                self.view.note(f"({event.media_type}{f' at {event.url}' if event.url else ''})")
            case ev.Citation():
                self.view.note(f"source: {event.title or ''} {event.url or ''}")
            case ev.Fault():
                self.fault = event
            case ev.Finish():
                self.finished = True
            case ev.MessageStart() | ev.Usage() | ev.ChoiceEnd() | ev.Unknown() | ev.UnknownBlock():
                pass
            case _:
                self._application(event)

    def _application(self, event: run.AppEvent) -> None:
        match event:
            case run.ToolDetected():
                self.view.tool(event.call_id, event.tool)
            case run.ToolRunStart():
                arguments = event.arguments
                self.view.tool_told(event.call_id, lambda block: block.start(arguments))
            case run.ToolRunProgress():
                progress = event
                self.view.tool_told(event.call_id, lambda block: block.progress(progress))
            case run.ToolRunEnd():
                result, failed, seconds = _readable(event.content), event.is_error, event.seconds
                self.view.tool_told(event.call_id, lambda block: block.end(result, failed=failed, seconds=seconds))
            case run.ApprovalAsked():
                self.view.note(f"{event.tool} waits for an approval", "yellow")
            case run.ApprovalGiven():
                self.view.note(f"{'approved' if event.approved else 'refused'} {event.reason or ''}")
            case run.InputAsked():
                self.view.note(f"{event.tool} asks: {event.message}", "yellow")
            case run.InputGiven():
                self.view.note(f"its question: {event.action}")
            case run.Switched():
                self.view.note(f"goes on with {event.model}: {event.reason}", "yellow")
            case run.RunEnd():
                if event.reason not in ("finished", "failed"):
                    self.view.note(f"({event.reason.replace('_', ' ')})")
            case run.RunStart() | run.StepStart() | run.Status() | run.Context() | run.Suggestions():
                pass
            case _:
                assert_never(event)


def _readable(content: str | tuple[ResultPart, ...]) -> str:
    if isinstance(content, str):
        return content
    return " ".join(part.text for part in content if isinstance(part, TextPart))
