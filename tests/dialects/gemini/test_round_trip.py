"""All that a client can say goes through the canonical request unchanged; broken input is never our fault."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.core.errors import ClientFault
from millstream.core.events import Fault, Finish
from millstream.core.grammar import Grammar
from millstream.core.messages import Message, Request, TextPart, Tool
from millstream.dialects.base import ClientCall, Target
from millstream.dialects.gemini import DIALECT
from millstream.dialects.gemini.quirks import GeminiQuirks

PICTURE = {"inlineData": {"mimeType": "image/png", "data": "AA", "displayName": "a.png"}}

EVERYTHING: dict[str, Any] = {
    "contents": [
        {
            "role": "user",
            "parts": [
                {"text": "Hi", "partMetadata": {"k": [1]}},
                {**PICTURE, "mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"}},
                {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/v"}, "videoMetadata": {"startOffset": "1s"}},
                {"hologram": {"depth": 3}},
            ],
        },
        {
            "role": "model",
            "parts": [
                {"text": "hm", "thought": True, "thoughtSignature": "dGg="},
                {"thoughtSignature": "YmFyZQ=="},
                {"executableCode": {"language": "PYTHON", "code": "1", "id": "e1"}, "thoughtSignature": "Y29kZQ=="},
                {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1", "id": "e1"}},
                {"executableCode": {"language": "PYTHON", "code": "2"}},
                {"codeExecutionResult": {"outcome": "OUTCOME_FAILED"}},
                {"toolCall": {"toolType": "FILE_SEARCH", "id": "t1", "args": {"q": 1}, "new": 1}},
                {
                    "toolResponse": {"toolType": "FILE_SEARCH", "id": "t1", "response": {"r": 1}},
                    "thoughtSignature": "cg==",
                },
                {"toolCall": {"toolType": "URL_CONTEXT"}},
                {"functionCall": {"name": "f", "args": {"a": {"b": [1, 2.5, None, "x"]}}}, "thoughtSignature": "ZmM="},
                {"functionCall": {"name": "g", "id": "g1"}},
                {"functionCall": {"name": "h", "args": {}, "partialArgs": [], "willContinue": False}},
            ],
        },
        {
            "role": "function",
            "parts": [
                {"functionResponse": {"name": "f", "response": {"result": 5}}},
                {
                    "functionResponse": {
                        "name": "g",
                        "id": "g1",
                        "response": {"output": "see"},
                        "parts": [PICTURE, {"fileData": {"fileUri": "gs://b/x"}}, {"new": 1}],
                        "scheduling": "WHEN_IDLE",
                        "willContinue": True,
                    }
                },
                {"functionResponse": {"name": "h"}},
                {"functionResponse": {"name": "h", "response": {}}},
                {"functionResponse": {"name": "h", "response": {"error": {"code": 1}}}},
            ],
        },
        {"role": "model"},
        {"parts": [{"text": ""}]},
        {"role": "user", "parts": []},
    ],
    "systemInstruction": {"role": "system", "parts": [{"text": "s"}, {"text": ""}]},
    "tools": [
        {"googleSearch": {"timeRangeFilter": {}}},
        {
            "functionDeclarations": [
                {
                    "name": "f",
                    "description": "d",
                    "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": True}}},
                    "response": {"type": "STRING"},
                    "behavior": "NON_BLOCKING",
                },
                {"name": "g", "parametersJsonSchema": {"type": "object", "properties": {}, "$schema": "x"}},
            ],
            "codeExecution": {},
        },
        {"functionDeclarations": [{"name": "h", "parametersJsonSchema": {"type": "OBJECT"}, "responseJsonSchema": {}}]},
        {"computerUse": {"environment": "ENVIRONMENT_BROWSER"}},
    ],
    "toolConfig": {
        "functionCallingConfig": {
            "mode": "VALIDATED",
            "allowedFunctionNames": ["f"],
            "streamFunctionCallArguments": True,
        },
        "retrievalConfig": {"languageCode": "de"},
        "includeServerSideToolInvocations": True,
    },
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    "cachedContent": "cachedContents/1",
    "labels": {"team": "x"},
    "serviceTier": "flex",
    "somethingNew": [1, {"a": None}],
    "generationConfig": {
        "candidateCount": 2,
        "stopSequences": ["a", "b"],
        "maxOutputTokens": 5,
        "temperature": 0,
        "topP": 1,
        "topK": 3,
        "seed": 0,
        "presencePenalty": 0.5,
        "frequencyPenalty": -0.5,
        "responseLogprobs": True,
        "logprobs": 5,
        "responseMimeType": "application/json",
        "responseSchema": {"type": "ARRAY", "items": {"type": "STRING"}, "minItems": "2"},
        "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 7, "thinkingLevel": "LOW"},
        "responseModalities": ["TEXT"],
        "speechConfig": {"voiceConfig": {}},
        "mediaResolution": "MEDIA_RESOLUTION_LOW",
        "imageConfig": {"aspectRatio": "1:1"},
    },
}


def around(body: Any, model: str = "gemini-2.5-flash") -> Any:
    request = DIALECT.parse_request(ClientCall(json.dumps(body).encode(), model=model, stream=True))
    return json.loads(DIALECT.render_request(request, Target(model, GeminiQuirks())).body)


def test_everything_a_client_can_say_makes_the_round_trip() -> None:
    assert around(EVERYTHING) == EVERYTHING


@pytest.mark.parametrize("name", list(EVERYTHING))
def test_each_field_makes_the_round_trip_alone(name: str) -> None:
    body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], name: EVERYTHING[name]}
    assert around(body) == body


@pytest.mark.parametrize("empty", [{"generationConfig": {}}, {"toolConfig": {"functionCallingConfig": {}}}])
def test_empty_objects_stay(empty: dict[str, Any]) -> None:
    body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], **empty}
    assert around(body) == body


def test_a_signature_is_added_for_gemini_3_where_a_gemini_client_lost_it() -> None:
    call = {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}
    found = around({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}, call]}, "gemini-3-pro")
    assert found["contents"][1]["parts"][0]["thoughtSignature"] == "skip_thought_signature_validator"


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in members for place in _places(inner, (*path, key)))]


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = copy.copy(value)
    changed[path[0]] = _replaced(value[path[0]], path[1:], new)
    return changed


CHUNKS: list[Any] = [
    {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"text": "a", "thought": True, "thoughtSignature": "c2ln"},
                        {"functionCall": {"name": "f", "willContinue": True}},
                        {
                            "functionCall": {
                                "partialArgs": [{"jsonPath": "$.a[0]", "stringValue": "x", "willContinue": True}],
                                "willContinue": True,
                            }
                        },
                        {"executableCode": {"code": "1"}},
                        {"codeExecutionResult": {"output": "1"}},
                        {"inlineData": {"mimeType": "image/png", "data": "AA"}},
                        {"toolCall": {"toolType": "X", "id": "1"}},
                        {"new": 1},
                    ]
                },
                "index": 0,
            }
        ],
        "usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 2, "promptTokensDetails": [{"tokenCount": 1}]},
        "responseId": "R",
        "createTime": "2026-05-04T20:01:02Z",
    },
    {
        "candidates": [
            {
                "content": {"parts": [{"text": "é"}]},
                "finishReason": "STOP",
                "groundingMetadata": {
                    "groundingChunks": [{"web": {"uri": "u"}}],
                    "groundingSupports": [{"segment": {"endIndex": 2, "text": "é"}, "groundingChunkIndices": [0]}],
                },
                "citationMetadata": {"citations": [{"endIndex": 1}]},
                "logprobsResult": {"chosenCandidates": [{}]},
            }
        ],
        "promptFeedback": {"safetyRatings": []},
    },
]

ANYTHING: list[Any] = [None, True, 5, -1.5, 10**30, "", "x", [], [5], ["x"], {}, {"a": 1}, {"a": {"level": []}}, [[{}]]]


@pytest.mark.parametrize("new", ANYTHING, ids=str)
@pytest.mark.parametrize("as_array", [True, False])
def test_any_value_in_any_place_of_a_stream_gives_legal_events_or_a_fault(new: Any, as_array: bool) -> None:
    for place in _places(CHUNKS):
        chunks = _replaced(CHUNKS, place, new)
        data = json.dumps(chunks).encode()
        if not as_array and isinstance(chunks, list):
            data = b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks)
        parser = DIALECT.parser()
        events = [*parser.feed(data[: len(data) // 2]), *parser.feed(data[len(data) // 2 :]), *parser.finish()]
        Grammar().advance(events)
        assert isinstance(events[-1], (Finish, Fault)), place


@settings(max_examples=400)
@given(st.data())
def test_any_broken_byte_gives_legal_events_or_a_fault(data: st.DataObject) -> None:
    body = bytearray(b"".join(b"data: " + msgspec.json.encode(chunk) + b"\r\n\r\n" for chunk in CHUNKS))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    parser = DIALECT.parser()
    events = [*parser.feed(bytes(body)), *parser.finish()]
    Grammar().advance(events)
    assert isinstance(events[-1], (Finish, Fault))


@pytest.mark.parametrize("new", ANYTHING, ids=str)
@pytest.mark.parametrize("json_schema", [True, False])
def test_any_value_in_any_place_of_a_request_is_translated_or_refused(new: Any, json_schema: bool) -> None:
    target = Target("gemini-x", GeminiQuirks(json_schema=json_schema))
    for place in _places(EVERYTHING):
        body = json.dumps(_replaced(EVERYTHING, place, new)).encode()
        with suppress(ClientFault):
            request = DIALECT.parse_request(ClientCall(body, model="gemini-x"))
            json.loads(DIALECT.render_request(request, target).body)
            json.loads(DIALECT.render_request(msgspec.structs.replace(request, origin="anthropic"), target).body)


def test_a_foreign_schema_nested_beyond_the_stack_is_the_clients_fault() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(3000):
        schema = {"allOf": [schema]}
    request = Request("x", "m", (Message("user", (TextPart("Hi"),)),), tools=(Tool("f", parameters=schema),))
    with pytest.raises(ClientFault, match="too deeply"):
        DIALECT.render_request(request, Target("m", GeminiQuirks()))
