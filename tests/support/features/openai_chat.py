"""What clients of OpenAI's Chat Completions may send, by example."""

from __future__ import annotations

from typing import Any

from features.table import Sample, Samples, alone

_HI = {"role": "user", "content": "Hi"}
_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
_FREE = {"type": "custom", "custom": {"name": "c"}}
_LEGACY = {"name": "f", "parameters": {"type": "object"}}
_CACHE = {"type": "ephemeral"}
_URL = {"url": "https://x/y.png"}


def _messages(*messages: Any, **fields: Any) -> dict[str, Any]:
    return {"messages": [_HI, *messages], **fields}


def _user(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, *parts]}]}


def _model(**fields: Any) -> dict[str, Any]:
    return _messages({"role": "assistant", "content": "Hello.", **fields}, {"role": "user", "content": "Go on."})


def _function(**fields: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, **fields}}]}


def _choice(choice: Any, *tools: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    offered = [*(tools or (_TOOL,))]
    return {"tools": offered, "tool_choice": choice}, {"tools": offered}


def _called(call: Any, *tools: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    calls = {"role": "assistant", "tool_calls": [{"id": "c1", **call}]}
    result = {"role": "tool", "tool_call_id": "c1", "content": "ok"}
    return _messages(calls, result, tools=[*tools]), {"tools": [*tools]}


_CLOSED = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
_GRAMMAR = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: A"}}

_ANSWER: dict[str, Sample] = {
    **alone(
        model="other",
        stream=True,
        stream_options={"include_usage": True},
        max_completion_tokens=50,
        max_tokens=50,
        stop=["END"],
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        frequency_penalty=0.5,
        presence_penalty=0.5,
        seed=1,
        logit_bias={"1": 1},
        n=2,
        logprobs=True,
        top_logprobs=2,
        verbosity="low",
        prediction={"type": "content", "content": "x"},
    ),
    "`modalities` with `audio`": ({"modalities": ["text", "audio"], "audio": {"voice": "a", "format": "wav"}}, {}),
    "`modalities` of text alone": ({"modalities": ["text"]}, {}),
    "`audio` without `modalities`": ({"audio": {"voice": "a", "format": "wav"}}, {}),
    "`response_format: json_object`": ({"response_format": {"type": "json_object"}}, {}),
    "`response_format: json_schema`": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}},
        {},
    ),
}
_THINKING: dict[str, Sample] = {
    "`reasoning_effort`": ({"reasoning_effort": "low"}, {}),
    "`reasoning_effort: none`": ({"reasoning_effort": "none"}, {}),
    "`reasoning.max_tokens` (OpenRouter)": ({"reasoning": {"max_tokens": 2048}}, {}),
    "`thinking: enabled` (Moonshot, DeepSeek, Z.ai)": ({"thinking": {"type": "enabled"}}, {}),
}
_CONDITIONS: dict[str, Sample] = {
    **alone(
        user="u",
        metadata={"a": "b"},
        service_tier="flex",
        store=True,
        moderation={"model": "m"},
        prompt_cache_key="k",
        prompt_cache_options={"mode": "x"},
        prompt_cache_retention="24h",
        safety_identifier="s",
    ),
    "any field of another vendor": ({"vendor_field": 1}, {}),
}
_USER: dict[str, Sample] = {
    "role `system` or `developer`, first": ({"messages": [{"role": "developer", "content": "S"}, _HI]}, {}),
    "role `system` or `developer`, later": (
        _messages({"role": "assistant", "content": "Y"}, {"role": "system", "content": "S"}, _HI),
        _messages({"role": "assistant", "content": "Y"}, _HI),
    ),
    "`name` of a message": ({"messages": [{**_HI, "name": "bob"}]}, {}),
    "`text`": (_user({"type": "text", "text": "a"}), _user()),
    "`cache_control` (OpenRouter)": (
        _user({"type": "text", "text": "a", "cache_control": _CACHE}),
        _user({"type": "text", "text": "a"}),
    ),
    "`image_url`, data": (
        _user({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0K"}}),
        _user(),
    ),
    "`image_url`, URL": (_user({"type": "image_url", "image_url": _URL}), _user()),
    "`detail` of an image": (
        _user({"type": "image_url", "image_url": {**_URL, "detail": "low"}}),
        _user({"type": "image_url", "image_url": _URL}),
    ),
    "`input_audio`": (_user({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}), _user()),
    "`video_url` (OpenRouter, Moonshot)": (
        _user({"type": "video_url", "video_url": {"url": "https://x/y.mp4"}}),
        _user(),
    ),
    "`file`, data": (
        _user({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}}),
        _user(),
    ),
    "`file`, id": (_user({"type": "file", "file": {"file_id": "f1"}}), _user()),
    "a kind of part yet unknown": (_user({"type": "hologram"}), _user()),
}
_DETAILS = [{"type": "reasoning.text", "text": "t", "signature": "s"}]
_SAID: dict[str, Sample] = {
    "`content`": (_model(), _messages({"role": "user", "content": "Go on."})),
    "`refusal`": (
        _messages({"role": "assistant", "refusal": "No."}, _HI),
        _messages(_HI),
    ),
    "`reasoning_content`, `reasoning`, `reasoning_details`": (_model(reasoning_details=_DETAILS), _model()),
    "`annotations`": (
        _model(annotations=[{"type": "url_citation", "url_citation": {"url": "https://x", "title": "t"}}]),
        _model(),
    ),
    "`audio`": (_model(audio={"id": "a"}), _model()),
    "a last message of the assistant's": (_messages({"role": "assistant", "content": "Once"}), _messages()),
}
_TOOLS: dict[str, Sample] = {
    "`tools: function`": (_function(description="d"), {}),
    "`strict`": (_function(strict=True, parameters=_CLOSED), _function(parameters=_CLOSED)),
    "`tools: custom`": ({"tools": [_FREE]}, {}),
    "grammar of a custom tool": (
        {"tools": [{"type": "custom", "custom": {"name": "c", "format": _GRAMMAR}}]},
        {"tools": [_FREE]},
    ),
    "`functions`": ({"functions": [_LEGACY]}, {}),
    "`function_call`": ({"functions": [_LEGACY], "function_call": {"name": "f"}}, {"functions": [_LEGACY]}),
    "`web_search_options`": ({"web_search_options": {}}, {}),
    "tools that the provider runs": ({"tools": [_TOOL, {"type": "browser_search"}]}, {"tools": [_TOOL]}),
    "`tool_choice: auto`": _choice("auto"),
    "`tool_choice: none`": _choice("none"),
    "`tool_choice: required`": _choice("required"),
    "`tool_choice: function`": _choice({"type": "function", "function": {"name": "f"}}),
    "`tool_choice: custom`": _choice({"type": "custom", "custom": {"name": "c"}}, _FREE),
    "`tool_choice: allowed_tools`": _choice(
        {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
        },
        _TOOL,
        _FREE,
    ),
    "`parallel_tool_calls`": ({"tools": [_TOOL], "parallel_tool_calls": False}, {"tools": [_TOOL]}),
    "`tool_calls`, role `tool`": _called({"type": "function", "function": {"name": "f", "arguments": "{}"}}, _TOOL),
    "`tool_calls: custom`": _called({"type": "custom", "custom": {"name": "c", "input": "x"}}, _FREE),
    "`function_call`, role `function`": (
        _messages(
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "ok"},
            functions=[_LEGACY],
        ),
        {"functions": [_LEGACY]},
    ),
}

SAMPLES: Samples = {
    "The answer": _ANSWER,
    "Thinking": _THINKING,
    "Conditions": _CONDITIONS,
    "What the user says": _USER,
    "What the model said": _SAID,
    "Tools": _TOOLS,
}
