"""A request of another dialect becomes one that Gemini takes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
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
from millstream.dialects.gemini import DIALECT
from millstream.dialects.gemini.quirks import GeminiQuirks
from millstream.dialects.gemini.signatures import SKIP_VALIDATION

USER = Message("user", (TextPart("Hi"),))
FUNCTION = Tool("f", "does f", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
CALL = ToolCallPart("c1", "f", '{"a": 1}')


def render(
    *messages: Message, model: str = "gemini-3-pro", quirks: dict[str, Any] | None = None, **fields: Any
) -> UpstreamRequest:
    request = Request("anthropic", "claude", messages or (USER,), **fields)
    return DIALECT.render_request(
        request, Target(model, GeminiQuirks(**(quirks or {})), stream=fields.get("stream", False))
    )


def body(*messages: Message, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(render(*messages, **fields).body)
    return found


def turns(*messages: Message, **fields: Any) -> list[tuple[str, list[Any]]]:
    return [(content["role"], content["parts"]) for content in body(*messages, **fields)["contents"]]


def assistant(*parts: Part) -> Message:
    return Message("assistant", parts)


def user(*parts: Part) -> Message:
    return Message("user", parts)


@pytest.mark.parametrize(
    ("model", "stream", "quirks", "path"),
    [
        ("gemini-x", True, {}, "/v1beta/models/gemini-x:streamGenerateContent?alt=sse"),
        ("gemini-x", False, {}, "/v1beta/models/gemini-x:generateContent"),
        ("models/gemini-x", False, {}, "/v1beta/models/gemini-x:generateContent"),
        ("tunedModels/mine", False, {}, "/v1beta/tunedModels/mine:generateContent"),
        ("gemini-x", False, {"model_path": "/v1/models/{model}"}, "/v1/models/gemini-x:generateContent"),
        (
            "gemini-x",
            True,
            {"model_path": "/publishers/google/models/{model}"},
            "/publishers/google/models/gemini-x:streamGenerateContent?alt=sse",
        ),
        ("../a b?c#d", False, {}, "/v1beta/models/%2E%2E/a%20b%3Fc%23d:generateContent"),
    ],
)
def test_the_model_and_the_method_stand_in_the_path(
    model: str, stream: bool, quirks: dict[str, Any], path: str
) -> None:
    assert render(model=model, stream=stream, quirks=quirks).path == path


def test_the_system_prompt_is_an_instruction() -> None:
    system = (TextPart("Be kind."), TextPart(""), TextPart("Be brief."))
    assert body(system=system)["systemInstruction"] == {"parts": [{"text": "Be kind."}, {"text": "Be brief."}]}
    assert "systemInstruction" not in body()


def test_system_messages_before_all_others_join_the_instruction() -> None:
    messages = (Message("system", (TextPart("a"),)), Message("developer", (TextPart("b"),)), USER)
    found = body(*messages, system=(TextPart("first"),))
    assert found["systemInstruction"] == {"parts": [{"text": "first"}, {"text": "a"}, {"text": "b"}]}
    assert found["contents"] == [{"role": "user", "parts": [{"text": "Hi"}]}]


def test_system_messages_in_the_middle_are_reminders_from_the_user() -> None:
    reminder = Message("system", (TextPart("mind"), TextPart("the gap")))
    assert turns(USER, reminder, assistant(TextPart("Ho"))) == [
        ("user", [{"text": "Hi"}, {"text": "<system-reminder>\nmind\n\nthe gap\n</system-reminder>"}]),
        ("model", [{"text": "Ho"}]),
    ]


@pytest.mark.parametrize("where", ["system", "message"])
def test_a_picture_in_a_system_prompt_is_refused(where: str) -> None:
    picture = MediaPart("image", "image/png", data="AA")
    with pytest.raises(ClientFault, match="only text"):
        if where == "system":
            render(system=(picture,))
        else:
            render(USER, Message("system", (picture,)))


def test_turns_alternate_and_the_user_begins() -> None:
    found = turns(assistant(TextPart("a")), assistant(TextPart("b")), user(TextPart("c")), user(TextPart("d")))
    assert [role for role, _ in found] == ["user", "model", "user"]
    assert found[1:] == [("model", [{"text": "a"}, {"text": "b"}]), ("user", [{"text": "c"}, {"text": "d"}])]


def test_a_history_of_system_messages_alone_still_has_a_turn() -> None:
    found = body(Message("system", (TextPart("a"),)))
    assert [content["role"] for content in found["contents"]] == ["user"]


def test_empty_texts_and_turns_are_left_out() -> None:
    assert turns(user(TextPart("")), USER, assistant(TextPart("")), user(TextPart("x"))) == [
        ("user", [{"text": "Hi"}, {"text": "x"}])
    ]


def test_calls_and_results_name_their_function() -> None:
    results = user(TextPart("note"), ToolResultPart("c1", "one"), ToolResultPart("c2", "bad", is_error=True))
    found = turns(USER, assistant(CALL, ToolCallPart("c2", "g", "")), results, model="gemini-2.5-flash")
    assert found[1:] == [
        (
            "model",
            [
                {"functionCall": {"name": "f", "args": {"a": 1}, "id": "c1"}},
                {"functionCall": {"name": "g", "args": {}, "id": "c2"}},
            ],
        ),
        (
            "user",
            [
                {"functionResponse": {"name": "f", "id": "c1", "response": {"output": "one"}}},
                {"functionResponse": {"name": "g", "id": "c2", "response": {"error": "bad"}}},
                {"text": "note"},
            ],
        ),
    ]


def test_results_of_parallel_calls_share_one_turn_though_the_client_sent_several() -> None:
    calls = assistant(CALL, ToolCallPart("c2", "g", "{}"))
    found = turns(USER, calls, user(ToolResultPart("c1", "1")), user(ToolResultPart("c2", "2")))
    assert [part["functionResponse"]["name"] for part in found[2][1]] == ["f", "g"]


def test_a_result_without_its_call_is_refused() -> None:
    with pytest.raises(ClientFault, match="no call 'c9'") as raised:
        render(USER, user(ToolResultPart("c9", "x")))
    assert raised.value.param == "messages[1]"


def test_ids_may_be_left_out() -> None:
    found = turns(USER, assistant(CALL), user(ToolResultPart("c1", "1")), quirks={"call_ids": False})
    assert "id" not in found[1][1][0]["functionCall"]
    assert "id" not in found[2][1][0]["functionResponse"]


@pytest.mark.parametrize("arguments", ["{oops", "[1]", '"x"', '{"a": 1} x'])
def test_arguments_that_are_no_object_are_kept_in_one(arguments: str) -> None:
    found = turns(USER, assistant(ToolCallPart("c1", "f", arguments)))
    assert found[1][1][0]["functionCall"]["args"] == {"__unparsedToolInput": arguments}


def test_a_free_text_tool_is_a_function_of_one_string() -> None:
    tool = Tool(
        "patch", "applies", kind="custom", format={"type": "grammar", "syntax": "lark", "definition": "start: x"}
    )
    call = ToolCallPart("c1", "patch", "*** Begin", kind="custom")
    result = ToolResultPart("c1", "ok", kind="custom")
    found = body(USER, assistant(call), user(result), tools=(tool,))
    declared = found["tools"][0]["functionDeclarations"][0]
    assert declared["parametersJsonSchema"]["properties"]["input"]["type"] == "string"
    assert "start: x" in declared["description"]
    assert found["contents"][1]["parts"][0]["functionCall"]["args"] == {"input": "*** Begin"}


def test_unsigned_calls_of_others_skip_validation_from_gemini_3_on_the_first_of_each_turn() -> None:
    history = (
        USER,
        assistant(CALL, ToolCallPart("c2", "f", "{}")),
        user(ToolResultPart("c1", "1"), ToolResultPart("c2", "2")),
    )

    def signatures(**options: Any) -> list[Any]:
        return [part.get("thoughtSignature") for part in turns(*history, **options)[1][1]]

    assert signatures(model="gemini-3.8-flash") == [SKIP_VALIDATION, None]
    assert signatures(model="gemini-flash-latest") == [SKIP_VALIDATION, None]
    assert signatures(model="gemini-2.5-pro") == [None, None]
    assert signatures(model="gemini-3.8-flash", quirks={"skip_signature": False}) == [None, None]


def test_only_googles_own_signatures_go_back() -> None:
    own, foreign = Opaque("gemini", "c2ln"), Opaque("anthropic", "EqQB")
    first = assistant(
        ReasoningPart("mine", own), TextPart("x", signature=own), ToolCallPart("c1", "f", "{}", signature=own)
    )
    second = assistant(
        ReasoningPart("theirs", foreign), ReasoningPart("none"), ToolCallPart("c2", "f", "{}", signature=foreign)
    )
    found = turns(USER, first, user(ToolResultPart("c1", "1")), second)
    assert found[1][1] == [
        {"text": "mine", "thought": True, "thoughtSignature": "c2ln"},
        {"text": "x", "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "f", "args": {}, "id": "c1"}, "thoughtSignature": "c2ln"},
    ]
    call = {"functionCall": {"name": "f", "args": {}, "id": "c2"}, "thoughtSignature": SKIP_VALIDATION}
    assert found[3][1] == [call]


def test_pictures_go_inline_and_by_address() -> None:
    parts = user(
        MediaPart("image", "image/png", data="AA"),
        MediaPart("image", "image", url="https://x/cat.JPG?size=2"),
        MediaPart("document", url="gs://b/a.pdf"),
        MediaPart("image", url="https://x/picture"),
    )
    assert turns(parts)[0][1] == [
        {"inlineData": {"mimeType": "image/png", "data": "AA"}},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://x/cat.JPG?size=2"}},
        {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://b/a.pdf"}},
        {"fileData": {"fileUri": "https://x/picture"}},
    ]


@pytest.mark.parametrize(
    ("part", "word"),
    [
        (MediaPart("image", url="http://x/a.png"), "http://x/a.png"),
        (MediaPart("image", url="file:///etc/passwd"), "file:///etc/passwd"),
        (MediaPart("document", file_id="file-123"), "file-123"),
        (MediaPart("image", "image", data="AA"), "media type"),
    ],
)
def test_media_that_cannot_be_said_are_refused_by_name(part: MediaPart, word: str) -> None:
    with pytest.raises(ClientFault, match=word) as raised:
        render(user(part))
    assert raised.value.param == "messages[0]"


def test_a_provider_may_fetch_less() -> None:
    with pytest.raises(ClientFault, match="gs://"):
        render(user(MediaPart("image", url="https://x/a.png")), quirks={"file_uri_schemes": ("gs://",)})


def test_a_document_of_text_is_text() -> None:
    part = MediaPart("document", "text/plain", text="body", name="a.txt", context="draft")
    assert turns(user(part))[0][1] == [{"text": "a.txt\n\ndraft\n\nbody"}]


def test_pictures_in_a_result_are_within_it_from_gemini_3_on_and_beside_it_before() -> None:
    picture = MediaPart("image", "image/png", data="AA")
    history = (USER, assistant(CALL), user(TextPart("look"), ToolResultPart("c1", (TextPart("see"), picture))))
    inline = {"inlineData": {"mimeType": "image/png", "data": "AA"}}
    answer = {"name": "f", "id": "c1", "response": {"output": "see"}}
    assert turns(*history)[2][1] == [{"functionResponse": {**answer, "parts": [inline]}}, {"text": "look"}]
    old = turns(*history, model="gemini-2.5-flash")[2][1]
    assert old == [{"functionResponse": answer}, {"text": "look"}, inline]
    assert turns(*history, quirks={"media_in_results": "sibling"})[2][1] == old


def test_a_text_document_in_a_result_is_part_of_its_text() -> None:
    document = MediaPart("document", "text/plain", text="body")
    (answer,) = turns(USER, assistant(CALL), user(ToolResultPart("c1", (TextPart("see"), document))))[2][1]
    assert answer["functionResponse"]["response"] == {"output": "see\nbody"}


def test_a_tool_that_a_search_loaded_is_declared_and_the_others_are_not() -> None:
    tools = (FUNCTION, Tool("late", deferred=True), Tool("later", deferred=True))
    history = (USER, assistant(CALL), user(ToolResultPart("c1", (ToolReferencePart("late"),))))
    found = body(*history, tools=tools)
    assert [tool["name"] for tool in found["tools"][0]["functionDeclarations"]] == ["f", "late"]
    assert "late is loaded" in found["contents"][2]["parts"][0]["functionResponse"]["response"]["output"]


def test_refusals_are_text_and_what_only_others_understand_is_dropped_by_name() -> None:
    search = ToolCallPart("s1", "web_search", "{}", kind="server")
    result = ServerToolResultPart("anthropic", "s1", {"type": "web_search_tool_result"})
    message = assistant(RefusalPart("no"), search, result, UnknownPart("anthropic", {"type": "compaction"}))
    found = render(USER, message)
    assert json.loads(found.body)["contents"][1]["parts"] == [{"text": "no"}]
    assert found.dropped == ("messages.server_tool_use", "messages.server_tool_result", "messages.compaction")


def test_functions_are_declared_with_json_schema() -> None:
    declared = body(tools=(FUNCTION, Tool("g")))["tools"]
    assert declared == [
        {
            "functionDeclarations": [
                {"name": "f", "description": "does f", "parametersJsonSchema": FUNCTION.parameters},
                {"name": "g"},
            ]
        }
    ]


def test_a_function_without_parameters_has_no_schema() -> None:
    tool = Tool("g", parameters={"type": "object", "properties": {}, "additionalProperties": False, "$schema": "x"})
    assert body(tools=(tool,))["tools"] == [{"functionDeclarations": [{"name": "g"}]}]


def test_a_provider_without_json_schema_gets_openapi() -> None:
    found = body(
        tools=(FUNCTION,),
        response_format=ResponseFormat(
            "json_schema", schema={"type": "object", "properties": {"x": {"type": "string"}}}
        ),
        quirks={"json_schema": False},
    )
    declared = found["tools"][0]["functionDeclarations"][0]
    assert declared["parameters"] == {"type": "OBJECT", "properties": {"a": {"type": "INTEGER"}}, "required": ["a"]}
    assert found["generationConfig"]["responseSchema"] == {"type": "OBJECT", "properties": {"x": {"type": "STRING"}}}


@pytest.mark.parametrize(
    ("choice", "calling"),
    [
        (ToolChoice("auto"), {"mode": "AUTO"}),
        (ToolChoice("none"), {"mode": "NONE"}),
        (ToolChoice("any"), {"mode": "ANY"}),
        (ToolChoice("any", ("f",)), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice("tool", ("f",)), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice("auto", ("f",)), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
    ],
)
def test_the_choice_of_tools_is_a_calling_mode(choice: ToolChoice, calling: dict[str, Any]) -> None:
    assert body(tools=(FUNCTION,), tool_choice=choice)["toolConfig"] == {"functionCallingConfig": calling}


def test_where_some_tools_cannot_be_permitted_only_those_are_declared() -> None:
    choice = ToolChoice("auto", ("f",))
    found = body(tools=(FUNCTION, Tool("g")), tool_choice=choice, quirks={"validated_mode": False})
    assert [tool["name"] for tool in found["tools"][0]["functionDeclarations"]] == ["f"]
    assert found["toolConfig"] == {"functionCallingConfig": {"mode": "AUTO"}}


def test_a_server_tool_of_another_provider_is_left_out_and_the_model_told() -> None:
    search = Tool("web_search", kind="server", origin="anthropic", data={"type": "web_search_20250305"})
    found = render(tools=(FUNCTION, search), tool_choice=ToolChoice("tool", ("web_search",)))
    wire = json.loads(found.body)
    assert found.dropped == ("tools.web_search",)
    assert [list(group) for group in wire["tools"]] == [["functionDeclarations"]]
    assert wire["toolConfig"] == {"functionCallingConfig": {"mode": "AUTO"}}
    assert "web_search is not available" in wire["systemInstruction"]["parts"][-1]["text"]


def test_a_request_for_nothing_but_a_search_gets_googles_own() -> None:
    search = Tool("web_search", kind="server", origin="anthropic", data={"type": "web_search_20250305"})
    found = render(tools=(search,), tool_choice=ToolChoice("tool", ("web_search",)))
    wire = json.loads(found.body)
    assert wire["tools"] == [{"googleSearch": {}}]
    assert found.dropped == ()
    assert "toolConfig" not in wire
    refused = render(tools=(search,), quirks={"map_server_tools": False})
    assert refused.dropped == ("tools.web_search",)


def test_arguments_in_pieces_are_asked_for_where_the_provider_has_them() -> None:
    streaming = body(tools=(FUNCTION,), stream=True, quirks={"stream_arguments": True})
    assert streaming["toolConfig"] == {"functionCallingConfig": {"streamFunctionCallArguments": True}}
    assert "toolConfig" not in body(tools=(FUNCTION,), quirks={"stream_arguments": True})


def test_sampling_is_named_in_googles_words() -> None:
    found = body(
        max_tokens=9, temperature=0.5, top_p=0.9, top_k=40, n=2, stop=("a",), seed=7,
        frequency_penalty=0.1, presence_penalty=0.2,
    )  # fmt: skip
    assert found["generationConfig"] == {
        "maxOutputTokens": 9, "temperature": 0.5, "topP": 0.9, "topK": 40, "candidateCount": 2, "stopSequences": ["a"],
        "seed": 7, "frequencyPenalty": 0.1, "presencePenalty": 0.2,
    }  # fmt: skip
    assert "generationConfig" not in body()


def test_a_response_format_is_a_type_and_a_schema() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
    found = body(response_format=ResponseFormat("json_schema", name="x", schema=schema, strict=True))
    assert found["generationConfig"] == {"responseMimeType": "application/json", "responseJsonSchema": schema}
    loose = body(response_format=ResponseFormat("json_object"))
    assert loose["generationConfig"] == {"responseMimeType": "application/json"}
    assert "generationConfig" not in body(response_format=ResponseFormat("text"))


@pytest.mark.parametrize(
    ("model", "reasoning", "wire"),
    [
        ("gemini-3.8-flash", Reasoning(effort="high"), {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-3.8-flash", Reasoning(effort="max"), {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-3.8-flash", Reasoning("disabled"), {"thinkingLevel": "MINIMAL"}),
        ("gemini-3.1-pro-preview", Reasoning("disabled"), {"thinkingLevel": "LOW"}),
        ("gemini-3.8-flash", Reasoning("adaptive"), {"includeThoughts": True}),
        ("gemini-3.8-flash", Reasoning("enabled", budget=31999), {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-3.8-flash", Reasoning("enabled", budget=4000), {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        ("gemini-3.8-flash", Reasoning("adaptive", display="omitted"), None),
        ("gemini-2.5-flash", Reasoning(effort="low"), {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-flash", Reasoning(effort="none"), {"thinkingBudget": 0}),
        ("gemini-2.5-flash", Reasoning("disabled"), {"thinkingBudget": 0}),
        ("gemini-2.5-pro", Reasoning("disabled"), {"thinkingBudget": 128}),
        ("gemini-2.5-flash", Reasoning("enabled", budget=31999), {"thinkingBudget": 24576, "includeThoughts": True}),
        ("gemini-2.5-flash", Reasoning("adaptive"), {"thinkingBudget": -1, "includeThoughts": True}),
        ("gemini-2.0-flash", Reasoning(effort="high"), None),
    ],
)
def test_effort_is_a_level_or_a_budget_by_the_models_age(model: str, reasoning: Reasoning, wire: Any) -> None:
    assert body(model=model, reasoning=reasoning).get("generationConfig", {}).get("thinkingConfig") == wire


def test_what_is_only_tuning_is_dropped_by_name() -> None:
    found = render(
        Message("user", (TextPart("Hi", cache={"type": "ephemeral"}),)),
        model="gemini-2.0-flash",
        reasoning=Reasoning(effort="high"),
        parallel_tool_calls=False,
        user="u",
        leftovers=Leftovers(tuning=("metadata",)),
        extra={"gemini": {"safetySettings": []}},
    )
    assert found.dropped == ("metadata", "cache_control", "reasoning", "parallel_tool_calls", "user")
    assert json.loads(found.body)["safetySettings"] == []


def test_what_is_rendered_is_what_the_sdks_types_accept() -> None:
    types = pytest.importorskip("google.genai.types", reason="the package google-genai is not installed")
    found = body(
        USER,
        assistant(CALL),
        user(ToolResultPart("c1", (TextPart("see"), MediaPart("image", "image/png", data="AAAA")))),
        system=(TextPart("s"),),
        tools=(FUNCTION,),
        tool_choice=ToolChoice("auto", ("f",)),
        reasoning=Reasoning(effort="low"),
        response_format=ResponseFormat("json_schema", schema={"type": "object"}),
        max_tokens=5,
    )
    for content in (*found["contents"], found["systemInstruction"]):
        types.Content.model_validate(content)
    for tool in found["tools"]:
        types.Tool.model_validate(tool)
    types.ToolConfig.model_validate(found["toolConfig"])
    types.GenerationConfig.model_validate(found["generationConfig"])


def test_the_side_door_forwards_the_clients_own_bytes() -> None:
    written = b'{ "contents": [ {"parts":[{"text":"Hi"}]} ],  "new": 1.50 }'
    call = ClientCall(written, model="alias", stream=True, params={"alt": "sse"})
    target = Target("gemini-x", GeminiQuirks(), stream=True)
    found = DIALECT.forward_request(call, target)
    assert (found.body, found.path) == (written, "/v1beta/models/gemini-x:streamGenerateContent?alt=sse")
    array = DIALECT.forward_request(ClientCall(written, model="alias", stream=True, params={}), target)
    assert array.path == "/v1beta/models/gemini-x:streamGenerateContent"
    whole = DIALECT.forward_request(call, Target("gemini-x", GeminiQuirks(), stream=False))
    assert whole.path == "/v1beta/models/gemini-x:generateContent"


def test_a_model_named_in_a_forwarded_body_is_left_out() -> None:
    call = ClientCall(b'{"model": "models/alias", "contents": [1.50]}', model="alias")
    assert DIALECT.forward_request(call, Target("gemini-x", GeminiQuirks())).body == b'{"contents":[1.50]}'
    nested = ClientCall(b'{"labels": {"model": "a"}}', model="alias")
    assert DIALECT.forward_request(nested, Target("gemini-x", GeminiQuirks())).body == nested.body


def test_quirks_are_named_in_a_catalog_row() -> None:
    row = {"model_path": "/publishers/google/models/{model}", "count_wrapped": False, "file_uri_schemes": ["gs://"]}
    assert msgspec.convert(row, GeminiQuirks).file_uri_schemes == ("gs://",)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"no_such": 1}, GeminiQuirks)
