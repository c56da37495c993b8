"""Good streams, replies, errors and requests of each API, small ones, for breaking.

Most are what our own renderers make of a reply and what ``features`` says clients send; the rest is what providers do
that no renderer of ours does.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import import_module
from typing import Any

from features.replies import REPLIES, heard
from features.table import NAMES, Samples, body_of

from millstream.core.assemble import Assembler
from millstream.core.messages import Request
from millstream.dialects.base import ReplyContext
from millstream.registry import dialects

DIALECTS = dialects()

_ODD_STREAMS: dict[str, tuple[str, ...]] = {
    "anthropic": (
        'event: ping\ndata: {"type":"ping"}\n\n'
        'data: {"type":"error","error":{"type":"overloaded_error","message":"x"}}\n\n',
        'data: {"type":"message_start","message":{"id":"m","usage":{"input_tokens":1}}}\n\n'
        'data: {"type":"content_block_start","index":0,"content_block":{"type":"web_search_tool_result",'
        '"tool_use_id":"s","content":[{"type":"web_search_result","url":"https://x","title":"t"}]}}\n\n'
        'data: {"type":"content_block_stop","index":0}\n\n'
        'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}\n\n'
        'data: {"type":"message_stop"}\n\n',
    ),
    "openai_chat": (
        'data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]}}],'
        '"x_groq":{"id":"1"}}\n\n'
        'data: {"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"t"}]}]},'
        '"finish_reason":"tool_calls","usage":{"total_tokens":3}}]}\n\ndata: [DONE]\n\n',
        'data: {"choices":[{"index":1,"delta":{"reasoning":"a",'
        '"reasoning_details":[{"type":"reasoning.text","text":"a"}],'
        '"annotations":[{"type":"url_citation","url_citation":{"url":"u"}}],"images":[{"image_url":{"url":"u"}}]},'
        '"logprobs":{"content":[]},"finish_reason":"eos"}],"citations":["u"]}\n\nerror: {"message":"no"}\n\n',
        '{"error":{"message":"bare","code":429}}',
    ),
    "openai_responses": (
        'data: {"type":"response.created","response":{"id":"r"}}\n\n'
        'data: {"type":"response.output_item.added","output_index":0,"item":{"type":"web_search_call","id":"w"}}\n\n'
        'data: {"type":"response.output_item.done","output_index":0,"item":{"type":"web_search_call","id":"w",'
        '"action":{"query":"q","sources":[{"url":"u"}]}}}\n\n'
        'data: {"type":"response.output_text.done","output_index":1,"text":"late"}\n\n'
        'data: {"type":"response.completed","response":{"id":"r","output":[],"usage":{"input_tokens":1}}}\n\n',
        'event: error\ndata: {"type":"error","error":{"code":"rate_limit_exceeded","message":"x"}}\n\n',
    ),
    "gemini": (
        'data: {"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","partialArgs":[{"jsonPath":"$.a[0].b",'
        '"stringValue":"x","willContinue":true}],"willContinue":true}}]}}]}\r\n\r\n'
        'data: {"candidates":[{"content":{"parts":[{"functionCall":{}}]},"finishReason":"STOP",'
        '"groundingMetadata":{"groundingChunks":[{"web":{"uri":"u"}}],"groundingSupports":[{"segment":{"endIndex":1},'
        '"groundingChunkIndices":[0]}]}}],"usageMetadata":{"promptTokenCount":1}}\r\n\r\n',
        '[{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}\n,\n{"candidates":[{"finishReason":"STOP"}]}]',
        'data: {"promptFeedback":{"blockReason":"SAFETY"}}\n\n',
        '{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"3s"}]}}',
    ),
}
_ERRORS: dict[str, tuple[str, ...]] = {
    "anthropic": ('{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long"}}',),
    "openai_chat": (
        '{"error":{"message":"m","type":"t","param":null,"code":429,"metadata":{"raw":"{}"}}}',
        '{"detail":[{"loc":["body"],"msg":"m"}]}',
        '{"code":"c","error":"string"}',
        '{"object":"error","message":{"detail":[{"msg":"m"}]},"raw_status_code":422}',
    ),
    "openai_responses": ('{"error":{"message":"m","type":"t","param":"input","code":"c"}}', '{"detail":"m"}'),
    "gemini": (
        '[{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT","details":[{"@type":"RetryInfo","retryDelay":"3s"}]}}]',
    ),
}


@cache
def streams(dialect: str) -> tuple[bytes, ...]:
    told = [heard(dialect, events) for events, _ in REPLIES.values()]
    return tuple(stream.encode() for stream in (*_ODD_STREAMS[dialect], *told))


@cache
def replies(dialect: str) -> tuple[bytes, ...]:
    """Whole replies."""
    context = ReplyContext("reply_1", 1_700_000_000, Request(dialect, "m", ()))
    found: list[bytes] = []
    for events, _ in REPLIES.values():
        assembler = Assembler()
        assembler.add(events)
        found.append(DIALECTS[dialect].render_reply(assembler.reply(), context))
    return tuple(found)


@cache
def errors(dialect: str) -> tuple[bytes, ...]:
    return tuple(body.encode() for body in _ERRORS[dialect])


@cache
def requests(dialect: str) -> tuple[bytes, ...]:
    samples: Samples = import_module(f"features.{dialect}").SAMPLES
    found: list[dict[str, Any]] = [
        body_of(dialect, having) for group in samples.values() for having, _ in group.values()
    ]
    return tuple(json.dumps(body).encode() for body in found)


ALL = tuple(NAMES)
