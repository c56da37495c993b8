"""What the endpoints for stock front ends stream, as types: the parts of the AI SDK's UI message stream, and AG-UI's
events. The clients that read them have schemas of their makers; these are what of those is said here.

A field that is ``UNSET`` may be missing. https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol,
https://docs.ag-ui.com/concepts/events
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

MaybeText = UnsetType | str
Metadata = UnsetType | dict[str, Any]


class _Part(msgspec.Struct, frozen=True, tag_field="type", rename="camel"):
    """Of a UI message stream."""


class UiStart(_Part, frozen=True, tag="start"):
    """A message begins. The metadata names the run and the model."""

    message_id: str
    message_metadata: Metadata = UNSET


class UiFinish(_Part, frozen=True, tag="finish"):
    """The end, always there. Its metadata has the usage, the seconds and, after an error, its code. Version 5 has no
    ``finishReason`` but the metadata's."""

    finish_reason: UnsetType | Literal["stop", "length", "content-filter", "tool-calls", "error", "other"] = UNSET
    message_metadata: Metadata = UNSET


class UiStartStep(_Part, frozen=True, tag="start-step"):
    """Another call of the model."""


class UiFinishStep(_Part, frozen=True, tag="finish-step"):
    pass


class UiError(_Part, frozen=True, tag="error"):
    error_text: str


class UiAbort(_Part, frozen=True, tag="abort"):
    """It was stopped. Only version 7 has the reason."""

    reason: MaybeText = UNSET


class UiTextStart(_Part, frozen=True, tag="text-start"):
    id: str


class UiTextDelta(_Part, frozen=True, tag="text-delta"):
    id: str
    delta: str


class UiTextEnd(_Part, frozen=True, tag="text-end"):
    id: str
    provider_metadata: Metadata = UNSET


class UiReasoningStart(_Part, frozen=True, tag="reasoning-start"):
    id: str
    provider_metadata: Metadata = UNSET


class UiReasoningDelta(_Part, frozen=True, tag="reasoning-delta"):
    id: str
    delta: str


class UiReasoningEnd(_Part, frozen=True, tag="reasoning-end"):
    id: str
    provider_metadata: Metadata = UNSET


class UiToolInputStart(_Part, frozen=True, tag="tool-input-start"):
    """The model has named a tool. ``dynamic``: one that the page knows nothing of."""

    tool_call_id: str
    tool_name: str
    dynamic: bool | UnsetType = UNSET
    provider_executed: bool | UnsetType = UNSET


class UiToolInputDelta(_Part, frozen=True, tag="tool-input-delta"):
    tool_call_id: str
    input_text_delta: str


class UiToolInputAvailable(_Part, frozen=True, tag="tool-input-available"):
    tool_call_id: str
    tool_name: str
    input: Any
    dynamic: bool | UnsetType = UNSET
    provider_executed: bool | UnsetType = UNSET
    provider_metadata: Metadata = UNSET


class UiToolInputError(_Part, frozen=True, tag="tool-input-error"):
    """What the model wrote as arguments is none."""

    tool_call_id: str
    tool_name: str
    input: Any
    error_text: str
    dynamic: bool | UnsetType = UNSET
    provider_executed: bool | UnsetType = UNSET


class UiToolOutputAvailable(_Part, frozen=True, tag="tool-output-available"):
    tool_call_id: str
    output: Any
    dynamic: bool | UnsetType = UNSET
    provider_executed: bool | UnsetType = UNSET


class UiToolOutputError(_Part, frozen=True, tag="tool-output-error"):
    tool_call_id: str
    error_text: str
    dynamic: bool | UnsetType = UNSET
    provider_executed: bool | UnsetType = UNSET


class UiToolOutputDenied(_Part, frozen=True, tag="tool-output-denied"):
    """From version 6 on."""

    tool_call_id: str


class UiToolApprovalRequest(_Part, frozen=True, tag="tool-approval-request"):
    """The run waits for the user's answer, which the next request brings. Version 5 has ``data-approval`` instead."""

    approval_id: str
    tool_call_id: str


class UiToolApprovalResponse(_Part, frozen=True, tag="tool-approval-response"):
    """Version 7 alone."""

    approval_id: str
    approved: bool
    reason: MaybeText = UNSET


class UiSourceUrl(_Part, frozen=True, tag="source-url"):
    source_id: str
    url: str
    title: MaybeText = UNSET


class UiSourceDocument(_Part, frozen=True, tag="source-document"):
    source_id: str
    media_type: str
    title: str


class UiFile(_Part, frozen=True, tag="file"):
    """``url`` may be a ``data:`` URL."""

    media_type: str
    url: str


class UiToolProgress(_Part, frozen=True, tag="data-tool-progress"):
    """A later one with the same ``id`` takes its place."""

    id: str
    data: dict[str, Any]


class UiApproval(_Part, frozen=True, tag="data-approval"):
    id: str
    data: dict[str, Any]


class UiStatus(_Part, frozen=True, tag="data-status"):
    """``transient``: it is told, and not kept with the message."""

    data: dict[str, Any]
    transient: bool


class UiContext(_Part, frozen=True, tag="data-context"):
    data: dict[str, Any]


class UiSuggestions(_Part, frozen=True, tag="data-suggestions"):
    data: list[str]


UiPart = (
    UiStart
    | UiFinish
    | UiStartStep
    | UiFinishStep
    | UiError
    | UiAbort
    | UiTextStart
    | UiTextDelta
    | UiTextEnd
    | UiReasoningStart
    | UiReasoningDelta
    | UiReasoningEnd
    | UiToolInputStart
    | UiToolInputDelta
    | UiToolInputAvailable
    | UiToolInputError
    | UiToolOutputAvailable
    | UiToolOutputError
    | UiToolOutputDenied
    | UiToolApprovalRequest
    | UiToolApprovalResponse
    | UiSourceUrl
    | UiSourceDocument
    | UiFile
    | UiToolProgress
    | UiApproval
    | UiStatus
    | UiContext
    | UiSuggestions
)


class Success(msgspec.Struct, frozen=True, tag="success", tag_field="type"):
    pass


class CutShort(msgspec.Struct, frozen=True, tag="cancelled", tag_field="type"):
    """It was stopped."""


class Interrupt(msgspec.Struct, frozen=True, rename="camel"):
    """A question. ``resume`` of the next request answers it as ``responseSchema`` says."""

    id: str
    reason: str
    message: str
    tool_call_id: str
    response_schema: dict[str, Any]
    expires_at: str
    metadata: dict[str, Any]


class Interrupted(msgspec.Struct, frozen=True, tag="interrupt", tag_field="type"):
    """The run waits for answers."""

    interrupts: list[Interrupt]


class AgUiUsage(msgspec.Struct, frozen=True, rename="camel"):
    model: str
    input_tokens: int
    output_tokens: int
    total_tokens: int
    reasoning_tokens: int | UnsetType = UNSET
    cached_input_tokens: int | UnsetType = UNSET
    cache_write_input_tokens: int | UnsetType = UNSET


class _Event(msgspec.Struct, frozen=True, tag_field="type", rename="camel", kw_only=True):
    """Of AG-UI. ``timestamp`` is in milliseconds since 1970."""

    timestamp: int | UnsetType = UNSET


class RunStarted(_Event, frozen=True, tag="RUN_STARTED"):
    thread_id: str
    run_id: str


class RunFinished(_Event, frozen=True, tag="RUN_FINISHED"):
    thread_id: str
    run_id: str
    outcome: Success | CutShort | Interrupted
    usage: list[AgUiUsage] | UnsetType = UNSET


class RunError(_Event, frozen=True, tag="RUN_ERROR"):
    """The end too."""

    message: str
    code: str
    usage: list[AgUiUsage] | UnsetType = UNSET


class StepStarted(_Event, frozen=True, tag="STEP_STARTED"):
    """Another call of the model."""

    step_name: str


class StepFinished(_Event, frozen=True, tag="STEP_FINISHED"):
    step_name: str


class TextMessageStart(_Event, frozen=True, tag="TEXT_MESSAGE_START"):
    message_id: str
    role: Literal["assistant"]


class TextMessageContent(_Event, frozen=True, tag="TEXT_MESSAGE_CONTENT"):
    message_id: str
    delta: str


class TextMessageEnd(_Event, frozen=True, tag="TEXT_MESSAGE_END"):
    message_id: str


class ReasoningStarted(_Event, frozen=True, tag="REASONING_START"):
    message_id: str


class ReasoningMessageStart(_Event, frozen=True, tag="REASONING_MESSAGE_START"):
    message_id: str
    role: Literal["reasoning"]


class ReasoningMessageContent(_Event, frozen=True, tag="REASONING_MESSAGE_CONTENT"):
    message_id: str
    delta: str


class ReasoningMessageEnd(_Event, frozen=True, tag="REASONING_MESSAGE_END"):
    message_id: str


class ReasoningEncryptedValue(_Event, frozen=True, tag="REASONING_ENCRYPTED_VALUE"):
    """What the model's provider wants to have back with the conversation."""

    subtype: Literal["message"]
    entity_id: str
    encrypted_value: str


class ReasoningEnded(_Event, frozen=True, tag="REASONING_END"):
    message_id: str


class ToolCallStart(_Event, frozen=True, tag="TOOL_CALL_START"):
    tool_call_id: str
    tool_call_name: str
    parent_message_id: str


class ToolCallArgs(_Event, frozen=True, tag="TOOL_CALL_ARGS"):
    tool_call_id: str
    delta: str


class ToolCallEnd(_Event, frozen=True, tag="TOOL_CALL_END"):
    tool_call_id: str


class ToolCallResult(_Event, frozen=True, tag="TOOL_CALL_RESULT"):
    message_id: str
    tool_call_id: str
    content: str
    role: Literal["tool"]
    metadata: Metadata = UNSET


class Custom(_Event, frozen=True, tag="CUSTOM"):
    """``name`` is ``millstream.tool_progress``, ``.approval``, ``.status``, ``.source``, ``.file``, ``.context`` or
    ``.suggestions``."""

    name: str
    value: Any


AgUiEvent = (
    RunStarted
    | RunFinished
    | RunError
    | StepStarted
    | StepFinished
    | TextMessageStart
    | TextMessageContent
    | TextMessageEnd
    | ReasoningStarted
    | ReasoningMessageStart
    | ReasoningMessageContent
    | ReasoningMessageEnd
    | ReasoningEncryptedValue
    | ReasoningEnded
    | ToolCallStart
    | ToolCallArgs
    | ToolCallEnd
    | ToolCallResult
    | Custom
)


class DurableReason(msgspec.Struct, frozen=True):
    message: str


class DurableError(msgspec.Struct, frozen=True):
    """Why a stream cannot be made, written to or read."""

    error: DurableReason
