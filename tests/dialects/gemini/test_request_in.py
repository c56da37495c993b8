"""A client's request becomes the canonical one; what is wrong with it is named by its path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from millstream.core.errors import ClientFault
from millstream.core.messages import (
    MediaPart,
    Message,
    Opaque,
    Reasoning,
    ReasoningPart,
    Request,
    ResponseFormat,
    ServerToolResultPart,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
    UnknownPart,
)
from millstream.dialects.base import ClientCall, Envelope
from millstream.dialects.gemini import DIALECT
from millstream.dialects.gemini.render import stream_content_type, wants_array

HI = {"role": "user", "parts": [{"text": "Hi"}]}


def parse(body: Any, **call: Any) -> Request:
    return DIALECT.parse_request(ClientCall(json.dumps(body).encode(), model=call.pop("model", "gemini-x"), **call))


def contents(*parts: Any, role: str = "user") -> tuple[Any, ...]:
    return parse({"contents": [{"role": role, "parts": list(parts)}]}).messages[0].parts


def config(**fields: Any) -> Request:
    return parse({"contents": [HI], "generationConfig": fields})


def test_model_and_streaming_come_from_the_url() -> None:
    call = ClientCall(json.dumps({"contents": [HI]}).encode(), model="models/gemini-x", stream=True)
    assert DIALECT.peek(call) == Envelope("gemini-x", stream=True)
    request = DIALECT.parse_request(call)
    assert (request.model, request.stream, request.origin) == ("gemini-x", True, "gemini")
    with pytest.raises(ClientFault, match="names no model") as raised:
        DIALECT.peek(ClientCall(b"{}"))
    assert raised.value.param == "model"


@pytest.mark.parametrize(
    ("params", "array"),
    [({"alt": "sse"}, False), ({"$alt": "sse"}, False), ({}, True), ({"alt": "json"}, True), (None, False)],
)
def test_a_stream_is_an_array_unless_the_url_says_otherwise(params: dict[str, str] | None, array: bool) -> None:
    request = parse({"contents": [HI]}, stream=True, params=params)
    assert wants_array(request) is array
    assert stream_content_type(request).startswith("application/json" if array else "text/event-stream")
    assert not wants_array(parse({"contents": [HI]}, stream=False, params={}))


def test_turns_are_the_users_and_the_models() -> None:
    request = parse({"contents": [HI, {"role": "model", "parts": [{"text": "Ho"}]}]})
    assert request.messages == (Message("user", (TextPart("Hi"),)), Message("assistant", (TextPart("Ho"),)))


def test_a_turn_without_a_role_is_the_users() -> None:
    assert parse({"contents": [{"parts": [{"text": "Hi"}]}]}).messages[0].role == "user"


def test_snake_case_and_null_are_taken_as_google_takes_them() -> None:
    request = parse(
        {
            "contents": [{"role": "user", "parts": [{"inline_data": {"mime_type": "image/png", "data": "AA"}}]}],
            "system_instruction": {"parts": [{"text": "Be kind.", "thought": False}]},
            "safety_settings": None,
            "generation_config": {"max_output_tokens": "64", "top_k": 40.0, "stop_sequences": ["END"], "seed": None},
            "tools": [
                {"function_declarations": [{"name": "f_g", "parameters": {"type": "OBJECT"}}], "code_execution": None}
            ],
            "tool_config": {"function_calling_config": {"mode": "ANY"}},
        }
    )
    assert request.messages[0].parts == (MediaPart("image", "image/png", data="AA"),)
    assert request.system == (TextPart("Be kind."),)
    assert (request.max_tokens, request.top_k, request.stop) == (64, 40, ("END",))
    assert [(tool.name, tool.parameters) for tool in request.tools] == [("f_g", {"type": "object"})]
    assert request.tool_choice is not None
    assert request.tool_choice.mode == "any"


def test_names_inside_a_clients_own_data_are_left_alone() -> None:
    schema = {"type": "OBJECT", "properties": {"snake_name": {"type": "STRING"}}}
    call = {"functionCall": {"name": "f", "args": {"snake_arg": {"a_b": None}}}}
    request = parse(
        {
            "contents": [HI, {"role": "model", "parts": [call]}],
            "tools": [{"functionDeclarations": [{"name": "f", "parameters": schema}]}],
            "labels": {"my_team": "x"},
        }
    )
    assert request.tools[0].parameters == {"type": "object", "properties": {"snake_name": {"type": "string"}}}
    (part,) = request.messages[1].parts
    assert isinstance(part, ToolCallPart)
    assert json.loads(part.arguments) == {"snake_arg": {"a_b": None}}
    assert request.extra == {"gemini": {"labels": {"my_team": "x"}}}


def test_an_instruction_may_be_bare_text() -> None:
    request = parse({"contents": [HI], "systemInstruction": "Be kind."})
    assert (request.system, request.system_plain) == ((TextPart("Be kind."),), True)


def test_thoughts_and_signatures_of_any_part_are_kept() -> None:
    parts = contents(
        {"text": "hm", "thought": True, "thoughtSignature": "c2ln"},
        {"text": "so", "thoughtSignature": "dGV4dA=="},
        {"functionCall": {"name": "f", "id": "1", "args": {"a": 1}}, "thoughtSignature": "Y2FsbA=="},
        {"thoughtSignature": "YmFyZQ=="},
        role="model",
    )
    assert parts[0] == ReasoningPart("hm", Opaque("gemini", "c2ln"))
    assert parts[1] == TextPart("so", signature=Opaque("gemini", "dGV4dA=="))
    assert parts[2] == ToolCallPart("1", "f", '{"a":1}', signature=Opaque("gemini", "Y2FsbA=="))
    assert (parts[3].text, parts[3].signature) == ("", Opaque("gemini", "YmFyZQ=="))


def test_media_come_as_data_or_by_address() -> None:
    parts = contents(
        {"inlineData": {"mimeType": "application/pdf", "data": "AA", "displayName": "a.pdf"}},
        {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/v.mp4"}, "videoMetadata": {"fps": 2}},
        {"fileData": {"fileUri": "https://x/y"}, "mediaResolution": {"level": "MEDIA_RESOLUTION_LOW"}},
    )
    assert (parts[0].kind, parts[0].data, parts[0].name) == ("document", "AA", "a.pdf")
    assert (parts[1].kind, parts[1].url, parts[1].extra) == (
        "video",
        "gs://b/v.mp4",
        {"gemini": {"videoMetadata": {"fps": 2}}},
    )
    assert (parts[2].media_type, parts[2].detail) == (None, "low")


def test_calls_without_ids_are_matched_with_their_answers_by_name_and_order() -> None:
    def call(name: str) -> dict[str, Any]:
        return {"functionCall": {"name": name, "args": {}}}

    def answer(name: str, text: str) -> dict[str, Any]:
        return {"functionResponse": {"name": name, "response": {"output": text}}}

    request = parse(
        {
            "contents": [
                HI,
                {"role": "model", "parts": [call("f"), call("g"), call("f")]},
                {"role": "function", "parts": [answer("f", "f1"), answer("f", "f2"), answer("g", "g1")]},
                {"role": "model", "parts": [call("f")]},
                {"role": "user", "parts": [answer("f", "f3")]},
            ]
        }
    )
    calls = [part for message in request.messages for part in message.parts if isinstance(part, ToolCallPart)]
    answers = [part for message in request.messages for part in message.parts if isinstance(part, ToolResultPart)]
    assert [part.id for part in calls] == ["call_1_0", "call_1_1", "call_1_2", "call_3_0"]
    assert [(part.call_id, part.content) for part in answers] == [
        ("call_1_0", "f1"),
        ("call_1_2", "f2"),
        ("call_1_1", "g1"),
        ("call_3_0", "f3"),
    ]
    assert request.messages[2].role == "user"


def test_given_ids_match_whatever_the_order() -> None:
    def part(kind: str, number: str) -> dict[str, Any]:
        return {kind: {"name": "f", "id": number}}

    calls = [part("functionCall", "a"), part("functionCall", "b"), {"functionCall": {"name": "f"}}]
    answers = [part("functionResponse", "b"), part("functionResponse", "a"), {"functionResponse": {"name": "f"}}]
    request = parse({"contents": [{"role": "model", "parts": calls}, {"role": "user", "parts": answers}]})
    found = [part.call_id for part in request.messages[1].parts if isinstance(part, ToolResultPart)]
    assert found == ["b", "a", "call_0_2"]


@pytest.mark.parametrize(
    ("response", "text", "is_error"),
    [
        ({"output": "ok"}, "ok", False),
        ({"error": "bad"}, "bad", True),
        ({"result": "ok"}, "ok", False),
        ({"name": "f", "content": "hi"}, "hi", False),
        ({"output": {"a": 1}}, '{"a":1}', False),
        ({"a": 1, "b": 2}, '{"a":1,"b":2}', False),
        ({}, "{}", False),
        (None, "", False),
    ],
)
def test_what_a_tool_said_is_taken_out_of_its_wrapping(response: Any, text: str, is_error: bool) -> None:
    (part,) = contents({"functionResponse": {"name": "f", "id": "1", "response": response}})
    assert (part.content, part.is_error, part.name) == (text, is_error, "f")


def test_a_tools_pictures_are_part_of_what_it_said() -> None:
    picture = {"inlineData": {"mimeType": "image/png", "data": "AA"}}
    answer = {"name": "f", "id": "1", "response": {"output": "see"}, "parts": [picture], "scheduling": "SILENT"}
    (part,) = contents({"functionResponse": answer})
    assert part.content == (TextPart("see"), MediaPart("image", "image/png", data="AA"))


def test_arguments_that_were_no_object_come_back_as_they_were() -> None:
    (part,) = contents({"functionCall": {"name": "f", "args": {"__unparsedToolInput": "{oops"}}}, role="model")
    assert part.arguments == "{oops"


def test_code_and_tools_of_the_server_are_told_apart_from_the_clients() -> None:
    parts = contents(
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
        {"toolCall": {"toolType": "URL_CONTEXT", "id": "t", "args": {"url": "x"}}},
        {"toolResponse": {"toolType": "URL_CONTEXT", "id": "t", "response": {"ok": True}}},
        role="model",
    )
    assert [part.kind for part in parts if isinstance(part, ToolCallPart)] == ["server", "server"]
    assert parts[1] == ServerToolResultPart(
        "gemini", parts[0].id, {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}, "1"
    )
    assert (parts[2].name, parts[2].arguments) == ("url_context", '{"url":"x"}')
    assert parts[3].call_id == "t"


def test_a_part_of_a_kind_yet_unknown_is_carried() -> None:
    assert contents({"hologram": {"depth": 3}}) == (UnknownPart("gemini", {"hologram": {"depth": 3}}, asked=True),)


def test_sampling_is_named_canonically() -> None:
    request = config(
        temperature=1, topP=0.95, topK=64, candidateCount=2, maxOutputTokens=9, stopSequences=["a", "b"], seed=7,
        presencePenalty=0.1, frequencyPenalty=-0.2, responseLogprobs=True, logprobs=3,
    )  # fmt: skip
    assert (request.temperature, request.top_p, request.top_k, request.n, request.max_tokens) == (1, 0.95, 64, 2, 9)
    assert (request.stop, request.seed, request.presence_penalty) == (("a", "b"), 7, 0.1)
    assert (request.frequency_penalty, request.logprobs, request.top_logprobs) == (-0.2, True, 3)


def test_what_has_no_canonical_name_rides_along() -> None:
    request = parse(
        {
            "contents": [HI],
            "cachedContent": "cachedContents/1",
            "generationConfig": {"topK": 1.5, "responseModalities": ["AUDIO"], "speechConfig": {"languageCode": "de"}},
            "toolConfig": {"retrievalConfig": {"languageCode": "de"}},
        }
    )
    assert request.top_k is None
    assert request.extra == {
        "gemini": {
            "cachedContent": "cachedContents/1",
            "toolConfig": {"retrievalConfig": {"languageCode": "de"}},
            "generationConfig": {"topK": 1.5, "responseModalities": ["AUDIO"], "speechConfig": {"languageCode": "de"}},
        }
    }


@pytest.mark.parametrize(
    ("written", "mode", "effort", "budget"),
    [
        ({"thinkingBudget": 0}, "disabled", None, None),
        ({"thinkingBudget": -1}, "adaptive", None, None),
        ({"thinkingBudget": 512}, "enabled", None, 512),
        ({"thinkingLevel": "HIGH", "includeThoughts": True}, None, "high", None),
        ({"include_thoughts": True, "thinking_level": "low"}, None, "low", None),
    ],
)
def test_thinking_is_a_budget_or_a_level(written: Any, mode: Any, effort: str | None, budget: int | None) -> None:
    reasoning = config(thinkingConfig=written).reasoning
    assert reasoning == Reasoning(mode, effort, budget, extra={"gemini": {"thinkingConfig": written}})


def test_thoughts_may_be_declined() -> None:
    reasoning = config(thinkingConfig={"includeThoughts": False}).reasoning
    assert reasoning is not None
    assert reasoning.display == "omitted"


def test_a_response_format_is_a_schema_in_json_schemas_words() -> None:
    old = config(responseMimeType="application/json", responseSchema={"type": "OBJECT", "nullable": True})
    new = config(responseMimeType="application/json", responseJsonSchema={"type": "OBJECT"})
    assert old.response_format is not None
    assert (old.response_format.kind, old.response_format.schema) == ("json_schema", {"type": ["object", "null"]})
    assert new.response_format is not None
    assert new.response_format.schema == {"type": "object"}
    assert config(responseMimeType="application/json").response_format == ResponseFormat(
        "json_object", extra={"gemini": {"responseMimeType": "application/json"}}
    )
    plain = config(responseMimeType="text/plain").response_format
    assert plain is not None
    assert plain.kind == "text"
    assert config().response_format is None


@pytest.mark.parametrize(
    ("calling", "choice"),
    [
        ({"mode": "AUTO"}, ToolChoice("auto")),
        ({"mode": "NONE"}, ToolChoice("none")),
        ({"mode": "ANY"}, ToolChoice("any")),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, ToolChoice("tool", ("f",))),
        ({"mode": "ANY", "allowedFunctionNames": ["f", "g"]}, ToolChoice("any", ("f", "g"))),
        ({"mode": "VALIDATED", "allowedFunctionNames": ["f"]}, ToolChoice("auto", ("f",))),
        ({}, ToolChoice("auto")),
    ],
)
def test_the_choice_of_tools_is_named_canonically(calling: dict[str, Any], choice: ToolChoice) -> None:
    found = parse({"contents": [HI], "toolConfig": {"functionCallingConfig": calling}}).tool_choice
    assert found is not None
    assert (found.mode, found.names) == (choice.mode, choice.names)


def test_tools_that_google_runs_are_server_tools() -> None:
    request = parse({"contents": [HI], "tools": [{"googleSearch": {}}, {"urlContext": {}, "codeExecution": {}}]})
    assert [(tool.name, tool.kind, tool.origin, tool.data) for tool in request.tools] == [
        ("google_search", "server", "gemini", {"googleSearch": {}}),
        ("url_context", "server", "gemini", {"urlContext": {}}),
        ("code_execution", "server", "gemini", {"codeExecution": {}}),
    ]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "contents"),
        ({"contents": []}, "contents"),
        ({"contents": {}}, "contents"),
        ({"contents": "Hi"}, "contents"),
        ({"contents": [5]}, "contents[0]"),
        ({"contents": [{"role": "system", "parts": []}]}, "contents[0].role"),
        ({"contents": [{"role": 1}]}, "contents[0].role"),
        ({"contents": [{"parts": {}}]}, "contents[0].parts"),
        ({"contents": [{"parts": ["x"]}]}, "contents[0].parts[0]"),
        ({"contents": [HI, {"parts": [{"text": 7}]}]}, "contents[1].parts[0].text"),
        ({"contents": [{"parts": [{"text": "a", "functionCall": {"name": "f"}}]}]}, "contents[0].parts[0]"),
        ({"contents": [{"parts": [{"functionCall": {}}]}]}, "contents[0].parts[0].functionCall.name"),
        (
            {"contents": [{"parts": [{"functionCall": {"name": "f", "args": []}}]}]},
            "contents[0].parts[0].functionCall.args",
        ),
        (
            {"contents": [{"parts": [{"functionResponse": {"response": {}}}]}]},
            "contents[0].parts[0].functionResponse.name",
        ),
        ({"contents": [{"role": "model", "parts": [{"functionResponse": {"name": "f"}}]}]}, "contents[0]"),
        ({"contents": [{"parts": [{"inlineData": {"mimeType": "a/b"}}]}]}, "contents[0].parts[0].inlineData.data"),
        ({"contents": [{"parts": [{"fileData": {}}]}]}, "contents[0].parts[0].fileData.fileUri"),
        ({"contents": [HI], "systemInstruction": {"parts": [{"text": []}]}}, "systemInstruction.parts[0].text"),
        ({"contents": [HI], "generationConfig": {"temperature": "hot"}}, "generationConfig.temperature"),
        ({"contents": [HI], "generationConfig": {"maxOutputTokens": 1.5}}, "generationConfig.maxOutputTokens"),
        ({"contents": [HI], "generationConfig": {"seed": True}}, "generationConfig.seed"),
        ({"contents": [HI], "generationConfig": {"stopSequences": [1]}}, "generationConfig.stopSequences[0]"),
        ({"contents": [HI], "generationConfig": {"responseSchema": 5}}, "generationConfig.responseSchema"),
        (
            {"contents": [HI], "generationConfig": {"thinkingConfig": {"thinkingBudget": "a"}}},
            "generationConfig.thinkingConfig.thinkingBudget",
        ),
        ({"contents": [HI], "tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
        (
            {
                "contents": [HI],
                "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"properties": {"a": 5}}}]}],
            },
            "tools[0].functionDeclarations[0].parameters.properties.a",
        ),
        (
            {"contents": [HI], "toolConfig": {"functionCallingConfig": {"mode": "SOMETIMES"}}},
            "toolConfig.functionCallingConfig.mode",
        ),
    ],
)
def test_what_is_wrong_is_named_by_its_path(body: Any, path: str) -> None:
    with pytest.raises(ClientFault) as raised:
        parse(body)
    assert raised.value.param == path
    assert path in raised.value.message


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"no", b'{"contents": "\xff"}', b"[" * 9000, b'{"x":' + b'{"a":' * 9000 + b"1" + b"}" * 9001]
)
def test_what_is_no_object_at_all_is_the_clients_fault(body: bytes) -> None:
    with pytest.raises(ClientFault):
        DIALECT.parse_request(ClientCall(body, model="m"))


def test_a_schema_nested_beyond_reason_is_the_clients_fault() -> None:
    schema: dict[str, Any] = {"type": "OBJECT"}
    for _ in range(400):
        schema = {"type": "ARRAY", "items": schema}
    with pytest.raises(ClientFault, match="too deeply"):
        parse({"contents": [HI], "tools": [{"functionDeclarations": [{"name": "f", "parameters": schema}]}]})
