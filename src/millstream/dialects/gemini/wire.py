"""The replies of ``generateContent`` and ``streamGenerateContent``: the fields that are read, nothing else.

Source: https://ai.google.dev/api/generate-content and Vertex AI's reference of the same method. A field may be absent
wherever its value is the default, as in all of Google's JSON; ``null`` is taken for absent.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from millstream.core.errors import Kind, UpstreamFault

DIALECT = "gemini"


class PartialArg(msgspec.Struct, rename="camel"):
    """A piece of a call's arguments (Vertex, ``streamFunctionCallArguments``): a value and where it belongs."""

    json_path: str = ""
    string_value: str | None = None
    number_value: Raw = Raw()
    bool_value: bool | None = None
    null_value: Raw = Raw()
    will_continue: bool | None = None


class FunctionCall(msgspec.Struct, rename="camel"):
    """``args`` stays the JSON text that came: it is the model's own, and is only passed on."""

    name: str | None = None
    id: str | None = None
    args: Raw = Raw()
    partial_args: list[PartialArg] | None = None
    will_continue: bool | None = None


class Blob(msgspec.Struct, rename="camel"):
    mime_type: str | None = None
    data: str | None = None


class FileData(msgspec.Struct, rename="camel"):
    mime_type: str | None = None
    file_uri: str | None = None


class ExecutableCode(msgspec.Struct):
    language: str | None = None
    code: str | None = None
    id: str | None = None


class CodeExecutionResult(msgspec.Struct):
    outcome: str | None = None
    output: str | None = None
    id: str | None = None


class ServerToolUse(msgspec.Struct, rename="camel"):
    """``toolCall`` and ``toolResponse``: a tool the provider runs, told of when the request asked to be told."""

    id: str | None = None
    tool_type: str | None = None
    args: Raw = Raw()


class Part(msgspec.Struct, rename="camel"):
    """One kind of content, a ``thought`` mark, and perhaps a signature."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    executable_code: ExecutableCode | None = None
    code_execution_result: CodeExecutionResult | None = None
    tool_call: ServerToolUse | None = None
    tool_response: ServerToolUse | None = None


class Content(msgspec.Struct):
    parts: list[Part] | None = None


class Candidate(msgspec.Struct, rename="camel"):
    content: Content | None = None
    index: int | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    safety_ratings: Raw = Raw()
    citation_metadata: Raw = Raw()
    grounding_metadata: Raw = Raw()
    url_context_metadata: Raw = Raw()
    logprobs_result: Raw = Raw()
    avg_logprobs: Raw = Raw()


class UsageMetadata(msgspec.Struct, rename="camel"):
    """``thoughts`` are not part of ``candidates``; ``tool_use_prompt`` is not part of ``prompt``."""

    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    total_token_count: int | None = None
    prompt_tokens_details: Raw = Raw()
    candidates_tokens_details: Raw = Raw()
    cache_tokens_details: Raw = Raw()
    tool_use_prompt_tokens_details: Raw = Raw()
    traffic_type: str | None = None
    service_tier: str | None = None


class PromptFeedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None
    block_reason_message: str | None = None


class Chunk(msgspec.Struct, rename="camel"):
    """One frame of a stream, and likewise a whole reply. ``error`` alone is what a failing stream ends with."""

    candidates: list[Candidate] | None = None
    usage_metadata: UsageMetadata | None = None
    model_version: str | None = None
    response_id: str | None = None
    create_time: str | None = None
    prompt_feedback: Raw = Raw()
    error: Raw = Raw()


def given(raw: Raw) -> bool:
    """Whether the field was there and not ``null``."""
    return bool(raw) and bytes(raw) != b"null"


def value_of(raw: Raw | bytes) -> Any:
    """The decoded JSON. Raises ``UpstreamFault`` for what is none."""
    try:
        return msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:
        raise not_json(error) from error


def text_of(raw: Raw) -> str:
    """The JSON text as it came, on one line. Raises ``UpstreamFault`` if it is not text."""
    written = bytes(raw)
    try:
        return (msgspec.json.format(written, indent=-1) if b"\n" in written else written).decode()
    except (ValueError, RecursionError) as error:
        raise not_json(error) from error


def not_json(error: Exception) -> UpstreamFault:
    return UpstreamFault(f"the upstream sent what is not a chunk of a reply: {error}", Kind.MALFORMED)
