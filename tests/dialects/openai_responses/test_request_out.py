"""Canonical requests → what a Responses upstream is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from millstream.core.errors import ClientFault
from millstream.core.messages import (
    Leftovers,
    MediaPart,
    Message,
    Opaque,
    Part,
    Reasoning,
    ReasoningPart,
    RefusalPart,
    Request,
    ResponseFormat,
    ServerToolResultPart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolReferencePart,
    ToolResultPart,
    UnknownPart,
)
from millstream.dialects.base import ClientCall, Target, UpstreamRequest
from millstream.dialects.openai_responses import DIALECT
from millstream.dialects.openai_responses.quirks import ResponsesQuirks

Sent = Callable[..., tuple[dict[str, Any], UpstreamRequest]]
Asked = Callable[..., Request]

USER = Message("user", (TextPart("hi"),), plain=True)


def foreign(*messages: Message, **fields: Any) -> Request:
    return Request("anthropic", "m", messages or (USER,), **fields)


def items(sent: Sent, *parts: Part, role: Any = "assistant", **quirks: Any) -> list[dict[str, Any]]:
    body, _ = sent(foreign(Message(role, parts)), **quirks)
    found: list[dict[str, Any]] = body["input"]
    return found


def test_another_dialects_request_asks_for_reasoning_that_needs_no_state(sent: Sent) -> None:
    body, rendered = sent(foreign(system=(TextPart("Be brief."), TextPart("And kind.")), max_tokens=100), stream=True)
    assert body == {
        "model": "upstream-model",
        "instructions": "Be brief.\n\nAnd kind.",
        "input": [{"type": "message", "role": "user", "content": "hi"}],
        "max_output_tokens": 100,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "stream": True,
    }
    assert (rendered.path, rendered.dropped) == ("/responses", ())


def test_system_messages_in_place_stay_there(sent: Sent) -> None:
    body, _ = sent(foreign(USER, Message("system", (TextPart("Now in French."),)), USER))
    assert [item["role"] for item in body["input"]] == ["user", "system", "user"]
    assert body["input"][1]["content"] == [{"type": "input_text", "text": "Now in French."}]


def test_a_turn_of_the_assistant_is_items_in_its_order(sent: Sent) -> None:
    found = items(
        sent,
        ReasoningPart("hm", Opaque("openai_responses", "rs_1|gAAA")),
        TextPart("ok"),
        RefusalPart("no"),
        ToolCallPart("c", "f", ""),
        TextPart("after"),
    )
    assert found == [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "gAAA",
        },
        {"type": "message", "role": "assistant", "content": "ok"},
        {"type": "message", "role": "assistant", "content": "no"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "message", "role": "assistant", "content": "after"},
    ]


@pytest.mark.parametrize(
    "thought",
    [
        ReasoningPart("hm"),
        ReasoningPart("hm", Opaque("anthropic", "sig")),
        ReasoningPart(redacted=Opaque("anthropic", "data")),
    ],
)
def test_thoughts_only_another_provider_can_read_are_not_sent(sent: Sent, thought: ReasoningPart) -> None:
    assert [item["type"] for item in items(sent, thought, TextPart("ok"))] == ["message"]


def test_results_come_before_what_the_user_says_with_them(sent: Sent) -> None:
    image = MediaPart("image", "image/png", data="AAAA")
    found = items(
        sent,
        ToolResultPart("a", "fine"),
        ToolResultPart("b", "no such file", is_error=True),
        ToolResultPart("c", (TextPart("see"), image)),
        ToolResultPart("d", (ToolReferencePart("Grep"),)),
        TextPart("go on"),
        role="user",
    )
    assert found[:4] == [
        {"type": "function_call_output", "call_id": "a", "output": "fine"},
        {"type": "function_call_output", "call_id": "b", "output": "Error: no such file"},
        {
            "type": "function_call_output",
            "call_id": "c",
            "output": [
                {"type": "input_text", "text": "see"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
            ],
        },
        {
            "type": "function_call_output",
            "call_id": "d",
            "output": [{"type": "input_text", "text": "The tool Grep can be called now."}],
        },
    ]
    assert found[4]["content"] == [{"type": "input_text", "text": "go on"}]


def test_media_of_a_user(sent: Sent) -> None:
    found = items(
        sent,
        MediaPart("image", url="https://x/y.png", detail="high"),
        MediaPart("document", "application/pdf", data="BBBB"),
        MediaPart("document", text="plain words", name="notes"),
        MediaPart("audio", "audio/mpeg", data="CCCC"),
        role="user",
    )
    assert found[0]["content"] == [
        {"type": "input_image", "image_url": "https://x/y.png", "detail": "high"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,BBBB", "filename": "document"},
        {"type": "input_text", "text": "notes\n\nplain words"},
        {"type": "input_audio", "input_audio": {"data": "CCCC", "format": "mp3"}},
    ]


def test_what_would_change_the_question_if_it_were_left_out_is_refused(sent: Sent) -> None:
    for request, param in [
        (foreign(Message("user", (MediaPart("video", url="http://v"),))), "messages[0].content[0]"),
        (foreign(Message("user", (MediaPart("audio", url="http://a"),))), "messages[0].content[0]"),
        (foreign(n=2), "n"),
        (foreign(system=(MediaPart("image", url="http://i"),)), "system[0]"),
    ]:
        with pytest.raises(ClientFault) as caught:
            sent(request)
        assert caught.value.param == param


def test_a_part_that_no_assistant_says_is_refused(sent: Sent) -> None:
    with pytest.raises(ClientFault):
        items(sent, ToolResultPart("c", "x"))


def test_odd_parts_of_results_and_messages(sent: Sent) -> None:
    own, other = UnknownPart("openai_responses", {"type": "input_new"}), UnknownPart("gemini", {"type": "blob"})
    body, rendered = sent(
        foreign(
            Message(
                "user",
                (
                    ToolResultPart("a", (own, other), is_error=True),
                    ToolResultPart("b", (TextPart("Error: x"),), is_error=True),
                    ToolResultPart("c", "error: y", is_error=True),
                    other,
                ),
            )
        )
    )
    assert [item["output"] for item in body["input"]] == [
        [{"type": "input_text", "text": "Error:"}, {"type": "input_new"}],
        [{"type": "input_text", "text": "Error: x"}],
        "error: y",
    ]
    assert rendered.dropped == ("messages.blob",)


def test_files_are_known_by_their_ids_to_the_provider_alone_that_holds_them(sent: Sent) -> None:
    by_id = MediaPart("image", file_id="file-1"), MediaPart("document", url="http://d", file_id="file-2")
    body, _ = sent(Request("openai_responses", "m", (Message("user", by_id),)))
    assert body["input"][0]["content"] == [
        {"type": "input_image", "file_id": "file-1"},
        {"type": "input_file", "file_url": "http://d", "file_id": "file-2"},
    ]
    for part in by_id:
        with pytest.raises(ClientFault, match="another provider"):
            items(sent, part, role="user")


def test_an_image_needs_something_to_be_seen(sent: Sent) -> None:
    with pytest.raises(ClientFault):
        items(sent, MediaPart("image"), role="user")


def test_a_hosted_tool_of_this_api_can_be_forced(sent: Sent) -> None:
    search = Tool("web_search", kind="server", origin="openai_responses", data={"type": "web_search"})
    body, _ = sent(foreign(tools=(search,), tool_choice=ToolChoice("tool", ("web_search",))))
    assert (body["tools"], body["tool_choice"]) == ([{"type": "web_search"}], {"type": "web_search"})


def test_stop_sequences_are_left_to_whoever_relays_the_reply(sent: Sent) -> None:
    body, rendered = sent(foreign(stop=("</block>",)))
    assert "stop" not in body
    assert rendered.stop == ("</block>",)
    assert rendered.dropped == ()


def test_what_only_tunes_is_dropped_and_named(sent: Sent) -> None:
    request = foreign(
        Message("user", (TextPart("hi"),), name="bob"),
        top_k=5,
        seed=1,
        user="x" * 65,
        leftovers=Leftovers(tuning=("context_management",)),
    )
    body, rendered = sent(request)
    assert rendered.dropped == ("context_management", "messages.name", "seed", "top_k")
    assert not {"top_k", "seed"} & body.keys()


def test_a_users_name_that_is_too_long_becomes_a_digest(sent: Sent) -> None:
    body, _ = sent(foreign(user="x" * 65))
    assert len(body["user"]) == 64
    assert sent(foreign(user="bob"))[0]["user"] == "bob"


def test_fields_of_openais_other_api_are_carried(sent: Sent) -> None:
    shared = {"verbosity": ("verbosity", "low"), "service_tier": ("service_tier", "flex"), "store": ("store", True)}
    body, rendered = sent(foreign(leftovers=Leftovers(shared=shared)))
    assert (body["text"], body["service_tier"], body["store"]) == ({"verbosity": "low"}, "flex", True)
    assert rendered.dropped == ()


def test_functions_of_other_dialects_are_not_strict_unless_they_say_so(sent: Sent) -> None:
    body, _ = sent(foreign(tools=(Tool("f", "d", {"type": "object"}), Tool("g", strict=True))))
    assert body["tools"] == [
        {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": False},
        {"type": "function", "name": "g", "parameters": {"type": "object", "properties": {}}, "strict": True},
    ]


def test_deferred_tools_are_sent_once_a_search_has_found_them(sent: Sent) -> None:
    tools = (Tool("Read"), Tool("Grep", deferred=True), Tool("Glob", deferred=True))
    loaded = Message("user", (ToolResultPart("c", (ToolReferencePart("Grep"),)),))
    body, _ = sent(foreign(USER, loaded, tools=tools))
    assert [tool["name"] for tool in body["tools"]] == ["Read", "Grep"]
    assert not any("defer_loading" in tool for tool in body["tools"])


def test_tools_another_provider_runs_are_left_out_and_the_model_is_told(sent: Sent) -> None:
    search = Tool("web_search", kind="server", origin="anthropic", data={"type": "web_search_20250305"})
    body, rendered = sent(foreign(tools=(search,), tool_choice=ToolChoice("tool", ("web_search",))))
    assert "tools" not in body
    assert "tool_choice" not in body
    assert "web_search is not available here" in body["instructions"]
    assert rendered.dropped == ("tools.web_search",)


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (ToolChoice("auto"), "auto"),
        (ToolChoice("none"), "none"),
        (ToolChoice("any"), "required"),
        (ToolChoice("tool", ("f",)), {"type": "function", "name": "f"}),
        (ToolChoice("tool", ("p",)), {"type": "custom", "name": "p"}),
        (ToolChoice("tool", ("gone",)), "auto"),
        (
            ToolChoice("any", ("f", "gone")),
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
        ),
    ],
)
def test_every_tool_choice(sent: Sent, choice: ToolChoice, written: Any) -> None:
    body, _ = sent(foreign(tools=(Tool("f"), Tool("p", kind="custom")), tool_choice=choice))
    assert body["tool_choice"] == written


@pytest.mark.parametrize(
    ("reasoning", "written"),
    [
        (Reasoning("enabled", budget=2000), {"effort": "low", "summary": "auto"}),
        (Reasoning("enabled", budget=10_000), {"effort": "medium", "summary": "auto"}),
        (Reasoning("enabled", budget=31_999), {"effort": "high", "summary": "auto"}),
        (Reasoning("adaptive", "xhigh"), {"effort": "xhigh", "summary": "auto"}),
        (Reasoning("adaptive", display="omitted"), None),
        (Reasoning("disabled"), None),
    ],
)
def test_how_hard_to_think_is_an_effort(sent: Sent, reasoning: Reasoning, written: Any) -> None:
    assert sent(foreign(reasoning=reasoning))[0].get("reasoning") == written


def test_a_schema_for_the_answer_is_the_texts_format(sent: Sent) -> None:
    body, _ = sent(foreign(response_format=ResponseFormat("json_schema", schema={"type": "object"}, strict=True)))
    assert body["text"] == {
        "format": {"type": "json_schema", "name": "reply", "schema": {"type": "object"}, "strict": True}
    }


@pytest.mark.parametrize("wanted", [{"logprobs": True}, {"top_logprobs": 3}])
def test_log_probabilities_that_a_client_of_another_dialect_could_not_read_are_refused(
    sent: Sent, wanted: dict[str, Any]
) -> None:
    with pytest.raises(ClientFault) as caught:
        sent(foreign(**wanted))
    assert caught.value.param == "logprobs"
    assert sent(foreign(logprobs=False))[0]["include"] == ["reasoning.encrypted_content"]


def test_ids_longer_than_the_api_takes_are_cut_alike_in_call_and_result(sent: Sent) -> None:
    long = "call_" + "x" * 100
    body, _ = sent(
        foreign(
            Message("assistant", (ToolCallPart(long, "f", "{}"),)),
            Message("user", (ToolResultPart(long, "ok"),)),
        )
    )
    call, result = body["input"]
    assert call["call_id"] == result["call_id"]
    assert len(call["call_id"]) <= 64


def test_what_another_provider_ran_is_told_as_text(sent: Sent) -> None:
    found = items(
        sent,
        ToolCallPart("srv", "web_search", "{}", kind="server"),
        ServerToolResultPart("anthropic", "srv", {"content": []}, text="Ruby 4 is out"),
        UnknownPart("anthropic", {"type": "container_upload"}),
    )
    assert [item["content"] for item in found] == ["Ruby 4 is out"]


def test_a_picture_the_model_made_elsewhere_is_shown_by_the_user(sent: Sent) -> None:
    found = items(sent, MediaPart("image", "image/png", data="AAAA"))
    image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    assert found == [{"type": "message", "role": "user", "content": [image]}]


def test_quirks_leave_out_what_a_provider_does_not_take(sent: Sent) -> None:
    request = foreign(
        Message("developer", (TextPart("x"),)),
        reasoning=Reasoning("enabled", "high"),
        temperature=0.5,
        max_tokens=1,
    )
    body, rendered = sent(
        request, store=None, encrypted_reasoning=False, reasoning=False, sampling=False, developer_role=False
    )
    assert body == {
        "model": "upstream-model",
        "input": [{"type": "message", "role": "system", "content": [{"type": "input_text", "text": "x"}]}],
        "max_output_tokens": 16,
    }
    assert rendered.dropped == ("reasoning", "temperature")
    off = foreign(reasoning=Reasoning("disabled"))
    assert sent(off, can_disable_reasoning=True)[0]["reasoning"] == {"effort": "none"}
    assert sent(foreign(reasoning=Reasoning("enabled", "low")), summaries=False)[0]["reasoning"] == {"effort": "low"}


CODEX_TOOLS = [
    {"type": "function", "name": "f", "parameters": {"type": "object"}},
    {"type": "custom", "name": "apply_patch", "description": "Edit.", "format": {"type": "grammar", "definition": "g"}},
    {"type": "namespace", "name": "n", "description": "d", "tools": [{"type": "function", "name": "inner"}]},
    {"type": "tool_search", "execution": "client", "parameters": {"type": "object"}},
    {"type": "web_search"},
]
CODEX_INPUT = [
    {"type": "custom_tool_call", "call_id": "a", "name": "apply_patch", "input": "x"},
    {"type": "function_call", "call_id": "b", "name": "inner", "namespace": "n", "arguments": "{}"},
    {"type": "tool_search_call", "call_id": "c", "execution": "client", "arguments": {"query": "q"}},
    {"type": "custom_tool_call_output", "call_id": "a", "output": "done"},
    {"type": "function_call_output", "call_id": "b", "output": "ok"},
    {"type": "tool_search_output", "call_id": "c", "execution": "client", "tools": [{"type": "function", "name": "g"}]},
]


def test_an_upstream_with_functions_only_is_told_of_nothing_else(sent: Sent, asked: Asked) -> None:
    request = asked(tools=CODEX_TOOLS, input=CODEX_INPUT, tool_choice={"type": "custom", "name": "apply_patch"})
    body, rendered = sent(request, custom_tools=False, namespaces=False, tool_search=False, hosted_tools=())
    assert [(tool["type"], tool["name"]) for tool in body["tools"]] == [
        ("function", "f"),
        ("function", "apply_patch"),
        ("function", "n__inner"),
        ("function", "tool_search"),
        ("function", "g"),
    ]
    assert "g" in body["tools"][1]["description"]
    assert [item["type"] for item in body["input"]] == ["function_call"] * 3 + ["function_call_output"] * 3
    assert [item["name"] for item in body["input"][:3]] == ["apply_patch", "n__inner", "tool_search"]
    assert json.loads(body["input"][0]["arguments"]) == {"input": "x"}
    assert body["tool_choice"] == {"type": "function", "name": "apply_patch"}
    assert rendered.dropped == ("tools.web_search",)


def _requests(corpus: Path) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for path in sorted(corpus.glob("requests/*/*.json")):
        capture = json.loads(path.read_bytes())
        if "/responses" in capture["path"] and isinstance(capture["body"], dict):
            found.append((f"{path.parent.name}/{path.name}", capture["body"]))
    return found


def test_every_captured_request_survives_the_canonical_form(corpus: Path) -> None:
    captured = _requests(corpus)
    assert len(captured) >= 13
    for name, body in captured:
        request = DIALECT.parse_request(ClientCall(json.dumps(body).encode()))
        target = Target(body["model"], ResponsesQuirks(), stream=body.get("stream", False))
        rendered = DIALECT.render_request(request, target)
        assert json.loads(rendered.body) == body, name
        assert rendered.dropped == (), name


EVERY_KIND: list[dict[str, Any]] = [
    {"role": "user", "content": "easy"},
    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "d"}], "status": "completed"},
    {"role": "user", "content": []},
    {
        "role": "user",
        "content": [
            {"type": "input_text", "text": "t", "prompt_cache_breakpoint": {"mode": "explicit"}},
            {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,AA==", "file_id": None},
            {"type": "input_file", "file_data": "AAAA", "filename": "raw.bin", "detail": "low"},
            {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "wav"}},
            {"type": "input_future", "x": 1},
        ],
    },
    {"role": "assistant", "content": "plain"},
    {"role": "assistant", "content": []},
    {"type": "reasoning", "id": "rs", "summary": [], "content": None, "encrypted_content": "e", "status": "completed"},
    {"type": "reasoning", "id": "rs2", "summary": [{"type": "summary_text", "text": "by id"}]},
    {"type": "reasoning", "id": "rs3", "summary": [], "content": [{"type": "reasoning_text", "text": "open"}]},
    {
        "type": "message",
        "id": "m1",
        "role": "assistant",
        "status": "completed",
        "phase": "commentary",
        "content": [
            {"type": "output_text", "text": "a", "annotations": [], "logprobs": []},
            {"type": "output_text", "text": "b"},
            {"type": "refusal", "refusal": "c"},
        ],
    },
    {"type": "message", "id": "m2", "role": "assistant", "content": [{"type": "output_text", "text": "next"}]},
    {"type": "message", "role": "assistant", "content": [{"type": "input_text", "text": "odd but accepted"}]},
    {
        "type": "function_call",
        "id": "fc",
        "call_id": "c1",
        "name": "f",
        "arguments": "{bad",
        "caller": {"type": "direct"},
    },
    {"type": "function_call", "call_id": "c2", "name": "inner", "namespace": "n", "arguments": "{}"},
    {"type": "custom_tool_call", "id": "ct", "call_id": "c3", "name": "p", "input": "free"},
    {"type": "function_call_output", "id": "fo", "call_id": "c1", "output": "x", "status": "completed"},
    {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_image", "image_url": "http://i"}]},
    {"type": "custom_tool_call_output", "call_id": "c3", "output": [{"type": "input_text", "text": "y"}]},
    {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "open_page", "url": "u"}},
    {"type": "image_generation_call", "id": "ig", "status": "completed", "result": "AAAA"},
    {"type": "computer_call", "id": "cu", "call_id": "c4", "action": {"type": "wait"}, "pending_safety_checks": []},
    {"type": "computer_call_output", "call_id": "c4", "output": {"type": "computer_screenshot", "image_url": "u"}},
    {"type": "mcp_approval_request", "id": "ar", "name": "n", "arguments": "{}", "server_label": "s"},
    {"type": "mcp_approval_response", "approval_request_id": "ar", "approve": True},
    {"type": "tool_search_call", "id": "ts", "call_id": "c5", "execution": "client", "arguments": {"query": "q"}},
    {
        "type": "tool_search_output",
        "call_id": "c5",
        "execution": "client",
        "tools": [{"type": "function", "name": "g"}],
    },
    {"type": "tool_search_call", "id": "ts", "call_id": None, "execution": "server", "arguments": {}},
    {"type": "additional_tools", "role": "developer", "tools": [{"type": "function", "name": "h"}]},
    {"type": "compaction", "id": "cmp", "encrypted_content": "zz"},
    {"id": "msg_stored"},
    {"type": "item_reference", "id": "msg_stored"},
    {"type": "compaction_trigger"},
]


def test_every_kind_of_item_part_tool_and_setting_survives_the_canonical_form(sent: Sent, asked: Asked) -> None:
    body = {
        "model": "upstream-model",
        "input": EVERY_KIND,
        "instructions": "i",
        "tools": [
            *CODEX_TOOLS,
            {"type": "function", "name": "k", "parameters": None, "strict": True, "defer_loading": True},
            {"type": "function", "name": "l", "parameters": {}, "defer_loading": False},
            {"type": "mcp", "server_label": "wiki", "server_url": "u", "require_approval": "never"},
            {"type": "code_interpreter", "container": {"type": "auto"}},
            {"type": "namespace", "name": "empty", "description": "", "tools": []},
        ],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp", "server_label": "wiki"}]},
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low", "summary": "detailed", "context": "auto"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": None}, "verbosity": "high"},
        "max_output_tokens": 5,
        "temperature": 0,
        "top_p": 0.5,
        "top_logprobs": 1,
        "include": ["message.output_text.logprobs"],
        "store": True,
        "background": True,
        "previous_response_id": "resp_1",
        "metadata": {"a": "b"},
        "prompt_cache_key": "k",
        "service_tier": "flex",
        "truncation": "auto",
        "user": "u" * 100,
        "stream_options": {"include_obfuscation": False},
        "from_the_future": [1, {"x": None}],
    }
    rendered, upstream = sent(asked(**body))
    assert rendered == body
    assert upstream.dropped == ()
