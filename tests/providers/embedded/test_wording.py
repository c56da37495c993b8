import json
from typing import Any

import msgspec
import pytest

from millstream.core.errors import ClientFault, Kind
from millstream.providers.embedded.wording import PromptFrames, WholeReply, fault_of, request_body

TOOLS = [{"type": "function", "function": {"name": name}} for name in ("look", "write")]
QUESTION = {"role": "user", "content": "hi"}


def told(own_template: bool = True, **fields: Any) -> dict[str, Any]:
    body = json.dumps({"messages": [QUESTION], **fields}).encode()
    result: dict[str, Any] = json.loads(request_body(body, stream=False, own_template=own_template))
    return result


def test_a_request_without_tools_is_passed_on_as_it_is() -> None:
    assert told(temperature=1, tools=[]) == {"messages": [QUESTION], "temperature": 1, "tools": []}


def test_a_stream_is_asked_to_report_on_its_prompt() -> None:
    assert json.loads(request_body(b'{"messages":[]}', stream=True, own_template=True))["return_progress"] is True


def test_a_body_that_is_no_object_is_the_clients_fault() -> None:
    with pytest.raises(ClientFault, match="not a JSON object"):
        request_body(b"[1]", stream=True, own_template=True)


def test_a_named_tool_is_the_only_one_offered_and_its_call_is_begun() -> None:
    sent = told(tools=TOOLS, tool_choice={"type": "function", "function": {"name": "write"}}, stop="END")
    assert sent["tools"] == TOOLS[1:]
    assert sent["tool_choice"] == "required"
    assert sent["messages"][1:] == [{"role": "assistant", "content": "<tool_call>\n"}]
    assert sent["stop"] == ["END", "\n<tool_call>"]


def test_parallel_calls_are_left_possible_where_they_are_asked_for() -> None:
    assert "stop" not in told(tools=TOOLS, tool_choice="required", parallel_tool_calls=True)
    assert told(tools=TOOLS, tool_choice="auto", parallel_tool_calls=False)["stop"] == ["\n<tool_call>"]


def test_another_models_template_is_not_spoken_for() -> None:
    sent = told(False, tools=TOOLS, tool_choice={"type": "function", "function": {"name": "look"}})
    assert sent == {"messages": [QUESTION], "tools": TOOLS[:1], "tool_choice": "required"}


def frame(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields, separators=(",", ":")).encode() + b"\n\n"


ROLE = [{"finish_reason": None, "index": 0, "delta": {"role": "assistant", "content": None}}]
PROGRESS = [{"total": 300, "cache": 0, "processed": done, "time_ms": 7} for done in (0, 128, 300)]
WORD = frame(choices=[{"index": 0, "delta": {"content": "a"}}])
STREAM = [*(frame(choices=ROLE, id="x", prompt_progress=progress) for progress in PROGRESS), frame(choices=ROLE), WORD]
SHOWN = (
    frame(choices=ROLE, id="x") + b": read 128 of the prompt's 300 tokens\n\n: read 300 of the prompt's 300 tokens\n\n"
)


@pytest.mark.parametrize("size", [1, 7, 200, 10_000])
def test_the_prompts_frames_become_one_start_and_comments(size: int) -> None:
    stream = b"".join(STREAM) + WORD
    frames = PromptFrames()
    out = b"".join(frames.feed(stream[at : at + size]) for at in range(0, len(stream), size)) + frames.finish()
    assert out == SHOWN + WORD + WORD


def test_a_stream_without_prompt_frames_passes_untouched() -> None:
    stream = frame(choices=ROLE) + WORD
    assert PromptFrames().feed(stream) == stream


def test_an_unfinished_frame_at_the_end_is_not_lost() -> None:
    frames = PromptFrames()
    assert frames.feed(b"data: {") == b""
    assert frames.finish() == b"data: {"


def test_a_prompt_beyond_the_context_is_told_with_its_numbers() -> None:
    body = {"code": 400, "message": "…", "type": "exceed_context_size_error", "n_prompt_tokens": 9000, "n_ctx": 8192}
    fault = fault_of(400, json.dumps({"error": body}).encode())
    assert (fault.kind, fault.status, fault.retryable) == (Kind.CONTEXT_LENGTH, 400, False)
    assert fault.message.startswith("prompt is too long: 9000 tokens > 8192 maximum")


@pytest.mark.parametrize(
    ("status", "message", "kind", "said"),
    [
        (500, "image input is not supported - hint: mmproj", Kind.INVALID_REQUEST, "reads text only: image input"),
        (400, "Expected 'messages' to be an array", Kind.INVALID_REQUEST, "Expected 'messages' to be an array"),
        (503, "Loading model", Kind.OVERLOADED, "Loading model"),
    ],
)
def test_other_refusals_keep_llama_cpps_words(status: int, message: str, kind: Kind, said: str) -> None:
    fault = fault_of(status, json.dumps({"error": {"message": message, "type": "x"}}).encode())
    assert fault.kind is kind
    assert said in fault.message


def test_a_refusal_in_no_known_form_is_quoted() -> None:
    assert "<html>" in fault_of(500, b"<html>").message


def test_a_whole_reply_has_the_fields_that_strict_clients_look_for() -> None:
    whole = WholeReply()
    body = b'{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}'
    assert [whole.feed(body[:20]), whole.feed(body[20:])] == [b"", b""]
    choice = msgspec.json.decode(whole.finish())["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "Hi", "refusal": None, "annotations": []}
    assert choice["logprobs"] is None


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"error": {}}', b'{"choices": 1}', b'{"choices": ["a"]}']
)
def test_what_is_no_reply_passes_untouched(body: bytes) -> None:
    whole = WholeReply()
    whole.feed(body)
    assert whole.finish() == body
