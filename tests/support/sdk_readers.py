"""Bytes of a reply as the official SDKs' own accumulators read them: one function per client dialect.

Each is given the pieces the bytes arrive in, and raises what the SDK raises.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import anthropic
import httpx2
import openai
from google import genai
from google.genai import types as google
from openai.types.responses import Response
from seen import Seen, arguments

_ANTHROPIC_STOPS = {
    "end_turn": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "stop_sequence": "stop_sequence",
    "refusal": "refusal",
    "pause_turn": "pause",
    "model_context_window_exceeded": "context_window",
}
_CHAT_STOPS = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "content_filter": "content_filter"}


class AnswerFailedError(Exception):
    """The answer itself says that it failed, which the SDK leaves to its user to look at."""


class _Answer:
    """The server: it says ``pieces``, whatever it is asked."""

    def __init__(self, pieces: Sequence[bytes] = ()) -> None:
        self.pieces = pieces

    def __call__(self, _: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=iter(self.pieces))

    def http(self) -> httpx2.Client:
        return httpx2.Client(transport=httpx2.MockTransport(self))


def _http(pieces: Sequence[bytes]) -> httpx2.Client:
    return _Answer(pieces).http()


def read_anthropic(stream: Sequence[bytes]) -> Seen:
    client = anthropic.Anthropic(api_key="k", base_url="http://x", http_client=_http(stream), max_retries=0)
    with client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}]) as events:
        message = events.get_final_message()
    seen = Seen(stop=_ANTHROPIC_STOPS.get(message.stop_reason or ""))
    for block in message.content:
        if block.type == "text":
            seen.text += block.text
        elif block.type == "thinking":
            seen.reasoning += block.thinking
        elif block.type == "tool_use":
            seen.calls.append((block.name, block.input))
    usage = message.usage
    seen.input_tokens = (
        usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    )
    seen.output_tokens = usage.output_tokens
    return seen


def read_openai_chat(stream: Sequence[bytes]) -> Seen:
    client = openai.OpenAI(api_key="k", base_url="http://x/v1", http_client=_http(stream), max_retries=0)
    with client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "hi"}]) as events:
        # The helper raises at an answer that is too long or filtered, but goes on if it is asked to.
        while True:
            with suppress(openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError):
                events.until_done()
                break
        completion = events.current_completion_snapshot
    choice = completion.choices[0]
    seen = Seen(stop=_CHAT_STOPS.get(choice.finish_reason), text=(choice.message.content or ""))
    if choice.message.refusal:
        seen.text += choice.message.refusal
    seen.reasoning = (choice.message.model_extra or {}).get("reasoning_content") or ""
    for call in choice.message.tool_calls or []:
        seen.calls.append(_chat_call(call))
    if completion.usage is not None:
        seen.input_tokens = completion.usage.prompt_tokens
        seen.output_tokens = completion.usage.completion_tokens
    return seen


def _chat_call(call: Any) -> tuple[str, Any]:
    if call.type == "custom":
        # The helper has no type for these yet and leaves them as they came.
        return call.custom["name"], {"input": call.custom["input"]}
    return call.function.name, arguments(call.function.arguments or "")


def read_openai_responses(stream: Sequence[bytes]) -> Seen:
    client = openai.OpenAI(api_key="k", base_url="http://x/v1", http_client=_http(stream), max_retries=0)
    last: Any = None
    with client.responses.stream(model="m", input="hi") as events:
        for event in events:
            last = event
    response: Response | None = getattr(last, "response", None)
    if response is None:  # as the helper's get_final_response does, which also raises at an incomplete one
        raise AnswerFailedError("the stream ended before the response did")
    if response.status == "failed":
        raise AnswerFailedError(response.error.message if response.error else "failed without an error")
    seen = Seen(stop="stop")
    for item in response.output:
        _response_item(seen, item)
    if seen.calls:
        seen.stop = "tool_calls"
    if response.incomplete_details is not None:
        seen.stop = {"max_output_tokens": "length"}.get(response.incomplete_details.reason or "", "content_filter")
    if response.usage is not None:
        seen.input_tokens, seen.output_tokens = response.usage.input_tokens, response.usage.output_tokens
    return seen


def _response_item(seen: Seen, item: Any) -> None:
    if item.type == "message":
        for part in item.content:
            seen.text += part.text if part.type == "output_text" else part.refusal
    elif item.type == "reasoning":
        parts = [*(item.summary or []), *(item.content or [])]
        seen.reasoning += "".join(part.text for part in parts)
    elif item.type == "function_call":
        seen.calls.append((item.name, arguments(item.arguments)))
    elif item.type == "custom_tool_call":
        seen.calls.append((item.name, {"input": item.input}))


@functools.cache
def _gemini_client() -> tuple[genai.Client, _Answer]:
    """One for all readings: it takes a tenth of a second to be made, for certificates it does not need."""
    answer = _Answer()
    options = google.HttpOptions(base_url="http://x", httpx_client=answer.http())
    return genai.Client(api_key="k", http_options=options), answer


def read_gemini(stream: Sequence[bytes]) -> Seen:
    client, answer = _gemini_client()
    answer.pieces = stream
    seen = Seen()
    for chunk in client.models.generate_content_stream(model="m", contents="hi"):
        usage = chunk.usage_metadata
        if usage is not None:
            seen.input_tokens = (usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0)
            seen.output_tokens = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
        for candidate in chunk.candidates or []:
            if candidate.index:
                continue
            if candidate.finish_reason is not None:
                seen.stop = candidate.finish_reason.value
            _gemini_parts(seen, (candidate.content.parts if candidate.content else None) or [])
    ends = {"STOP": "stop", "MAX_TOKENS": "length"}
    seen.stop = ends.get(seen.stop or "", "content_filter" if seen.stop else None)
    if seen.calls and seen.stop == "stop":
        seen.stop = "tool_calls"
    return seen


def _gemini_parts(seen: Seen, parts: list[google.Part]) -> None:
    for part in parts:
        if part.function_call is not None:
            seen.calls.append((part.function_call.name or "", dict(part.function_call.args or {})))
        elif part.text and part.thought:
            seen.reasoning += part.text
        elif part.text:
            seen.text += part.text


READERS: dict[str, Callable[[Sequence[bytes]], Seen]] = {
    "anthropic": read_anthropic,
    "openai_chat": read_openai_chat,
    "openai_responses": read_openai_responses,
    "gemini": read_gemini,
}
