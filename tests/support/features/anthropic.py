"""What clients of Anthropic's Messages may send, by example."""

from __future__ import annotations

from typing import Any

from features.table import Sample, Samples, alone

_TOOL = {"name": "f", "input_schema": {"type": "object"}}
_CLOSED = {"name": "f", "input_schema": {"type": "object", "properties": {}, "additionalProperties": False}}
_DEFERRED = {"name": "g", "input_schema": {"type": "object"}, "defer_loading": True}
_PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0K"}
_WORDS = {"type": "text", "media_type": "text/plain", "data": "words"}
_SCHEMA = {"type": "json_schema", "schema": {"type": "object"}}
_CACHE = {"type": "ephemeral"}
_HI = {"role": "user", "content": "Hi"}


def _user(*blocks: Any, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, *blocks]}], **fields}


def _model(*blocks: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": [{"type": "text", "text": "Hello."}, *blocks]}
    return {"messages": [_HI, said, {"role": "user", "content": "Go on."}]}


def _system(**fields: Any) -> dict[str, Any]:
    return {"messages": [_HI, {"role": "system", "content": "Be brief.", **fields}]}


def _result(content: Any, *tools: Any, **fields: Any) -> dict[str, Any]:
    call = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": content, **fields}
    turns = [_HI, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    return {"tools": [_TOOL, *tools], "messages": turns}


def _tool(**fields: Any) -> dict[str, Any]:
    return {"tools": [{**_TOOL, **fields}]}


def _beside(**definition: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A tool next to a function."""
    return {"tools": [_TOOL, definition]}, {"tools": [_TOOL]}


def _choice(**choice: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"tools": [_TOOL], "tool_choice": choice}, {"tools": [_TOOL]}


_ANSWER: dict[str, Sample] = {
    **alone(model="other", stream=True, max_tokens=50, stop_sequences=["END"], temperature=0.5, top_p=0.9, top_k=5),
    "`output_config.format`, `output_format`": ({"output_config": {"format": _SCHEMA}}, {}),
    "`output_config.task_budget`": ({"output_config": {"task_budget": {"type": "tokens", "total": 20000}}}, {}),
}
_THINKING: dict[str, Sample] = {
    "`thinking: adaptive`": ({"thinking": {"type": "adaptive"}}, {}),
    "`thinking: enabled`, with a budget": ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, {}),
    "`thinking: disabled`": ({"thinking": {"type": "disabled"}}, {}),
    "`output_config.effort`": ({"output_config": {"effort": "low"}}, {}),
    "`output_config.effort` of a message": (_system(output_config={"effort": "low"}), _system()),
}
_CONDITIONS = alone(
    metadata={"user_id": "u1"},
    service_tier="standard_only",
    speed="fast",
    cache_control=_CACHE,
    context_management={"edits": [{"type": "clear_tool_uses_20250919"}]},
    safeguards=[{"type": "dangerous_tool_use"}],
    fallbacks=[{"model": "x"}],
    mcp_servers=[{"type": "url", "name": "m", "url": "https://m"}],
    billing_policy={"type": "billing_policy", "bill_to": "user_profile"},
    fallback_credit_token="t",
    diagnostics={"previous_message_id": "x"},
    user_profile_id="u",
    workspace_id="w",
    inference_geo="us",
    container="c1",
    compaction={"type": "enabled"},
    thread={"type": "continue", "previous_message_id": "x"},
)
_USER: dict[str, Sample] = {
    "`system`": ({"system": [{"type": "text", "text": "Be brief."}]}, {}),
    "role `system` within `messages`": (_system(), {}),
    "`clear_at` of a message": (_system(clear_at="x"), _system()),
    "`cache_control` of a block": (
        _user({"type": "text", "text": "a", "cache_control": _CACHE}),
        _user({"type": "text", "text": "a"}),
    ),
    "`text`": (_user({"type": "text", "text": "a"}), _user()),
    "`image`, base64": (_user({"type": "image", "source": _PNG}), _user()),
    "`image`, URL": (_user({"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}), _user()),
    "`image` or `document`, file": (_user({"type": "image", "source": {"type": "file", "file_id": "f1"}}), _user()),
    "`document`, PDF": (
        _user({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}}),
        _user(),
    ),
    "`document`, text or blocks": (_user({"type": "document", "title": "T", "source": _WORDS}), _user()),
    "`document`, URL": (
        _user({"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}}),
        _user(),
    ),
    "`citations` of a document": (
        _user({"type": "document", "source": _WORDS, "citations": {"enabled": True}}),
        _user({"type": "document", "source": _WORDS}),
    ),
    "`search_result`": (
        _user({"type": "search_result", "title": "T", "source": "s", "content": [{"type": "text", "text": "words"}]}),
        _user(),
    ),
    "`container_upload`": (_user({"type": "container_upload", "file_id": "f1"}), _user()),
    "a kind of block yet unknown": (_user({"type": "hologram"}), _user()),
}
_CITATION = {"type": "web_search_result_location", "cited_text": "c", "encrypted_index": "", "url": "https://x"}
_SAID: dict[str, Sample] = {
    "`text`": (_model(), {}),
    "`citations` of a text": (
        _model({"type": "text", "text": "a", "citations": [{**_CITATION, "title": "t"}]}),
        _model({"type": "text", "text": "a"}),
    ),
    "`thinking`": (_model({"type": "thinking", "thinking": "t", "signature": "s"}), _model()),
    "`redacted_thinking`": (_model({"type": "redacted_thinking", "data": "s"}), _model()),
    "`compaction`": (_model({"type": "compaction", "content": "summary"}), _model()),
    "`fallback`": (_model({"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}}), _model()),
    **{
        f"`{kind}`": (_model({"type": kind, "id": "s1", "name": "web_search", "input": {}}), _model())
        for kind in ("server_tool_use", "mcp_tool_use")
    },
    **{
        f"`{kind}`": (_model({"type": kind, "tool_use_id": "s1", "content": []}), _model())
        for kind in (
            "web_search_tool_result",
            "web_fetch_tool_result",
            "code_execution_tool_result",
            "bash_code_execution_tool_result",
            "text_editor_code_execution_tool_result",
            "tool_search_tool_result",
            "advisor_tool_result",
            "mcp_tool_result",
        )
    },
}
_FUNCTIONS: dict[str, Sample] = {
    "`tools`, `type: custom`": (_tool(description="d", type="custom"), {}),
    "`strict`": ({"tools": [{**_CLOSED, "strict": True}]}, {"tools": [_CLOSED]}),
    "`cache_control` of a tool": (_tool(cache_control=_CACHE), _tool()),
    "`defer_loading`": ({"tools": [_TOOL, _DEFERRED]}, _tool()),
    "`eager_input_streaming`": (_tool(eager_input_streaming=True), _tool()),
    "`input_examples`": (_tool(input_examples=[{}]), _tool()),
    "`allowed_callers`": (_tool(allowed_callers=["code_execution_20260120"]), _tool()),
    "`tool_choice: auto`": _choice(type="auto"),
    "`tool_choice: any`": _choice(type="any"),
    "`tool_choice: tool`": _choice(type="tool", name="f"),
    "`tool_choice: none`": _choice(type="none"),
    "`disable_parallel_tool_use`": (
        _choice(type="auto", disable_parallel_tool_use=True)[0],
        _choice(type="auto")[0],
    ),
    "`tool_use`, `tool_result`": (_result("ok"), _tool()),
    "`is_error`": (_result("bad", is_error=True), _result("bad")),
    "`image` in a result": (
        _result([{"type": "text", "text": "ok"}, {"type": "image", "source": _PNG}]),
        _result("ok"),
    ),
    "`document`, `search_result` in a result": (
        _result([{"type": "document", "title": "T", "source": _WORDS}]),
        _result(""),
    ),
    "`tool_reference` in a result": (
        _result([{"type": "tool_reference", "tool_name": "g"}], _DEFERRED),
        _result("", _DEFERRED),
    ),
    "`tool_addition`": (
        _user(
            {
                "type": "tool_addition",
                "tool": {"type": "tool_definition", "definition": {"name": "g", "input_schema": {"type": "object"}}},
            },
            tools=[_TOOL],
        ),
        _user(tools=[_TOOL]),
    ),
    "`tool_removal`": (
        _user({"type": "tool_removal", "tool": {"type": "tool_reference", "name": "f"}}, tools=[_TOOL]),
        _user(tools=[_TOOL]),
    ),
    "`mcp_tool_listing`": (_user({"type": "mcp_tool_listing"}), _user()),
}
_HOSTED: dict[str, Sample] = {
    "`bash_…`, `text_editor_…`, `memory_…`, `computer_…`": (
        {"tools": [{"type": "bash_20250124", "name": "bash"}]},
        {},
    ),
    "`web_search_…` alone": ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, {}),
    "`web_fetch_…` alone": ({"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}, {}),
    "`code_execution_…` alone": ({"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]}, {}),
    "any of these three beside functions": _beside(type="web_search_20250305", name="web_search"),
    "`advisor_…`": _beside(type="advisor_20260301", name="advisor", model="x"),
    "`mcp_toolset`": _beside(type="mcp_toolset", mcp_server_name="q"),
    "`computer_toolset_…`, `browser_toolset_…`": _beside(type="computer_toolset_20260801", name="q"),
    "`tool_search_tool_…`, with deferred tools": (
        {"tools": [_TOOL, _DEFERRED, {"type": "tool_search_tool_bm25_20251119", "name": "s"}]},
        {"tools": [_TOOL, _DEFERRED]},
    ),
}

SAMPLES: Samples = {
    "The answer": _ANSWER,
    "Thinking": _THINKING,
    "Conditions": _CONDITIONS,
    "What the user says": _USER,
    "What the model said": _SAID,
    "Functions": _FUNCTIONS,
    "Tools that the API knows": _HOSTED,
}
