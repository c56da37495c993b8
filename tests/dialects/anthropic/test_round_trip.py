"""Everything a client of this API can say goes through the canonical form and back out as it came."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from anthropic.types.beta.message_create_params import MessageCreateParamsStreaming
from pydantic import TypeAdapter, ValidationError

from millstream.dialects.anthropic import DIALECT, AnthropicQuirks
from millstream.dialects.base import ClientCall, Target

Wire = dict[str, Any]

_CACHE = {"type": "ephemeral", "ttl": "1h"}
_PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0K"}
_SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
_IMAGE = {"type": "image", "source": _PNG}

_USER_BLOCKS: dict[str, Wire] = {
    "text": {"type": "text", "text": "a", "cache_control": _CACHE},
    "empty text": {"type": "text", "text": ""},
    "text with citations": {
        "type": "text",
        "text": "a",
        "citations": [
            {
                "type": "char_location",
                "cited_text": "c",
                "document_index": 0,
                "document_title": None,
                "start_char_index": 0,
                "end_char_index": 1,
            }
        ],
    },
    "text with nulls": {"type": "text", "text": "a", "citations": None, "cache_control": None},
    "image": {**_IMAGE, "cache_control": _CACHE},
    "image by url": {"type": "image", "source": {"type": "url", "url": "http://e.org/a.png"}},
    "image with a later field": {"type": "image", "source": {"type": "url", "url": "http://e.org/a.png", "later": 1}},
    "image by file": {"type": "image", "source": {"type": "file", "file_id": "f"}},
    "transformed image": {**_IMAGE, "transformations": {"resize": "none"}},
    "pdf": {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
        "title": "T",
        "context": "C",
        "citations": {"enabled": True},
        "cache_control": _CACHE,
    },
    "text document": {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "abc"}},
    "document by url": {"type": "document", "source": {"type": "url", "url": "http://e.org/a.pdf"}},
    "document by file": {"type": "document", "source": {"type": "file", "file_id": "f"}},
    "document of text": {"type": "document", "source": {"type": "content", "content": "abc"}, "title": "T"},
    "document of blocks": {
        "type": "document",
        "source": {
            "type": "content",
            "content": [{"type": "text", "text": "a"}, _IMAGE, {"type": "text", "text": "b"}],
        },
    },
    "search result": {
        "type": "search_result",
        "source": "http://e.org",
        "title": "T",
        "content": [{"type": "text", "text": "a"}],
        "citations": {"enabled": True},
        "cache_control": _CACHE,
    },
    "result": {"type": "tool_result", "tool_use_id": "t", "content": "done", "cache_control": _CACHE},
    "result without content": {"type": "tool_result", "tool_use_id": "t"},
    "failed result": {"type": "tool_result", "tool_use_id": "t", "content": "no", "is_error": True},
    "result that did not fail": {"type": "tool_result", "tool_use_id": "t", "content": "", "is_error": False},
    "result of blocks": {
        "type": "tool_result",
        "tool_use_id": "t",
        "toolset_name": "browser",
        "content": [
            {"type": "text", "text": "a"},
            _IMAGE,
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "abc"}},
            {"type": "search_result", "source": "s", "title": "T", "content": [{"type": "text", "text": "a"}]},
            {"type": "tool_reference", "tool_name": "WebFetch", "cache_control": _CACHE},
            {"type": "browser_state", "tabs": []},
        ],
    },
    "upload": {"type": "container_upload", "file_id": "f", "cache_control": _CACHE},
    "unknown": {"type": "of_a_later_year", "x": [1]},
    "image of an unknown source": {"type": "image", "source": {"type": "later", "x": 1}},
    "document of an unknown source": {"type": "document", "source": {"type": "later", "x": 1}},
}
_ASSISTANT_BLOCKS: dict[str, Wire] = {
    "thinking": {"type": "thinking", "thinking": "hm", "signature": "sig"},
    "redacted thinking": {"type": "redacted_thinking", "data": "x"},
    "call": {
        "type": "tool_use",
        "id": "toolu_1",
        "name": "f",
        "input": {"a": [1, 2.5, None], "ü": "👋"},
        "caller": {"type": "direct"},
        "toolset_name": "browser",
        "cache_control": _CACHE,
    },
    "call without input": {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
    "server call": {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
    "mcp call": {"type": "mcp_tool_use", "id": "m", "name": "find", "server_name": "files", "input": {}},
    "web search": {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": [{"type": "web_search_result", "url": "u", "title": "t", "encrypted_content": "x"}],
        "caller": {"type": "direct"},
    },
    "web fetch": {
        "type": "web_fetch_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": {"type": "web_fetch_tool_result_error", "error_code": "url_not_accessible"},
    },
    "code": {
        "type": "code_execution_tool_result",
        "tool_use_id": "s",
        "content": {
            "type": "code_execution_result",
            "stdout": "1",
            "stderr": "",
            "return_code": 0,
            "content": [{"type": "code_execution_output", "file_id": "f"}],
        },
    },
    "mcp result": {
        "type": "mcp_tool_result",
        "tool_use_id": "m",
        "is_error": False,
        "content": [{"type": "text", "text": "found"}],
    },
    "compaction": {"type": "compaction", "content": "so far", "encrypted_content": "x", "cache_control": _CACHE},
    "failed compaction": {"type": "compaction", "content": None},
    "fallback": {"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}},
}
_FIELDS: dict[str, Wire] = {
    "system as text": {"system": "be brief"},
    "system as blocks": {
        "system": [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": _CACHE}]
    },
    "stop sequences": {"stop_sequences": ["\n\nHuman:", "###"]},
    "no stop sequences": {"stop_sequences": []},
    "sampling": {"temperature": 0.5, "top_p": 0.9, "top_k": 4},
    "whole temperature": {"temperature": 1},
    "thinking with a budget": {"thinking": {"type": "enabled", "budget_tokens": 2048, "display": "updates"}},
    "no thinking": {"thinking": {"type": "disabled"}},
    "adaptive thinking": {
        "thinking": {"type": "adaptive", "display": "omitted", "block_binding": {"prefix_mismatch_behavior": "error"}}
    },
    "thinking between tools": {"thinking": {"type": "between_tools"}},
    "effort": {"output_config": {"effort": "xhigh"}},
    "schema": {"output_config": {"format": {"type": "json_schema", "schema": _SCHEMA}}},
    "output config": {
        "output_config": {
            "effort": "low",
            "format": {"type": "json_schema", "schema": _SCHEMA},
            "task_budget": {"type": "tokens", "total": 9},
        }
    },
    "older output format": {"output_format": {"type": "json_schema", "schema": _SCHEMA}},
    "metadata": {"metadata": {"user_id": "u", "later": 1}},
    "user of none": {"metadata": {"user_id": None}},
    "tool": {"tools": [{"name": "f", "description": "d", "input_schema": _SCHEMA}]},
    "tool with all there is": {
        "tools": [
            {
                "type": "custom",
                "name": "f",
                "input_schema": {"type": "object"},
                "strict": True,
                "defer_loading": True,
                "eager_input_streaming": True,
                "input_examples": [{"a": "b"}],
                "allowed_callers": ["direct"],
                "cache_control": _CACHE,
            }
        ]
    },
    "tool with falsehoods": {
        "tools": [{"name": "f", "input_schema": {"type": "object"}, "strict": False, "defer_loading": False}]
    },
    "server tools": {
        "tools": [
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 8, "allowed_domains": ["e.org"]},
            {"type": "code_execution_20250825", "name": "code_execution"},
            {"type": "bash_20250124", "name": "bash", "cache_control": _CACHE},
            {"type": "computer_20250124", "name": "computer", "display_width_px": 8, "display_height_px": 6},
            {"type": "mcp_toolset", "mcp_server_name": "files", "default_config": {"defer_loading": True}},
            {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
        ],
        "mcp_servers": [{"type": "url", "name": "files", "url": "http://e.org"}],
    },
    "choice": {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    "choice of any": {"tool_choice": {"type": "any", "disable_parallel_tool_use": False}},
    "choice of one": {"tool_choice": {"type": "tool", "name": "f"}},
    "choice of none": {"tool_choice": {"type": "none"}},
    "everything else": {
        "cache_control": _CACHE,
        "container": {"id": "c", "skills": []},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "service_tier": "auto",
        "inference_geo": "eu",
        "speed": "fast",
        "safeguards": [{"type": "dangerous_tool_use"}],
        "of_a_later_year": {"x": None},
    },
    "stream": {"stream": True},
    "no stream": {"stream": False},
}
_SYSTEM_MESSAGES: dict[str, Wire] = {
    "text": {"role": "system", "content": "now be brief"},
    "blocks": {"role": "system", "content": [{"type": "text", "text": "a", "cache_control": _CACHE}]},
    "effort": {"role": "system", "content": "a", "output_config": {"effort": "low"}, "clear_at": "never"},
    "effort alone": {"role": "system", "output_config": {"effort": "low"}},
    "tools": {
        "role": "system",
        "content": [
            {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "f"}},
            {
                "type": "tool_addition",
                "tool": {
                    "type": "tool_definition",
                    "definition": {"name": "g", "input_schema": {"type": "object"}, "defer_loading": True},
                },
                "cache_control": _CACHE,
            },
            {"type": "tool_addition", "tool": {"type": "mcp_toolset_reference", "server_name": "files"}},
            {"type": "tool_removal", "tool": {"type": "tool_reference", "name": "f"}},
        ],
    },
}


def _assert_comes_back(body: Wire) -> None:
    request = DIALECT.parse_request(ClientCall(json.dumps(body).encode()))
    rendered = DIALECT.render_request(request, Target("other", AnthropicQuirks(), stream=body.get("stream", False)))
    assert json.loads(rendered.body) == {**body, "model": "other"}
    assert (rendered.dropped, rendered.stop, rendered.path) == ((), (), "/v1/messages")


def _body(*messages: Wire, **fields: Any) -> Wire:
    return {"model": "m", "max_tokens": 5, "messages": list(messages), **fields}


@pytest.mark.parametrize("name", _USER_BLOCKS)
def test_what_a_user_says(name: str) -> None:
    _assert_comes_back(_body({"role": "user", "content": [_USER_BLOCKS[name]]}))


@pytest.mark.parametrize("name", _ASSISTANT_BLOCKS)
def test_what_a_model_said(name: str) -> None:
    blocks = [_ASSISTANT_BLOCKS[name], {"type": "text", "text": "so"}]
    _assert_comes_back(_body({"role": "user", "content": "hi"}, {"role": "assistant", "content": blocks}))


@pytest.mark.parametrize("name", _SYSTEM_MESSAGES)
def test_system_messages_within_the_conversation(name: str) -> None:
    _assert_comes_back(_body({"role": "user", "content": "hi"}, _SYSTEM_MESSAGES[name]))
    _assert_comes_back(_body(_SYSTEM_MESSAGES[name], {"role": "user", "content": "hi"}))


@pytest.mark.parametrize("name", _FIELDS)
def test_a_requests_fields(name: str) -> None:
    _assert_comes_back(_body({"role": "user", "content": "hi"}, **_FIELDS[name]))


def test_plain_texts_lists_and_runs_of_one_role_keep_their_form() -> None:
    _assert_comes_back(
        _body(
            {"role": "user", "content": "a"},
            {"role": "user", "content": [{"type": "text", "text": "b"}]},
            {"role": "assistant", "content": ""},
            {"role": "assistant", "content": []},
        )
    )


def _read_through(value: object) -> None:
    """Pydantic looks at the items of an ``Iterable`` only when they are taken."""
    if isinstance(value, dict):
        for item in value.values():
            _read_through(item)
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for item in value:
            _read_through(item)


_SDK_REQUEST: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsStreaming)
_NOT_IN_THE_SDK = {"unknown", "image of an unknown source", "document of an unknown source", "fallback"}


def test_the_sdk_refuses_what_is_not_its_own() -> None:
    """Else the tests below would prove nothing."""
    for block in ({"type": "of_a_later_year"}, {"type": "text"}):
        with pytest.raises(ValidationError):
            _read_through(_SDK_REQUEST.validate_python(_body({"role": "user", "content": [block]}, stream=True)))


@pytest.mark.parametrize("name", sorted({*_USER_BLOCKS, *_ASSISTANT_BLOCKS} - _NOT_IN_THE_SDK))
def test_the_blocks_above_are_what_the_sdk_sends(name: str) -> None:
    block = {**_USER_BLOCKS, **_ASSISTANT_BLOCKS}[name]
    _read_through(_SDK_REQUEST.validate_python(_body({"role": "user", "content": [block]}, stream=True)))


@pytest.mark.parametrize("name", sorted({*_FIELDS, *_SYSTEM_MESSAGES} - {"everything else", "no stream"}))
def test_the_fields_above_are_what_the_sdk_sends(name: str) -> None:
    turns = [{"role": "user", "content": "hi"}, *([_SYSTEM_MESSAGES[name]] if name in _SYSTEM_MESSAGES else [])]
    _read_through(_SDK_REQUEST.validate_python({**_body(*turns, **_FIELDS.get(name, {})), "stream": True}))


def test_the_clients_version_and_betas_go_along() -> None:
    call = ClientCall(
        json.dumps(_body({"role": "user", "content": "hi"})).encode(),
        {"anthropic-version": "2026-10-21", "anthropic-beta": "a,b", "x-app": "cli"},
    )
    rendered = DIALECT.render_request(DIALECT.parse_request(call), Target("other", AnthropicQuirks()))
    assert rendered.headers == {
        "content-type": "application/json",
        "anthropic-version": "2026-10-21",
        "anthropic-beta": "a,b",
    }
