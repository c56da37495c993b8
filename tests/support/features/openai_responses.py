"""What clients of OpenAI's Responses may send, by example. Stored state is seen to before a request is translated."""

from __future__ import annotations

from typing import Any

from features.table import Sample, Samples, alone

_HI = {"role": "user", "content": "Hi"}
_GO_ON = ({"role": "assistant", "content": "Hello."}, {"role": "user", "content": "Go on."})
_TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}}
_FREE = {"type": "custom", "name": "c"}
_SEARCH = {"type": "tool_search", "execution": "client", "parameters": {"type": "object"}}
_CLOSED = {**_TOOL, "parameters": {"type": "object", "properties": {}, "required": [], "additionalProperties": False}}
_URL = {"type": "input_image", "image_url": "https://x/y.png"}
_PNG = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0K"}

Pair = tuple[dict[str, Any], dict[str, Any]]


def _input(*items: Any, **fields: Any) -> dict[str, Any]:
    return {"input": [_HI, *items], **fields}


def _user(*parts: Any) -> Pair:
    hi = {"type": "input_text", "text": "Hi"}
    return {"input": [{"role": "user", "content": [hi, *parts]}]}, {"input": [{"role": "user", "content": [hi]}]}


def _item(kind: str, **fields: Any) -> Pair:
    return _input({"type": kind, **fields}, *_GO_ON), _input(*_GO_ON)


def _said(**part: Any) -> Pair:
    message = {"type": "message", "id": "m1", "status": "completed", "role": "assistant", "content": [part]}
    return _input(message, *_GO_ON), _input(*_GO_ON)


def _choice(choice: Any) -> Pair:
    tools = [_TOOL, _FREE]
    return {"tools": tools, "tool_choice": choice}, {"tools": tools}


def _output(output: Any) -> dict[str, Any]:
    call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    return _input(call, {"type": "function_call_output", "call_id": "c1", "output": output}, tools=[_TOOL])


def _hosted(kind: str, **fields: Any) -> Pair:
    return {"tools": [_TOOL, {"type": kind, **fields}]}, {"tools": [_TOOL]}


_ANSWER: dict[str, Sample] = {
    **alone(
        model="other",
        stream=True,
        stream_options={"include_obfuscation": True},
        max_output_tokens=50,
        temperature=0.5,
        top_p=0.9,
        frequency_penalty=0.5,
        presence_penalty=0.5,
        top_logprobs=2,
        truncation="auto",
        max_tool_calls=3,
    ),
    "`include: message.output_text.logprobs`": ({"include": ["message.output_text.logprobs"]}, {}),
    "`include: reasoning.encrypted_content`": ({"include": ["reasoning.encrypted_content"]}, {}),
    "`include` of anything else": ({"include": ["file_search_call.results"]}, {}),
    "`text.verbosity`": ({"text": {"verbosity": "low"}}, {}),
    "`text.format: json_object`": ({"text": {"format": {"type": "json_object"}}}, {}),
    "`text.format: json_schema`": (
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}}},
        {},
    ),
}
_THINKING: dict[str, Sample] = {
    "`reasoning.effort`": ({"reasoning": {"effort": "low"}}, {}),
    "`reasoning.effort: none`": ({"reasoning": {"effort": "none"}}, {}),
    "`reasoning.summary`": ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning": {"effort": "low"}}),
}
_CONDITIONS: dict[str, Sample] = {
    **alone(
        user="u",
        metadata={"a": "b"},
        service_tier="flex",
        moderation={"model": "m"},
        prompt_cache_key="k",
        prompt_cache_options={"mode": "x"},
        prompt_cache_retention="24h",
        safety_identifier="s",
        context_management=[{"type": "compaction"}],
        image={"x": 1},
        access_programs={"x": 1},
        client_metadata={"a": "b"},
        store=True,
    ),
}
_USER: dict[str, Sample] = {
    "`instructions`": ({"instructions": "S"}, {}),
    "role `system` or `developer`": (_input({"role": "developer", "content": "S"}), {}),
    "`input_text`": _user({"type": "input_text", "text": "a"}),
    "`input_image`, data": _user(_PNG),
    "`input_image`, URL": _user(_URL),
    "`detail` of an image": (_user({**_URL, "detail": "low"})[0], _user(_URL)[0]),
    "`input_image` or `input_file`, id": _user({"type": "input_image", "file_id": "f"}),
    "`input_file`, data": _user(
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}
    ),
    "`input_file`, URL": _user({"type": "input_file", "file_url": "https://x/y.pdf"}),
    "`input_audio`": _user({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
    "a kind of part yet unknown": _user({"type": "hologram"}),
    "`item_reference`, unresolved": _item("item_reference", id="x"),
}
_SAID: dict[str, Sample] = {
    "`message: output_text`": _said(type="output_text", text="Y", annotations=[]),
    "`message: refusal`": _said(type="refusal", refusal="No."),
    "`reasoning`": _item("reasoning", id="r1", summary=[{"type": "summary_text", "text": "t"}], encrypted_content="e"),
    "`compaction`": _item("compaction", encrypted_content="e"),
    "`web_search_call`, `file_search_call`": _item(
        "web_search_call", id="w1", status="completed", action={"type": "search", "query": "q"}
    ),
    "`code_interpreter_call`, `mcp_call`": _item("mcp_call", id="w", name="n", server_label="l", arguments="{}"),
    "`image_generation_call`": _item("image_generation_call", id="w", status="completed", result="iVBORw0K"),
    "`computer_call`, `computer_call_output`": _item("computer_call", id="w", call_id="c9", status="completed"),
    "`local_shell_call`, `local_shell_call_output`": _item("local_shell_call_output", id="c9", output="o"),
    "`shell_call`, `shell_call_output`": _item("shell_call", call_id="c9", action={"commands": ["ls"]}),
    "`apply_patch_call`, `apply_patch_call_output`": _item("apply_patch_call_output", call_id="c9"),
    "`program`, `program_output`": _item("program", id="p", call_id="c9", code="x", fingerprint="f"),
    "`mcp_list_tools`, `mcp_approval_request`, `mcp_approval_response`": _item(
        "mcp_approval_response", approval_request_id="w", approve=True
    ),
    "`compaction_trigger`, `configuration_update`": _item("configuration_update"),
    "a kind of item yet unknown": _item("hologram"),
}
_FUNCTIONS: dict[str, Sample] = {
    "`tools: function`": ({"tools": [{**_TOOL, "description": "d"}]}, {}),
    "`strict`": ({"tools": [{**_CLOSED, "strict": True}]}, {"tools": [_CLOSED]}),
    "`tools: custom`": ({"tools": [_FREE]}, {}),
    "grammar of a custom tool": (
        {"tools": [{**_FREE, "format": {"type": "grammar", "syntax": "lark", "definition": "start: A"}}]},
        {"tools": [_FREE]},
    ),
    "`tools: namespace`": ({"tools": [{"type": "namespace", "name": "n", "description": "d", "tools": [_TOOL]}]}, {}),
    "`tools: tool_search` that the client runs": ({"tools": [_SEARCH]}, {}),
    "`defer_loading`": ({"tools": [_TOOL, {**_FREE, "defer_loading": True}]}, {"tools": [_TOOL]}),
    "`tool_choice: auto`": _choice("auto"),
    "`tool_choice: none`": _choice("none"),
    "`tool_choice: required`": _choice("required"),
    "`tool_choice: function`": _choice({"type": "function", "name": "f"}),
    "`tool_choice: custom`": _choice({"type": "custom", "name": "c"}),
    "`tool_choice: allowed_tools`": _choice(
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]}
    ),
    "`parallel_tool_calls`": ({"tools": [_TOOL], "parallel_tool_calls": False}, {"tools": [_TOOL]}),
    "`function_call`, `function_call_output`": (_output("ok"), {"tools": [_TOOL]}),
    "image in an output": (_output([{"type": "input_text", "text": "ok"}, _PNG]), _output("ok")),
    "`custom_tool_call`, `custom_tool_call_output`": (
        _input(
            {"type": "custom_tool_call", "call_id": "c1", "name": "c", "input": "x"},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "ok"},
            tools=[_FREE],
        ),
        {"tools": [_FREE]},
    ),
    "`tool_search_call`, `tool_search_output`": (
        _input(
            {"type": "tool_search_call", "execution": "client", "call_id": "c1", "arguments": {"q": 1}},
            {"type": "tool_search_output", "execution": "client", "call_id": "c1", "tools": [_TOOL]},
            tools=[_SEARCH],
        ),
        {"tools": [_SEARCH]},
    ),
    "`additional_tools`": _item("additional_tools", role="developer", tools=[_TOOL]),
}
_HOSTED: dict[str, Sample] = {
    "`web_search`, `web_search_preview` alone": ({"tools": [{"type": "web_search"}]}, {}),
    "`web_search`, `web_search_preview` beside functions": _hosted("web_search"),
    "`code_interpreter` alone": ({"tools": [{"type": "code_interpreter", "container": "c"}]}, {}),
    "`code_interpreter` beside functions": _hosted("code_interpreter", container="c"),
    "`tool_search` that OpenAI runs, with deferred tools": (
        {"tools": [_TOOL, {**_FREE, "defer_loading": True}, {"type": "tool_search"}]},
        {"tools": [_TOOL, {**_FREE, "defer_loading": True}]},
    ),
    **{
        f"`{kind}`": _hosted(kind)
        for kind in (
            "file_search",
            "image_generation",
            "mcp",
            "computer",
            "computer_use_preview",
            "local_shell",
            "shell",
            "apply_patch",
            "programmatic_tool_calling",
        )
    },
    "`tool_choice` of one of these": (
        {"tools": [_TOOL, {"type": "file_search"}], "tool_choice": {"type": "file_search"}},
        {"tools": [_TOOL, {"type": "file_search"}], "tool_choice": "required"},
    ),
}

SAMPLES: Samples = {
    "The answer": _ANSWER,
    "Thinking": _THINKING,
    "Conditions": _CONDITIONS,
    "What the user says": _USER,
    "What the model said, and its provider's tools did": _SAID,
    "Functions": _FUNCTIONS,
    "Tools that the provider runs": _HOSTED,
}
