"""Every captured request × every upstream dialect: the upstream's own SDK would have let it be sent.

The SDKs' types describe their newest API version; what is named in ``OF_AN_OLDER_VERSION`` they no longer know.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from captured import Captured, captured_requests
from sdk_types import problems

from millstream.core.errors import ClientFault
from millstream.dialects.base import Target
from millstream.providers.catalog import provider, rows
from millstream.registry import dialects

DIALECTS = dialects()
MODELS = {
    "anthropic": ("claude-sonnet-5", "claude-sonnet-4-5"),
    "openai_chat": ("gpt-5", "gpt-4o"),
    "openai_responses": ("gpt-5", "gpt-4o"),
    "gemini": ("gemini-3-flash", "gemini-2.5-pro"),
}
"""For each dialect, a model that is told how hard to think and one that is told so otherwise or not at all."""

OF_AN_OLDER_VERSION = {"anthropic": {"temperature", "top_p", "top_k"}}
"""Fields that the version of the API which we name in ``anthropic-version`` has, and the SDK's types no longer."""

NONE_HERE = pytest.mark.skip(reason="no captured requests: set MILLSTREAM_CORPUS")


def captured() -> Iterable[Any]:
    found = [pytest.param(one, id=one.name) for one in captured_requests()]
    return found or [pytest.param(None, marks=NONE_HERE)]


@pytest.mark.parametrize("one", captured())
def test_a_captured_request_comes_back_as_it_was_from_its_own_dialect(one: Captured) -> None:
    request = DIALECTS[one.dialect].parse_request(one.call)
    target = Target(request.model, DIALECTS[one.dialect].quirks(), stream=request.stream)
    rendered = DIALECTS[one.dialect].render_request(request, target)
    found, wanted = json.loads(rendered.body), dict(one.body)
    if one.dialect == "openai_chat":
        # Usage is always asked for: the gateway wants to know, even where its client does not.
        wanted["stream_options"] = {**wanted.get("stream_options", {}), "include_usage": True}
    assert found == wanted
    assert rendered.dropped == ()


def crossings() -> Iterable[Any]:
    found = [
        pytest.param(one, upstream, id=f"{one.name}-{upstream}")
        for one in captured_requests()
        for upstream in sorted(DIALECTS)
        if upstream != one.dialect
    ]
    return found or [pytest.param(None, "", marks=NONE_HERE)]


@pytest.mark.parametrize(("one", "upstream"), crossings())
def test_a_captured_request_is_one_that_the_upstreams_sdk_accepts(one: Captured, upstream: str) -> None:
    request = DIALECTS[one.dialect].parse_request(one.call)
    for model in MODELS[upstream]:
        target = Target(model, DIALECTS[upstream].quirks(), stream=request.stream)
        body = json.loads(DIALECTS[upstream].render_request(request, target).body)
        older = OF_AN_OLDER_VERSION.get(upstream, set())
        assert problems(upstream, {name: value for name, value in body.items() if name not in older}) == []


LOST = {
    "anthropic": {
        "cache_control",
        "context_management",
        "reasoning",
        "safeguards",
        "tools.web_search",
        "tools[].eager_input_streaming",
        "user",
    },
    "openai_chat": {"tools[].strict"},
    "openai_responses": {
        "client_metadata",
        "prompt_cache_key",
        "reasoning",
        "text.verbosity",
        "tools.web_search",
        "tools[].strict",
    },
    "gemini": {"reasoning", "temperature", "top_k", "top_p"},
}
"""What some upstream cannot be told of the captured requests, constraints of schemas aside. The rest is carried, or
says no more than its absence would."""


@pytest.mark.parametrize(("one", "upstream"), crossings())
def test_what_is_reported_as_dropped_is_what_the_client_misses(one: Captured, upstream: str) -> None:
    request = DIALECTS[one.dialect].parse_request(one.call)
    for model in MODELS[upstream]:
        target = Target(model, DIALECTS[upstream].quirks(), stream=request.stream)
        dropped = DIALECTS[upstream].render_request(request, target).dropped
        assert {name for name in dropped if not name.startswith("schema.")} <= LOST[one.dialect]
        assert len(dropped) == len(set(dropped))


@pytest.mark.parametrize("one", captured())
def test_a_captured_request_can_be_put_to_every_provider_of_the_catalog(one: Captured) -> None:
    """Or is refused for a picture, which the models of some cannot see."""
    request = DIALECTS[one.dialect].parse_request(one.call)
    refused: list[str] = []
    for name, row in rows().items():
        dialect = DIALECTS[row.dialect]
        upstream = provider(name, row, dialect, None, configured=False)
        target = Target(upstream.default_model or "m", upstream.quirks, stream=request.stream)
        try:
            rendered = dialect.render_request(request, target)
        except ClientFault as fault:
            refused.append(fault.message)
        else:
            assert json.loads(rendered.body).keys() & {"messages", "input", "contents"}
    assert all("image" in reason for reason in refused), refused


@pytest.mark.parametrize(
    ("dialect", "body", "where"),
    [
        ("anthropic", {"messages": [{"role": "user", "content": "", "mood": 1}]}, "messages[0].mood"),
        ("anthropic", {"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ("openai_chat", {"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}, "[0].text"),
        ("openai_chat", {"messages": [], "reasoning": {}}, "reasoning"),
        ("openai_responses", {"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
        ("openai_responses", {"input": "", "tools": [{"type": "custom", "name": "f", "parameters": {}}]}, "parameters"),
        ("gemini", {"contents": [{"parts": [{"text": "", "cache": 1}]}]}, "contents.0.parts.0.cache"),
        ("gemini", {"contents": [], "generationConfig": {"top_p": 1}}, "generationConfig.top_p"),
    ],
)
def test_what_an_sdk_would_not_send_is_found_wherever_it_is(dialect: str, body: dict[str, Any], where: str) -> None:
    assert any(where in problem for problem in problems(dialect, {"model": "m", "max_tokens": 1, **body}))
