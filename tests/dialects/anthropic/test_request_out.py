"""Requests of other APIs' clients in Anthropic's words."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from millstream.core import messages as msg
from millstream.core.errors import ClientFault
from millstream.dialects.anthropic import DIALECT, AnthropicQuirks
from millstream.dialects.base import ClientCall, Target, UpstreamRequest

Wire = dict[str, Any]
Translate = Callable[..., tuple[Wire, UpstreamRequest]]
Said = Callable[..., msg.Message]

_OLDER = "claude-sonnet-4-5"


def _system(text: str, role: msg.Role = "system") -> msg.Message:
    return msg.Message(role, (msg.TextPart(text),), plain=True)


def _text(text: str) -> Wire:
    return {"type": "text", "text": text}


def _call(call_id: str, arguments: str = "{}") -> msg.ToolCallPart:
    return msg.ToolCallPart(call_id, "f", arguments)


def _result(call_id: str, content: Any = "done") -> Wire:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content}


def test_a_plain_request(translate: Translate, user: Said) -> None:
    body, rendered = translate(user("hi"), stop=("###",), user="u", max_tokens=7)
    assert body == {
        "model": "claude-sonnet-5",
        "messages": [{"role": "user", "content": [_text("hi")]}],
        "max_tokens": 7,
        "stop_sequences": ["###"],
        "metadata": {"user_id": "u"},
        "stream": True,
    }
    assert (rendered.path, rendered.dropped, rendered.stop) == ("/v1/messages", (), ())
    assert rendered.headers == {"content-type": "application/json", "anthropic-version": "2023-06-01"}


def test_max_tokens_is_always_said(translate: Translate) -> None:
    assert translate()[0]["max_tokens"] == 32_000
    assert translate(quirks=AnthropicQuirks(default_max_tokens=8192))[0]["max_tokens"] == 8192


def test_leading_system_messages_are_hoisted(translate: Translate, user: Said) -> None:
    messages = (_system("a"), _system("b", "developer"), user("hi"))
    body, _ = translate(*messages, system=(msg.TextPart("instructions"),))
    assert body["system"] == [_text("instructions"), _text("a"), _text("b")]
    assert [message["role"] for message in body["messages"]] == ["user"]


def test_a_later_system_message_keeps_its_role_where_the_model_takes_it(translate: Translate, user: Said) -> None:
    body, _ = translate(user("hi"), _system("now", "developer"), user("so"))
    assert body["messages"][1] == {"role": "system", "content": [_text("now")]}


@pytest.mark.parametrize(
    ("model", "quirks"),
    [
        (_OLDER, AnthropicQuirks()),
        ("kimi-k2", AnthropicQuirks()),
        ("claude-sonnet-5", AnthropicQuirks(mid_system=False)),
    ],
)
def test_else_it_is_a_reminder(model: str, quirks: AnthropicQuirks, translate: Translate, user: Said) -> None:
    body, _ = translate(user("hi"), _system("now"), user("so"), model=model, quirks=quirks)
    reminder = [_text("<system-reminder>\nnow\n</system-reminder>")]
    assert body["messages"][1] == {"role": "user", "content": reminder}


def test_the_quirk_also_holds_for_anthropics_own_clients(ask: Callable[..., msg.Request]) -> None:
    request = ask(messages=[{"role": "user", "content": "hi"}, {"role": "system", "content": "now"}])
    rendered = DIALECT.render_request(request, Target("m", AnthropicQuirks(mid_system=False)))
    messages = json.loads(rendered.body)["messages"]
    assert messages[0] == {"role": "user", "content": "hi"}
    assert messages[1] == {"role": "user", "content": [_text("<system-reminder>\nnow\n</system-reminder>")]}


def test_results_follow_their_calls_in_one_message_and_come_first_in_it(
    translate: Translate, user: Said, assistant: Said
) -> None:
    body, _ = translate(
        user("hi"),
        assistant("let me see", _call("a"), _call("b")),
        user(msg.ToolResultPart("a", "1")),
        user("hurry"),
        user(msg.ToolResultPart("b", "2", is_error=True)),
    )
    assert body["messages"][2:] == [
        {"role": "user", "content": [_result("a", "1"), {**_result("b", "2"), "is_error": True}, _text("hurry")]}
    ]


def test_results_go_before_what_a_system_message_said_in_between(
    translate: Translate, user: Said, assistant: Said
) -> None:
    body, _ = translate(user("hi"), assistant(_call("a")), _system("now"), user(msg.ToolResultPart("a", "1"), "so"))
    assert body["messages"][2:] == [
        {"role": "user", "content": [_result("a", "1")]},
        {"role": "system", "content": [_text("now")]},
        {"role": "user", "content": [_text("so")]},
    ]


def test_a_reminder_after_calls_joins_their_results(translate: Translate, user: Said, assistant: Said) -> None:
    messages = (user("hi"), assistant(_call("a")), _system("now"), user(msg.ToolResultPart("a", "1")))
    body, _ = translate(*messages, model=_OLDER)
    reminder = _text("<system-reminder>\nnow\n</system-reminder>")
    assert body["messages"][2:] == [{"role": "user", "content": [_result("a", "1"), reminder]}]


def test_arguments_become_objects_and_nothing_is_guessed(translate: Translate, user: Said, assistant: Said) -> None:
    calls = (_call("a", ""), _call("b", '{"x": 1.50}'), _call("c", '{"x'), _call("d", "[1]"))
    body, _ = translate(user("hi"), assistant(*calls))
    assert [block["input"] for block in body["messages"][1]["content"]] == [
        {},
        {"x": 1.5},
        {"__unparsedToolInput": {"raw": '{"x', "len": 3}},
        {"__unparsedToolInput": {"raw": "[1]", "len": 3}},
    ]


def test_free_text_calls_become_objects(translate: Translate, user: Said, assistant: Said) -> None:
    body, _ = translate(user("hi"), assistant(msg.ToolCallPart("a", "patch", "*** Begin", kind="custom")))
    assert body["messages"][1]["content"][0]["input"] == {"input": "*** Begin"}


def test_other_apis_ids_are_spelt_safely_and_stay_apart(translate: Translate, user: Said, assistant: Said) -> None:
    ids = ("functions.f:0", "functions_f:0", "functions.f.0", "call_1")
    results = (msg.ToolResultPart(call_id, "done") for call_id in ids)
    body, _ = translate(user("hi"), assistant(*map(_call, ids)), user(*results))
    called = [block["id"] for block in body["messages"][1]["content"]]
    assert called == ["functions_f_0", "functions_f_0_2", "functions_f_0_3", "call_1"]
    assert [block["tool_use_id"] for block in body["messages"][2]["content"]] == called


def test_results_hold_texts_images_and_documents(translate: Translate, user: Said, assistant: Said) -> None:
    content = (msg.TextPart("a"), msg.MediaPart("image", "image/png", data="iVBORw0K"), msg.ToolReferencePart("g"))
    body, _ = translate(user("hi"), assistant(_call("a")), user(msg.ToolResultPart("a", content)))
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0K"}
    inside = [_text("a"), {"type": "image", "source": source}, _text("The tool g is available now.")]
    assert body["messages"][2]["content"] == [_result("a", inside)]


def test_thinking_goes_back_only_to_whoever_made_it(translate: Translate, user: Said, assistant: Said) -> None:
    history = (
        user("hi"),
        assistant(
            msg.ReasoningPart("mine", msg.Opaque("anthropic", "sig")),
            msg.ReasoningPart(redacted=msg.Opaque("anthropic", "x")),
            msg.ReasoningPart("theirs", msg.Opaque("gemini", "sig")),
            msg.ReasoningPart(redacted=msg.Opaque("openai_responses", "x")),
            msg.ReasoningPart("unsigned"),
            "so",
        ),
    )
    signed = [
        {"type": "thinking", "thinking": "mine", "signature": "sig"},
        {"type": "redacted_thinking", "data": "x"},
    ]
    assert translate(*history)[0]["messages"][1]["content"] == [*signed, _text("so")]
    kept = translate(*history, quirks=AnthropicQuirks(unsigned_thinking=True))[0]["messages"][1]["content"]
    assert [block.get("thinking") for block in kept] == ["mine", None, "theirs", "unsigned", None]


def test_empty_texts_and_messages_are_left_out(translate: Translate, user: Said, assistant: Said) -> None:
    body, _ = translate(user("hi", " \n"), assistant(""), assistant("", _call("a")), user(msg.ToolResultPart("a", "")))
    assert [len(message["content"]) for message in body["messages"]] == [1, 1, 1]
    assert body["messages"][2]["content"] == [_result("a", "")]


def test_the_first_turn_is_always_a_users(translate: Translate, user: Said, assistant: Said) -> None:
    greeting, _ = translate(assistant("Hello!"), user("hi"))
    assert [message["role"] for message in greeting["messages"]] == ["user", "assistant", "user"]
    alone, _ = translate(_system("Write a poem."))
    assert alone["messages"] == [{"role": "user", "content": [_text("Write a poem.")]}]
    assert "system" not in alone


def test_a_prefill_ends_without_white_space(translate: Translate, user: Said, assistant: Said) -> None:
    body, _ = translate(user("hi"), assistant("It is: \n"))
    assert body["messages"][1]["content"] == [_text("It is:")]


def test_a_refusal_in_the_history_is_text(translate: Translate, user: Said, assistant: Said) -> None:
    body, _ = translate(user("hi"), assistant(msg.RefusalPart("no")), user("ok"))
    assert body["messages"][1]["content"] == [_text("no")]


def test_what_other_providers_ran_by_themselves_is_left_out(translate: Translate, user: Said, assistant: Said) -> None:
    parts = (
        msg.ToolCallPart("s", "browser", "{}", kind="server"),
        msg.ServerToolResultPart("openai_chat", "s", {}, text="found"),
        msg.UnknownPart("openai_chat", {"type": "novel"}),
    )
    body, _ = translate(user("hi"), assistant(*parts, "so"))
    assert body["messages"][1]["content"] == [_text("so")]


@pytest.mark.parametrize(
    ("part", "source"),
    [
        (msg.MediaPart("image", url="http://e.org"), {"type": "url", "url": "http://e.org"}),
        (
            msg.MediaPart("image", "image/jpeg", data="iVBORw0K"),
            {"type": "base64", "media_type": "image/png", "data": "iVBORw0K"},
        ),
        (msg.MediaPart("image", data="AAAA"), {"type": "base64", "media_type": "image/jpeg", "data": "AAAA"}),
        (
            msg.MediaPart("document", "application/pdf", data="JVBERi0=", name="T"),
            {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
        ),
        (
            msg.MediaPart("document", "text/csv", data=base64.b64encode("ä;b".encode()).decode()),
            {"type": "text", "media_type": "text/plain", "data": "ä;b"},
        ),
        (msg.MediaPart("document", text="abc"), {"type": "text", "media_type": "text/plain", "data": "abc"}),
        (msg.MediaPart("document", url="http://e.org/a.pdf"), {"type": "url", "url": "http://e.org/a.pdf"}),
    ],
)
def test_images_and_documents(part: msg.MediaPart, source: Wire, translate: Translate, user: Said) -> None:
    (block,) = translate(user(part))[0]["messages"][0]["content"]
    assert (block["type"], block["source"], block.get("title")) == (part.kind, source, part.name)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (msg.MediaPart("audio", "audio/wav", data="AAAA"), "takes no audio input"),
        (msg.MediaPart("video", "video/mp4", url="http://e.org"), "takes no video input"),
        (msg.MediaPart("image", file_id="file-1"), "uploaded to another provider"),
        (msg.MediaPart("document", "application/zip", data="UEsDBP8="), "takes PDF and text documents"),
        (msg.UnknownPart("openai_chat", {"type": "novel"}, asked=True), "no parts of the kind novel"),
    ],
)
def test_what_a_user_gave_and_cannot_be_said_is_refused(
    part: msg.Part, message: str, translate: Translate, user: Said
) -> None:
    with pytest.raises(ClientFault, match=message) as caught:
        translate(user("hi"), user("look", part))
    assert caught.value.param == "messages.1.content.1"


@pytest.mark.parametrize(
    ("fields", "param"), [({"n": 2}, "n"), ({"logprobs": True}, "logprobs"), ({"top_logprobs": 3}, "logprobs")]
)
def test_fields_that_change_the_answers_shape_are_refused(fields: Wire, param: str, translate: Translate) -> None:
    with pytest.raises(ClientFault) as caught:
        translate(**fields)
    assert caught.value.param == param


def test_tuning_that_cannot_be_said_is_dropped_and_named(translate: Translate) -> None:
    left = msg.Leftovers(tuning=("logit_bias",))
    _, rendered = translate(n=1, seed=0, frequency_penalty=0.5, presence_penalty=0.0, logprobs=False, leftovers=left)
    assert rendered.dropped == ("seed", "frequency_penalty", "logit_bias")


def test_temperature_is_cut_to_what_the_api_takes_and_goes_alone(translate: Translate) -> None:
    body, rendered = translate(temperature=1.7, top_p=0.9, top_k=4)
    assert (body["temperature"], body["top_k"]) == (1.0, 4)
    assert rendered.dropped == ("top_p",)
    assert translate(top_p=0.9)[0]["top_p"] == 0.9


def test_a_model_without_sampling_is_told_none(translate: Translate) -> None:
    body, rendered = translate(temperature=0.5, top_p=0.9, quirks=AnthropicQuirks(sampling=False))
    assert not {"temperature", "top_p"} & set(body)
    assert rendered.dropped == ("temperature", "top_p")


def test_stop_sequences_of_white_space_are_left_to_whoever_relays(translate: Translate) -> None:
    body, rendered = translate(stop=("\n\n", "###"))
    assert (body["stop_sequences"], rendered.stop) == (["###"], ("\n\n",))


_SCHEMA = {
    "type": "object",
    "properties": {
        "age": {"type": "integer", "minimum": 0, "description": "Years."},
        "mail": {"type": "string", "format": "email", "maxLength": 80},
        "kind": {"oneOf": [{"type": "string", "enum": ["a"]}, {"$ref": "#/$defs/other"}]},
        "tags": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "object", "properties": {}}},
    },
    "required": ["age"],
    "$defs": {"other": {"type": "object", "properties": {}, "additionalProperties": True}},
    "$schema": "https://json-schema.org/draft/2020-12/schema",
}
_CLOSED = {
    "type": "object",
    "properties": {
        "age": {"type": "integer", "description": "Years.\n\n{minimum: 0}"},
        "mail": {"type": "string", "format": "email", "description": "{maxLength: 80}"},
        "kind": {"anyOf": [{"type": "string", "enum": ["a"]}, {"$ref": "#/$defs/other"}]},
        "tags": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "object", "properties": {}, "additionalProperties": False},
            "description": "{maxItems: 3}",
        },
    },
    "required": ["age"],
    "$defs": {"other": {"type": "object", "properties": {}, "additionalProperties": False}},
    "additionalProperties": False,
}


def test_a_schema_for_the_answer_is_closed_and_says_the_rest_in_words(translate: Translate) -> None:
    wanted = msg.ResponseFormat("json_schema", name="person", schema=_SCHEMA, description="A person.")
    body, rendered = translate(response_format=wanted)
    schema = {**_CLOSED, "description": "A person."}
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    assert rendered.dropped == ()


def test_a_provider_without_schemas_is_asked_in_words(translate: Translate) -> None:
    wanted = msg.ResponseFormat("json_schema", schema={"type": "object"})
    body, rendered = translate(response_format=wanted, quirks=AnthropicQuirks(structured_outputs=False))
    assert "output_config" not in body
    assert body["system"][-1]["text"].endswith('must match this JSON schema:\n{"type":"object"}')
    assert rendered.dropped == ("response_format",)


def test_json_without_a_schema_is_asked_in_words(translate: Translate) -> None:
    body, rendered = translate(response_format=msg.ResponseFormat("json_object"), system=(msg.TextPart("be brief"),))
    assert body["system"][0] == _text("be brief")
    assert "one JSON object and nothing else" in body["system"][1]["text"]
    assert rendered.dropped == ("response_format",)
    assert "system" not in translate(response_format=msg.ResponseFormat("text"))[0]


def test_the_side_door_renames_the_model_and_passes_the_clients_headers() -> None:
    headers = {"anthropic-version": "2026-10-21", "anthropic-beta": "a", "x-api-key": "secret", "user-agent": "cli"}
    call = ClientCall(b'{"model": "a",  "x": 1.50, "y": "\\u00e9"}', headers)
    rendered = DIALECT.forward_request(call, Target("b", AnthropicQuirks()))
    assert rendered == UpstreamRequest(
        "/v1/messages",
        b'{"model":"b","x":1.50,"y":"\\u00e9"}',
        {"content-type": "application/json", "anthropic-version": "2026-10-21", "anthropic-beta": "a"},
    )


def _history(*said: Wire) -> ClientCall:
    body = {"model": "a", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}, *said]}
    return ClientCall(json.dumps(body).encode())


def test_what_other_providers_left_in_a_conversation_is_kept_from_this_one() -> None:
    """A client that changes its model in mid-conversation sends on what the one before gave it."""
    history = _history(
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "theirs", "signature": "millstream.gemini.x"},
                {"type": "thinking", "thinking": "unsigned", "signature": ""},
                {"type": "thinking", "thinking": "own", "signature": "sig"},
                {"type": "tool_use", "id": "functions.f:0", "name": "f", "input": {}},
                {"type": "tool_use", "id": "c~ms~gemini~c2ln", "name": "f", "input": {}},
            ],
        },
        {"role": "user", "content": [_result("functions.f:0"), _result("c~ms~gemini~c2ln")]},
    )
    rendered = DIALECT.forward_request(history, Target("b", AnthropicQuirks(), stream=False))
    assert json.loads(rendered.body)["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "own", "signature": "sig"},
                {"type": "tool_use", "id": "functions_f_0", "name": "f", "input": {}},
                {"type": "tool_use", "id": "c", "name": "f", "input": {}},
            ],
        },
        {"role": "user", "content": [_result("functions_f_0"), _result("c")]},
    ]


@pytest.mark.parametrize(
    ("block", "quirks", "untouched"),
    [
        ({"type": "thinking", "thinking": "a", "signature": "sig"}, AnthropicQuirks(), True),
        ({"type": "thinking", "thinking": "a", "signature": ""}, AnthropicQuirks(), False),
        ({"type": "thinking", "thinking": "a", "signature": ""}, AnthropicQuirks(unsigned_thinking=True), True),
        ({"type": "redacted_thinking", "data": "millstream.gemini.x"}, AnthropicQuirks(unsigned_thinking=True), False),
        ({"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}, AnthropicQuirks(), True),
    ],
)
def test_only_then_is_the_clients_body_touched(block: Wire, quirks: AnthropicQuirks, untouched: bool) -> None:
    call = _history({"role": "assistant", "content": [block, _text("so")]})
    body = json.loads(DIALECT.forward_request(call, Target("a", quirks, stream=False)).body)
    assert (body == json.loads(call.body)) is untouched


def test_nulls_of_an_own_client_never_replace_what_the_api_needs(ask: Callable[..., msg.Request]) -> None:
    request = ask(output_config=None, metadata=None, tools=None, stream=None, system=None, temperature=None)
    body = json.loads(DIALECT.render_request(request, Target("m", AnthropicQuirks())).body)
    assert (body["max_tokens"], body["stream"]) == (5, True)
    assert body.get("system") is body.get("tools") is None


def test_a_count_goes_to_its_own_path() -> None:
    call = ClientCall(b'{"model": "a", "messages": []}')
    rendered = DIALECT.forward_count(call, Target("b", AnthropicQuirks()))
    assert rendered is not None
    assert (rendered.path, rendered.body) == ("/v1/messages/count_tokens", b'{"model":"b","messages":[]}')
    assert rendered.headers["anthropic-version"] == "2023-06-01"


@pytest.mark.parametrize(
    ("body", "tokens"),
    [(b'{"input_tokens": 17}', 17), (b"{}", None), (b'{"input_tokens": "many"}', None), (b"[]", None), (b"no", None)],
)
def test_an_upstreams_count_is_read(body: bytes, tokens: int | None) -> None:
    assert DIALECT.read_count(body) == tokens


def test_a_count_is_told() -> None:
    assert DIALECT.count_reply(17) == b'{"input_tokens":17}'
