"""Counting tokens: asked by a client, forwarded, asked of an upstream, answered."""

from __future__ import annotations

import json

import pytest

from millstream.core.errors import ClientFault
from millstream.core.messages import Message, Request, TextPart
from millstream.dialects.base import ClientCall, Target
from millstream.dialects.gemini import GeminiDialect
from millstream.dialects.gemini.quirks import GeminiQuirks

DIALECT = GeminiDialect()
CONTENTS = [{"role": "user", "parts": [{"text": "Hi"}]}]
TARGET = Target("gemini-x", GeminiQuirks(), stream=False)


def test_a_client_may_ask_about_contents_or_about_a_whole_request() -> None:
    bare = ClientCall(json.dumps({"contents": CONTENTS}).encode(), model="m")
    assert DIALECT.parse_count(bare).messages == (Message("user", (TextPart("Hi"),)),)
    inner = {"model": "models/m", "contents": CONTENTS, "systemInstruction": {"parts": [{"text": "s"}]}}
    wrapped = DIALECT.parse_count(ClientCall(json.dumps({"generateContentRequest": inner}).encode(), model="m"))
    assert wrapped.system == (TextPart("s"),)
    with pytest.raises(ClientFault, match="contents"):
        DIALECT.parse_count(ClientCall(b"{}", model="m"))


def test_a_question_is_forwarded_as_it_is() -> None:
    call = ClientCall(b'{ "contents": [1.50] }', model="m")
    found = DIALECT.forward_count(call, TARGET)
    assert (found.path, found.body) == ("/v1beta/models/gemini-x:countTokens", call.body)


def test_the_model_inside_a_forwarded_question_is_the_upstreams() -> None:
    inner = {"model": "models/alias", "contents": CONTENTS}
    call = ClientCall(json.dumps({"generateContentRequest": inner}).encode(), model="alias")
    found = json.loads(DIALECT.forward_count(call, TARGET).body)
    assert found == {"generateContentRequest": {"model": "models/gemini-x", "contents": CONTENTS}}


def test_a_request_of_another_dialect_is_counted_too() -> None:
    request = Request("anthropic", "claude", (Message("user", (TextPart("Hi"),)),), system=(TextPart("s"),))
    found = json.loads(DIALECT.render_count(request, TARGET).body)["generateContentRequest"]
    assert (found["model"], found["contents"]) == ("models/gemini-x", CONTENTS)
    assert found["systemInstruction"] == {"parts": [{"text": "s"}]}
    vertex = Target("gemini-x", GeminiQuirks(count_wrapped=False, model_path="/publishers/google/models/{model}"))
    direct = DIALECT.render_count(request, vertex)
    assert direct.path == "/publishers/google/models/gemini-x:countTokens"
    assert json.loads(direct.body)["contents"] == CONTENTS


def test_the_number_is_read_and_written() -> None:
    assert DIALECT.read_count(b'{"totalTokens": 31, "promptTokensDetails": []}') == 31
    assert json.loads(DIALECT.count_reply(31)) == {"totalTokens": 31}


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"totalTokens": "x"}', b"[" * 9000])
def test_an_answer_without_a_number_is_none(body: bytes) -> None:
    assert DIALECT.read_count(body) is None
