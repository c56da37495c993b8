"""Another dialect's history → the messages of a chat upstream."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from millstream.core.errors import ClientFault
from millstream.core.messages import (
    CitationPart,
    MediaPart,
    Message,
    Opaque,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    ServerToolResultPart,
    TextPart,
    ToolCallPart,
    ToolReferencePart,
    ToolResultPart,
    UnknownPart,
)

Messages = Callable[..., list[dict[str, Any]]]

PNG = MediaPart("image", "image/png", "AAAA")
PNG_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
CALL = ToolCallPart("toolu_1", "Read", '{"path":"a"}')


def user(*parts: Part | str) -> Message:
    return Message("user", tuple(TextPart(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Part | str) -> Message:
    return Message("assistant", tuple(TextPart(part) if isinstance(part, str) else part for part in parts))


def system(*texts: str) -> Message:
    return Message("system", tuple(map(TextPart, texts)))


@pytest.fixture
def messages(body: Callable[..., dict[str, Any]]) -> Messages:
    """The messages that an upstream with these quirks is sent for an Anthropic client's turns."""

    def sent(*turns: Message, system: tuple[str, ...] = (), model: str = "m", **quirks: Any) -> list[dict[str, Any]]:
        request = Request("anthropic", "m", turns, tuple(map(TextPart, system)))
        found: list[dict[str, Any]] = body(request, model=model, **quirks)["messages"]
        return found

    return sent


def test_system_blocks_are_one_message(messages: Messages) -> None:
    assert messages(user("hi"), system=("a", "b")) == [
        {"role": "system", "content": "a\n\nb"},
        {"role": "user", "content": "hi"},
    ]
    assert messages(user("hi"), system=("a",), system_role="developer")[0]["role"] == "developer"


def test_leading_system_messages_join_the_system_prompt(messages: Messages) -> None:
    assert messages(system("b"), system("c"), user("hi"), system=("a",))[0] == {
        "role": "system",
        "content": "a\n\nb\n\nc",
    }


def test_later_system_messages_stay_in_place(messages: Messages) -> None:
    found = messages(user("hi"), system("now"), assistant("ok"), user("go"), system=("a",))
    assert [message["role"] for message in found] == ["system", "user", "system", "assistant", "user"]


def test_where_only_one_may_lead_later_ones_are_the_users_reminders(messages: Messages) -> None:
    found = messages(user("hi"), system("now", "later"), system=("a",), leading_system_only=True)
    assert found[1:] == [
        {"role": "user", "content": "hi"},
        {"role": "user", "content": "<system-reminder>\nnow\n\nlater\n</system-reminder>"},
    ]


def test_where_roles_must_alternate_a_users_messages_are_joined(messages: Messages) -> None:
    quirks = {"leading_system_only": True, "alternate_roles": True}
    found = messages(user("hi"), system("now"), user("see", PNG), **quirks)
    assert found == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "hi\n\n<system-reminder>\nnow\n</system-reminder>"},
                {"type": "text", "text": "see"},
                PNG_PART,
            ],
        }
    ]


def test_text_is_one_string_that_every_template_takes(messages: Messages) -> None:
    assert messages(user("<system-reminder>x</system-reminder>", "", "hi"))[0]["content"] == (
        "<system-reminder>x</system-reminder>\n\nhi"
    )


def test_results_are_messages_directly_after_their_calls(messages: Messages) -> None:
    calls = assistant("I look.", ToolCallPart("a", "Read", "{}"), ToolCallPart("b", "Bash", ""))
    results = user(ToolResultPart("a", "1"), ToolResultPart("b", (TextPart("2"), TextPart("3"))), "and now?")
    assert messages(user("hi"), calls, results)[1:] == [
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "Read", "arguments": "{}"}},
                {"id": "b", "type": "function", "function": {"name": "Bash", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "2\n\n3"},
        {"role": "user", "content": "and now?"},
    ]


def test_results_that_come_late_still_follow_their_calls(messages: Messages) -> None:
    calls = assistant(ToolCallPart("a", "f", "{}"), ToolCallPart("b", "g", "{}"))
    turns = (calls, system("note"), user("wait", ToolResultPart("b", "2")), user(ToolResultPart("a", "1")))
    found = messages(user("hi"), *turns)
    roles = [message["role"] for message in found]
    assert roles == ["user", "assistant", "tool", "tool", "system", "user"]


def test_a_result_whose_call_was_cut_out_is_told_by_the_user(messages: Messages) -> None:
    assert messages(user("hi", ToolResultPart("gone", "42")))[0] == {
        "role": "user",
        "content": "From the result of the tool gone:\n42",
    }


def test_calls_alone_have_content_null(messages: Messages) -> None:
    assert messages(user("hi"), assistant(CALL))[1]["content"] is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no such file", "Error: no such file"),
        ("Error: no such file", "Error: no such file"),
        ("<tool_use_error>bad</tool_use_error>", "<tool_use_error>bad</tool_use_error>"),
        ("", "Error"),
    ],
)
def test_a_failed_tool_says_so_in_its_text(text: str, told: str, messages: Messages) -> None:
    result = user(ToolResultPart("toolu_1", text, is_error=True))
    assert messages(assistant(CALL), result)[1]["content"] == told


def test_images_in_results_follow_as_the_users(messages: Messages) -> None:
    result = user(ToolResultPart("toolu_1", (TextPart("1 image"), PNG)), "what is it?")
    assert messages(assistant(CALL), result)[1:] == [
        {"role": "tool", "tool_call_id": "toolu_1", "content": "1 image"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "From the result of the tool Read:"},
                PNG_PART,
                {"type": "text", "text": "what is it?"},
            ],
        },
    ]


def test_a_result_that_is_only_an_image_says_that_it_follows(messages: Messages) -> None:
    found = messages(assistant(CALL), user(ToolResultPart("toolu_1", (PNG,))))
    assert found[1]["content"] == "[The image follows.]"
    assert found[2]["content"][1] == PNG_PART


def test_images_stay_in_results_where_they_may(messages: Messages) -> None:
    found = messages(assistant(CALL), user(ToolResultPart("toolu_1", (TextPart("x"), PNG))), tool_images=True)
    assert found[1]["content"] == [{"type": "text", "text": "x"}, PNG_PART]


def test_a_model_that_sees_no_images_refuses_the_users_and_notes_a_tools(messages: Messages) -> None:
    found = messages(assistant(CALL), user(ToolResultPart("toolu_1", (PNG,))), images=False)
    assert found[1]["content"] == "[An image was here, which this model cannot see.]"
    with pytest.raises(ClientFault, match="cannot see images") as raised:
        messages(user("what is it?", PNG), images=False)
    assert raised.value.param == "messages[0].content[1]"


def test_a_loaded_tool_is_named(messages: Messages) -> None:
    result = user(ToolResultPart("toolu_1", (ToolReferencePart("WebFetch"), ToolReferencePart("Edit"))))
    assert messages(assistant(CALL), result)[1]["content"] == (
        "The tool WebFetch is loaded and can be called now.\n\nThe tool Edit is loaded and can be called now."
    )


def test_documents_of_text_are_put_into_words(messages: Messages) -> None:
    plain = MediaPart("document", "text/plain", text="body", name="Notes", context="old")
    encoded = MediaPart("document", "text/markdown", "IyBIaQ==")
    assert messages(user(plain, encoded, "sum up"))[0]["content"] == (
        '<document title="Notes">\nold\n\nbody\n</document>\n\n<document>\n# Hi\n</document>\n\nsum up'
    )


def test_pdfs_are_files_where_those_are_taken(messages: Messages) -> None:
    pdf = MediaPart("document", "application/pdf", "JVBE", name="a.pdf")
    file = {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}
    assert messages(user(pdf))[0]["content"] == [{"type": "file", "file": file}]
    link = MediaPart("document", url="https://x/a.pdf")
    assert messages(user(link), files="url")[0]["content"][0]["file"]["file_data"] == "https://x/a.pdf"


@pytest.mark.parametrize(
    ("part", "quirks", "reason"),
    [
        (MediaPart("document", "application/pdf", "JVBE"), {"files": "none"}, "takes no documents"),
        (MediaPart("document", url="https://x/a.pdf"), {}, "documents by URL"),
        (MediaPart("document", file_id="file_1"), {}, "another provider"),
        (MediaPart("image", file_id="file_1"), {}, "another provider"),
        (MediaPart("audio", "audio/wav", "UklG"), {"audio": False}, "no audio"),
        (MediaPart("audio", url="https://x"), {}, "as base64"),
        (MediaPart("video", url="https://x"), {}, "no video"),
    ],
)
def test_what_an_upstream_cannot_read_is_refused(
    part: MediaPart, quirks: dict[str, Any], reason: str, messages: Messages
) -> None:
    with pytest.raises(ClientFault, match=reason) as raised:
        messages(user("x", part), **quirks)
    assert raised.value.param == "messages[0].content[1]"


def test_other_media_have_their_parts(messages: Messages) -> None:
    sound, clip = MediaPart("audio", "audio/mpeg", "SUQz"), MediaPart("video", url="https://x/y.mp4")
    assert messages(user(sound, clip), video=True)[0]["content"] == [
        {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
        {"type": "video_url", "video_url": {"url": "https://x/y.mp4"}},
    ]


def test_images_by_url_are_left_to_the_upstream(messages: Messages) -> None:
    link = MediaPart("image", url="https://x/y.png", detail="low")
    url = {"url": "https://x/y.png", "detail": "low"}
    assert messages(user(link))[0]["content"] == [{"type": "image_url", "image_url": url}]


def test_texts_of_one_answer_are_joined_around_their_sources(messages: Messages) -> None:
    cited = TextPart("in Rome", (CitationPart("anthropic", {}, "https://a"),))
    turns = (user("?"), assistant("It rains ", cited, ".", RefusalPart("No more.")))
    assert messages(*turns)[1]["content"] == "It rains in Rome.\n\nNo more."


def test_a_turn_that_is_only_hidden_thinking_is_left_out(messages: Messages) -> None:
    hidden = assistant(ReasoningPart(redacted=Opaque("anthropic", "X")))
    assert [message["role"] for message in messages(user("a"), hidden, user("b"))] == ["user", "user"]


def test_what_another_provider_ran_is_left_out_and_named(render: Any) -> None:
    found = ServerToolResultPart("anthropic", "s", {"type": "web_search_tool_result"})
    ran = ToolCallPart("s", "web_search", "{}", "server")
    turn = assistant(ran, found, UnknownPart("anthropic", {"type": "x"}), "a")
    sent = render(Request("anthropic", "m", (user("q"), turn)))
    assert json.loads(sent.body)["messages"][1] == {"role": "assistant", "content": "a"}
    assert sent.dropped == ("messages.server_tool_result", "messages.server_tool_use", "messages.x")


THOUGHT = ReasoningPart("hm", Opaque("anthropic", "SIG"))


def test_past_thinking_is_not_told_unless_the_provider_wants_it(messages: Messages) -> None:
    assert messages(user("q"), assistant(THOUGHT, "a"))[1] == {"role": "assistant", "content": "a"}


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_past_thinking_goes_into_the_field_the_provider_reads(field: str, messages: Messages) -> None:
    turn = messages(user("q"), assistant(THOUGHT, ReasoningPart("so"), "a", CALL), reasoning_history=field)[1]
    assert turn[field] == "hm\n\nso"


def test_only_models_that_think_are_told_of_thinking(messages: Messages) -> None:
    quirks = {"reasoning_history": "reasoning", "reasoning": {"openai/gpt-oss-*": "effort"}}
    turns = (user("q"), assistant(THOUGHT, "a"))
    assert "reasoning" not in messages(*turns, model="moonshotai/kimi-k2-instruct", **quirks)[1]
    assert messages(*turns, model="openai/gpt-oss-120b", **quirks)[1]["reasoning"] == "hm"


def test_signed_entries_go_back_to_the_provider_that_signed_them(messages: Messages) -> None:
    entries = [{"type": "reasoning.text", "signature": "S", "format": "f", "index": 0}]
    own = ReasoningPart("hm", Opaque("openai_chat", json.dumps(entries)))
    hidden = [{"type": "reasoning.encrypted", "data": "E", "id": "rs_1", "index": 1}]
    turn = assistant(own, ReasoningPart(redacted=Opaque("openai_chat", json.dumps(hidden))), "a")
    found = messages(user("q"), turn, reasoning_history="reasoning_details")[1]
    assert found["reasoning_details"] == [{**entries[0], "text": "hm"}, *hidden]
    assert "reasoning" not in found


def test_unsigned_thinking_goes_to_openrouter_as_text(messages: Messages) -> None:
    found = messages(user("q"), assistant(THOUGHT, "a"), reasoning_history="reasoning_details")[1]
    assert (found["reasoning"], "reasoning_details" in found) == ("hm", False)


def test_thinking_that_is_missing_is_stood_in_for(messages: Messages) -> None:
    quirks = {"reasoning_history": "reasoning_content", "missing_reasoning": " "}
    turns = (user("q"), assistant("a", CALL), user(ToolResultPart("toolu_1", "x")), assistant(THOUGHT, "b"))
    found = messages(*turns, **quirks)
    assert [message.get("reasoning_content") for message in found] == [None, " ", None, "hm"]
    assert not any("reasoning_content" in message for message in messages(*turns, reasoning="none", **quirks))
    hidden = assistant(ReasoningPart(redacted=Opaque("anthropic", "X")))
    assert [message["role"] for message in messages(user("q"), hidden, **quirks)] == ["user"]


def test_the_assistant_speaks_between_a_tool_and_the_user_where_it_must(messages: Messages) -> None:
    result = ToolResultPart("toolu_1", "x")
    turns = (user("q"), assistant(CALL), user(result, "and?"), assistant(CALL), user(result), system("now"))
    quirks = {"user_after_tool": False, "leading_system_only": True}
    found = messages(*turns, **quirks)
    answered = ["assistant", "tool", "assistant", "user"]
    assert [message["role"] for message in found] == ["user", *answered, *answered]
    assert found[3] == {"role": "assistant", "content": "OK."}
    assert len(messages(*turns)) == len(found) - 2


def test_cache_marks_are_told_only_where_they_are_known(messages: Messages) -> None:
    mark = {"type": "ephemeral"}
    turn = user(TextPart("a", cache=mark), "b")
    assert messages(turn)[0]["content"] == "a\n\nb"
    assert messages(turn, cache_control=True)[0]["content"] == [
        {"type": "text", "text": "a", "cache_control": mark},
        {"type": "text", "text": "b"},
    ]


def test_ids_of_nine_characters_are_the_same_in_call_and_result(messages: Messages) -> None:
    ids = ("toolu_01A", "toolu_01B", "abcDEF123")
    calls = assistant(*(ToolCallPart(name, "f", "{}") for name in ids))
    results = user(*(ToolResultPart(name, "x") for name in ids))
    found = messages(user("q"), calls, results, call_ids="nine_alphanumeric")
    told = [call["id"] for call in found[1]["tool_calls"]]
    assert [message["tool_call_id"] for message in found[2:]] == told
    assert all(re.fullmatch("[a-zA-Z0-9]{9}", call_id) for call_id in told)
    assert len(set(told)) == 3
    assert told[2] == "abcDEF123"
    assert messages(user("q"), calls, call_ids="nine_alphanumeric")[1]["tool_calls"][0]["id"] == told[0]


def test_long_ids_are_shortened_where_they_must_be(messages: Messages) -> None:
    long = "x" * 41
    turns = (assistant(ToolCallPart(long, "f", "{}"), CALL), user(ToolResultPart(long, "x")))
    found = messages(*turns, call_ids="short")
    told = found[0]["tool_calls"][0]["id"]
    assert len(told) <= 40
    assert found[1]["tool_call_id"] == told
    assert found[0]["tool_calls"][1]["id"] == "toolu_1"
    assert messages(*turns)[0]["tool_calls"][0]["id"] == long


def test_names_of_past_calls_fit(messages: Messages) -> None:
    turn = assistant(ToolCallPart("a", "mcp.server:tool", "{}"), ToolCallPart("b", "x" * 99, "{}"))
    names = [call["function"]["name"] for call in messages(user("q"), turn)[1]["tool_calls"]]
    assert names == ["mcp_server_tool", "x" * 64]


def test_free_text_calls_become_functions_where_those_are_unknown(messages: Messages) -> None:
    turn = assistant(ToolCallPart("a", "patch", 'a "b"', "custom"))
    custom = messages(user("q"), turn, custom_tools=True)[1]["tool_calls"][0]["custom"]
    assert custom == {"name": "patch", "input": 'a "b"'}
    function = messages(user("q"), turn)[1]["tool_calls"][0]["function"]
    assert json.loads(function["arguments"]) == {"input": 'a "b"'}


def test_googles_signature_goes_back_with_its_call(messages: Messages) -> None:
    signed = {"extra_content": {"google": {"thought_signature": "S"}}}
    call = ToolCallPart("a", "f", "{}", signature=Opaque("openai_chat", json.dumps(signed)))
    foreign = ToolCallPart("b", "f", "{}", signature=Opaque("gemini", "S"))
    calls = messages(user("q"), assistant(call, foreign))[1]["tool_calls"]
    assert calls[0]["extra_content"] == signed["extra_content"]
    assert "extra_content" not in calls[1]


@pytest.mark.parametrize(
    ("prefill", "mark"), [("prefix", {"prefix": True}), ("partial", {"partial": True}), ("as_is", {})]
)
def test_a_beginning_of_the_answer_is_marked(prefill: str, mark: dict[str, Any], messages: Messages) -> None:
    assert messages(user("q"), assistant("The answer"), prefill=prefill)[-1] == {
        "role": "assistant",
        "content": "The answer",
        **mark,
    }


def test_vllm_is_told_beside_the_messages(body: Any) -> None:
    request = Request("anthropic", "m", (user("q"), assistant("The")))
    found = body(request, prefill="continue_final_message")
    assert (found["continue_final_message"], found["add_generation_prompt"]) == (True, False)
    finished = Request("anthropic", "m", (user("q"), assistant("The"), user("go on")))
    assert "continue_final_message" not in body(finished, prefill="continue_final_message")
