"""What Claude Code 2.1 asks of Anthropic's newest models can be put to every other API at the first try.

Where a server answers 400, Claude Code asks again with less, step by step (https://code.claude.com/docs/en/llm-gateway
names the fields): without system messages in the conversation, without ``context_management``, without effort, with
all its tools at once. Each step costs a round trip and a feature, so the first request must already do.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from sdk_types import problems

from millstream.core.messages import Request
from millstream.dialects.base import ClientCall, Target, UpstreamRequest
from millstream.registry import dialects

Body = dict[str, Any]
OTHERS = {"openai_chat": "gpt-5", "openai_responses": "gpt-5", "gemini": "gemini-3-flash"}
CACHE = {"type": "ephemeral"}
ASKED: Body = {
    "model": "claude-opus-5-5",
    "system": [
        {"type": "text", "text": "You are a coding agent.", "cache_control": CACHE},
        {"type": "text", "text": "Work in /src.", "cache_control": CACHE},
    ],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "List the open tickets."}]},
        {
            "role": "system",
            "content": [{"type": "text", "text": "It is Monday.", "cache_control": CACHE}],
            "output_config": {"effort": "high"},
        },
    ],
    "tools": [
        {"name": "Bash", "description": "Run a command.", "input_schema": {"type": "object", "$schema": "x"}},
        {"name": "ToolSearch", "description": "Find tools.", "input_schema": {"type": "object"}},
        {"name": "Tickets", "description": "List tickets.", "input_schema": {"type": "object"}, "defer_loading": True},
    ],
    "metadata": {"user_id": '{"device_id":"%s","account_uuid":"","session_id":"s"}' % ("0" * 64)},
    "max_tokens": 128_000,
    "thinking": {"type": "adaptive", "display": "updates"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "safeguards": [{"type": "dangerous_tool_use", "classifier_context": {"v": 1}}],
    "output_config": {"effort": "medium"},
    "stream": True,
}
HEADERS = {
    "anthropic-beta": "context-management-2025-06-27,per-turn-control-2026-07-01",
    "anthropic-version": "2023-06-01",
}
FOUND = [
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "I need a tool.", "signature": ""},
            {"type": "tool_use", "id": "call_1", "name": "ToolSearch", "input": {"query": "tickets"}},
        ],
    },
    {
        "role": "user",
        "content": [
            {
                "type": "tool_result",
                "tool_use_id": "call_1",
                "content": [{"type": "tool_reference", "tool_name": "Tickets"}],
            }
        ],
    },
]
"""The turn in which the deferred tool is searched for and found."""


def put_to(upstream: str, body: Body) -> tuple[Request, UpstreamRequest, Body]:
    known = dialects()
    request = known["anthropic"].parse_request(ClientCall(json.dumps(body).encode(), HEADERS))
    sent = known[upstream].render_request(request, Target(OTHERS[upstream], known[upstream].quirks()))
    return request, sent, json.loads(sent.body)


def tool_names(upstream: str, sent: Body) -> list[str]:
    if upstream == "openai_chat":
        return [tool["function"]["name"] for tool in sent["tools"]]
    if upstream == "openai_responses":
        return [tool["name"] for tool in sent["tools"]]
    return [tool["name"] for group in sent["tools"] for tool in group["functionDeclarations"]]


EFFORT: dict[str, Callable[[Body], Any]] = {
    "openai_chat": lambda sent: sent["reasoning_effort"],
    "openai_responses": lambda sent: sent["reasoning"]["effort"],
    "gemini": lambda sent: sent["generationConfig"]["thinkingConfig"]["thinkingLevel"].lower(),
}
TURNS: dict[str, Callable[[Body], list[tuple[str, str]]]] = {
    "openai_chat": lambda sent: [(one["role"], str(one["content"])) for one in sent["messages"]],
    "openai_responses": lambda sent: [
        ("system", sent["instructions"]),
        *((one["role"], str(one["content"])) for one in sent["input"]),
    ],
    "gemini": lambda sent: [
        ("system", str(sent["systemInstruction"]["parts"])),
        *((one["role"], str(part["text"])) for one in sent["contents"] for part in one["parts"]),
    ],
}
"""Who said what, in order, the system prompt first."""


@pytest.mark.parametrize("upstream", OTHERS)
def test_the_first_request_is_one_that_the_upstream_takes(upstream: str) -> None:
    _, sent, body = put_to(upstream, ASKED)
    assert problems(upstream, body) == []
    assert set(sent.dropped) - {"user"} == {"cache_control", "context_management", "safeguards"}
    text = json.dumps(body)
    names = ("context_management", "safeguards", "output_config", "cache_control", "defer_loading", "anthropic-beta")
    assert [name for name in names if name in text] == []
    assert not any(name.startswith("anthropic") for name in sent.headers)


@pytest.mark.parametrize("upstream", OTHERS)
def test_a_system_message_keeps_its_place_in_the_conversation(upstream: str) -> None:
    (first, prompt), (_, asked), (role, said), *more = TURNS[upstream](put_to(upstream, ASKED)[2])
    assert (first, more) == ("system", [])
    assert "coding agent" in prompt
    assert "Work in /src." in prompt
    assert "open tickets" in asked
    assert "It is Monday." in said
    assert role == "system" or "<system-reminder>" in said


@pytest.mark.parametrize("upstream", OTHERS)
def test_thinking_is_as_hard_as_the_latest_message_says(upstream: str) -> None:
    assert EFFORT[upstream](put_to(upstream, ASKED)[2]) == "high"
    plain = copy.deepcopy(ASKED)
    del plain["messages"][1]["output_config"]
    assert EFFORT[upstream](put_to(upstream, plain)[2]) in ("medium", "low")
    later = {"role": "system", "output_config": {"effort": "low"}}
    assert EFFORT[upstream](put_to(upstream, {**ASKED, "messages": [*ASKED["messages"], later]})[2]) == "low"


def test_the_clients_own_effort_comes_back_to_an_upstream_of_its_own_api() -> None:
    dialect = dialects()["anthropic"]
    request = dialect.parse_request(ClientCall(json.dumps(ASKED).encode(), HEADERS))
    sent = dialect.render_request(request, Target(request.model, dialect.quirks()))
    assert json.loads(sent.body) == ASKED
    assert (sent.dropped, sent.headers["anthropic-beta"]) == ((), HEADERS["anthropic-beta"])


@pytest.mark.parametrize("upstream", OTHERS)
def test_adaptive_thinking_alone_leaves_the_effort_to_the_model(upstream: str) -> None:
    body = {**ASKED, "messages": ASKED["messages"][:1]}
    del body["output_config"]
    sent = json.dumps(put_to(upstream, body)[2])
    assert not any(f'"{name}"' in sent for name in ("reasoning_effort", "effort", "thinkingLevel", "thinkingBudget"))


@pytest.mark.parametrize("upstream", OTHERS)
def test_a_deferred_tool_is_unknown_until_a_search_has_found_it(upstream: str) -> None:
    assert tool_names(upstream, put_to(upstream, ASKED)[2]) == ["Bash", "ToolSearch"]
    request, _, sent = put_to(upstream, {**ASKED, "messages": [*ASKED["messages"], *FOUND]})
    assert tool_names(upstream, sent) == ["Bash", "ToolSearch", "Tickets"]
    assert problems(upstream, sent) == []
    # The model is told so where it asked.
    assert "The tool Tickets" in json.dumps(sent)
    assert request.tools[2].deferred


@pytest.mark.parametrize("upstream", OTHERS)
def test_the_session_title_is_asked_for_as_json_of_its_schema(upstream: str) -> None:
    schema = {"type": "object", "properties": {"title": {"type": "string"}}, "additionalProperties": False}
    config = {"effort": "low", "format": {"type": "json_schema", "schema": {**schema, "required": ["title"]}}}
    body = {**ASKED, "tools": [], "output_config": config}
    del body["thinking"], body["context_management"], body["safeguards"]
    _, sent, written = put_to(upstream, body)
    assert problems(upstream, written) == []
    assert '"title"' in json.dumps(written)
    assert set(sent.dropped) - {"user"} == {"cache_control"}


@pytest.mark.parametrize("upstream", OTHERS)
def test_the_classifier_of_auto_mode_stops_where_it_wants_to(upstream: str) -> None:
    body: Body = {
        "model": "claude-sonnet-5",
        "max_tokens": 64,
        "system": [{"type": "text", "text": "Classify."}],
        "messages": [{"role": "user", "content": "rm -rf /"}],
        "stop_sequences": ["</block>"],
        "thinking": {"type": "disabled"},
    }
    _, sent, written = put_to(upstream, body)
    assert problems(upstream, written) == []
    assert sent.stop == ("</block>",) or '"</block>"' in json.dumps(written)
