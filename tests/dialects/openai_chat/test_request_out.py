"""What an upstream is sent beside messages and tools, one quirk per test; and the side door."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from millstream.core.errors import ClientFault
from millstream.core.messages import Leftovers, Message, Reasoning, Request, ResponseFormat, TextPart, Tool
from millstream.dialects.base import ClientCall, Target
from millstream.dialects.openai_chat import DIALECT, OpenAIChatQuirks

Body = Callable[..., dict[str, Any]]

HI = Message("user", (TextPart("hi"),), plain=True)


def asking(origin: str = "anthropic", **fields: Any) -> Request:
    return Request(origin, "client-model", (HI,), **fields)


def test_the_upstreams_model_and_the_path_are_told(render: Any) -> None:
    sent = render(asking(), model="kimi")
    assert sent.path == "/chat/completions"
    assert json.loads(sent.body) == {"model": "kimi", "messages": [{"role": "user", "content": "hi"}]}


def test_usage_is_always_asked_for_in_streams(body: Body) -> None:
    sent = body(asking(), stream=True)
    assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})
    assert "stream_options" not in body(asking(), stream=True, stream_options=False)
    assert "stream" not in body(asking())


@pytest.mark.parametrize(
    ("quirks", "written"),
    [
        ({}, {"max_completion_tokens": 128000}),
        ({"max_tokens_field": "max_tokens"}, {"max_tokens": 128000}),
        ({"max_output_tokens": 16384}, {"max_completion_tokens": 16384}),
        ({"max_output_tokens": {"gpt-4o*": 16384, "*": 32768}}, {"max_completion_tokens": 32768}),
        ({"max_output_tokens": {"gpt-4o*": 16384}}, {"max_completion_tokens": 128000}),
        ({"omit_max_tokens_above": 8192}, {}),
    ],
)
def test_the_limit_is_what_the_model_can_do(quirks: dict[str, Any], written: dict[str, int], body: Body) -> None:
    sent = body(asking(max_tokens=128000), model="gpt-4.1", **quirks)
    assert {name: value for name, value in sent.items() if "tokens" in name} == written


def test_the_first_pattern_that_fits_gives_the_limit(body: Body) -> None:
    limits = {"gpt-4o*": 16384, "*": 32768}
    assert (
        body(asking(max_tokens=99999), model="gpt-4o-mini", max_output_tokens=limits)["max_completion_tokens"] == 16384
    )


def test_sampling_is_told_and_top_k_only_where_it_is_known(render: Any, body: Body) -> None:
    request = asking(temperature=0.5, top_p=0.9, top_k=40, seed=7)
    sent = body(request)
    assert (sent["temperature"], sent["top_p"], sent["seed"]) == (0.5, 0.9, 7)
    assert "top_k" not in sent
    assert render(request).dropped == ("top_k",)
    sent = body(request, top_k=True, seed_field="random_seed")
    assert (sent["top_k"], sent["random_seed"], "seed" in sent) == (40, 7, False)


def test_a_long_user_becomes_a_hash_that_is_always_the_same(render: Any, body: Body) -> None:
    agent = json.dumps({"device_id": "d" * 64, "session_id": "s" * 36})
    assert body(asking(user="u"))["user"] == "u"
    hashed = body(asking(user=agent))["user"]
    assert len(hashed) == 64
    assert hashed == body(asking(user=agent))["user"]
    assert "user" not in body(asking(user="u"), user=False)
    assert render(asking(user="u"), user=False).dropped == ("user",)


def test_stop_sequences_that_do_not_fit_are_left_to_the_gateway(render: Any, body: Body) -> None:
    few, many = asking(stop=("a", "b")), asking(stop=("a", "b", "c", "d", "e"))
    assert (body(few)["stop"], render(few).stop) == (["a", "b"], ())
    assert (body(many)["stop"], render(many).stop) == (["a", "b", "c", "d"], ("a", "b", "c", "d", "e"))
    unsupported = {"*": ("stop",)}
    assert "stop" not in body(few, unsupported=unsupported)
    assert render(few, unsupported=unsupported).stop == ("a", "b")
    assert render(few, unsupported=unsupported).dropped == ()


def test_fields_that_only_tune_are_left_out_where_a_model_refuses_them(render: Any, body: Body) -> None:
    unsupported = {"gpt-5*": ("temperature", "top_p"), "*": ("presence_penalty",)}
    request = asking(temperature=0.5, presence_penalty=1.0)
    assert render(request, model="gpt-5-mini", unsupported=unsupported).dropped == ("presence_penalty", "temperature")
    assert body(request, model="gpt-4.1", unsupported=unsupported)["temperature"] == 0.5


@pytest.mark.parametrize("field", [{"n": 2}, {"logprobs": True}, {"top_logprobs": 3}])
def test_fields_that_mean_more_are_refused(field: dict[str, Any], render: Any) -> None:
    with pytest.raises(ClientFault) as raised:
        render(asking("openai_chat", **field), unsupported={"*": tuple(field)})
    assert raised.value.param == next(iter(field))


def test_fields_that_say_what_is_so_anyway_are_left_out_even_so(body: Body) -> None:
    request = asking("openai_chat", n=1, logprobs=False, response_format=ResponseFormat("text"))
    sent = body(request, unsupported={"*": ("n", "logprobs", "response_format")})
    assert sent.keys() == {"model", "messages"}


SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}},
    "required": ["title"],
    "additionalProperties": False,
}


def test_a_schema_for_the_answer_is_told(body: Body) -> None:
    inner = {"name": "answer", "schema": SCHEMA, "strict": True}
    sent = body(asking(response_format=ResponseFormat("json_schema", schema=SCHEMA)))
    assert sent["response_format"] == {"type": "json_schema", "json_schema": inner}
    loose = body(asking(response_format=ResponseFormat("json_schema", name="my form", schema={"type": "object"})))
    assert loose["response_format"]["json_schema"] == {"name": "my_form", "schema": {"type": "object"}}


def test_a_schema_goes_into_the_system_prompt_where_it_cannot_be_told(body: Body) -> None:
    request = asking(response_format=ResponseFormat("json_schema", schema=SCHEMA))
    sent = body(request, json_schema=False)
    assert sent["response_format"] == {"type": "json_object"}
    assert json.dumps(SCHEMA, separators=(",", ":")) in sent["messages"][0]["content"]
    sent = body(request, json_schema=False, json_object=False)
    assert "response_format" not in sent
    assert "JSON" in sent["messages"][0]["content"]
    sent = body(request, unsupported={"*": ("response_format",)})
    assert "response_format" not in sent
    assert "title" in sent["messages"][0]["content"]


def test_any_json_is_asked_for_in_words_where_it_cannot_be_told(body: Body) -> None:
    request = asking(response_format=ResponseFormat("json_object"))
    assert body(request)["response_format"] == {"type": "json_object"}
    assert "JSON" in body(request, json_object=False)["messages"][0]["content"]


ADAPTIVE = Reasoning("adaptive", "medium")
BUDGET = Reasoning("enabled", budget=31999)
OFF = Reasoning("disabled")
EFFORT = Reasoning(effort="max")


@pytest.mark.parametrize(
    ("style", "wanted", "written"),
    [
        ("effort", ADAPTIVE, {"reasoning_effort": "medium"}),
        ("effort", BUDGET, {"reasoning_effort": "high"}),
        ("effort", Reasoning("enabled", budget=4096), {"reasoning_effort": "low"}),
        ("effort", Reasoning("enabled", budget=10000), {"reasoning_effort": "medium"}),
        ("effort", OFF, {"reasoning_effort": "none"}),
        ("effort", EFFORT, {"reasoning_effort": "xhigh"}),
        ("effort", Reasoning("adaptive"), {}),
        ("openrouter", ADAPTIVE, {"reasoning": {"effort": "medium"}}),
        ("openrouter", BUDGET, {"reasoning": {"max_tokens": 31999}}),
        ("openrouter", OFF, {"reasoning": {"effort": "none"}}),
        ("openrouter", Reasoning("adaptive"), {"reasoning": {"enabled": True}}),
        ("openrouter", Reasoning(display="omitted"), {}),
        ("thinking", ADAPTIVE, {"thinking": {"type": "enabled"}}),
        ("thinking", OFF, {"thinking": {"type": "disabled"}}),
        ("thinking", EFFORT, {}),
        ("template", BUDGET, {"chat_template_kwargs": {"enable_thinking": True}}),
        ("template", OFF, {"chat_template_kwargs": {"enable_thinking": False}}),
        ("template", ADAPTIVE, {}),
        ("none", ADAPTIVE, {}),
    ],
)
def test_how_much_to_think_is_said_each_providers_way(
    style: str, wanted: Reasoning, written: dict[str, Any], body: Body
) -> None:
    sent = body(asking(reasoning=wanted), reasoning=style)
    assert {name: value for name, value in sent.items() if name not in ("model", "messages")} == written


def test_the_nearest_effort_that_is_known_is_taken(body: Body) -> None:
    known = ("low", "medium", "high")

    def told(wanted: Reasoning) -> Any:
        return body(asking(reasoning=wanted), efforts=known).get("reasoning_effort")

    assert [told(wanted) for wanted in (OFF, Reasoning(effort="minimal"), ADAPTIVE, EFFORT)] == [
        "low",
        "low",
        "medium",
        "high",
    ]


def test_thinking_and_an_effort_may_both_be_said_to_deepseek(body: Body) -> None:
    quirks = {"reasoning": "thinking", "thinking_effort": True, "efforts": ("low", "high", "max")}
    sent = body(asking(reasoning=Reasoning("adaptive", "max")), **quirks)
    assert (sent["thinking"], sent["reasoning_effort"]) == ({"type": "enabled"}, "max")
    assert "reasoning_effort" not in body(asking(reasoning=OFF), **quirks)


def test_models_that_do_not_think_are_not_told_how_much(render: Any, body: Body) -> None:
    quirks = {"reasoning": {"*-thinking": "always", "openai/gpt-oss-*": "effort"}}
    request = asking(reasoning=ADAPTIVE)
    assert "reasoning_effort" in body(request, model="openai/gpt-oss-120b", **quirks)
    assert "reasoning_effort" not in body(request, model="llama-3.3-70b", **quirks)
    assert render(request, model="llama-3.3-70b", **quirks).dropped == ("reasoning",)


def test_models_that_always_think_cannot_be_told(render: Any) -> None:
    sent = render(asking(reasoning=EFFORT), model="kimi-k2-thinking", reasoning={"*-thinking": "always", "*": "effort"})
    assert sent.dropped == ("reasoning",)
    assert b"reasoning" not in sent.body


def test_fields_of_other_dialects_are_named_as_dropped(render: Any) -> None:
    assert render(asking(leftovers=Leftovers(tuning=("context_management",)))).dropped == ("context_management",)


def test_a_field_without_which_the_answer_would_be_another_is_refused_by_its_name(render: Any) -> None:
    with pytest.raises(ClientFault, match="container") as caught:
        render(asking(leftovers=Leftovers(meant=("container",))))
    assert caught.value.param == "container"


def test_fields_of_openais_other_api_go_where_they_are_known(render: Any) -> None:
    left = Leftovers(shared={"verbosity": ("text.verbosity", "low"), "store": ("store", True)})
    assert render(asking(leftovers=left)).dropped == ("store", "text.verbosity")
    rendered = render(asking(leftovers=left), shared_fields=("verbosity",))
    assert (json.loads(rendered.body)["verbosity"], rendered.dropped) == ("low", ("store",))


def test_a_provider_may_want_fields_in_every_request(body: Body) -> None:
    sent = body(asking(temperature=0.5), added={"usage": {"include": True}, "temperature": 1})
    assert (sent["usage"], sent["temperature"]) == ({"include": True}, 0.5)


def test_an_unknown_quirk_is_an_error() -> None:
    with pytest.raises(TypeError):
        OpenAIChatQuirks(colour="blue")  # type: ignore[call-arg]  # the mistake that is tested


def test_the_side_door_renames_the_model_and_nothing_else() -> None:
    sent = b'{"model":"up/m","messages":[{"role":"user","content":"\\u00e9"}],"stream":true,"unknown":1.0}'
    headers = {"authorization": "Bearer x", "openai-organization": "org", "openai-beta": "b", "x-title": "t"}
    forwarded = DIALECT.forward_request(ClientCall(sent, headers), Target("m", OpenAIChatQuirks()))
    assert forwarded.path == "/chat/completions"
    assert forwarded.body == sent.replace(b"up/m", b"m")
    assert forwarded.headers == {"openai-beta": "b", "x-title": "t"}


def test_this_api_has_no_counts() -> None:
    target = Target("m", OpenAIChatQuirks())
    assert DIALECT.forward_count(ClientCall(b"{}"), target) is None
    assert DIALECT.read_count(b'{"input_tokens": 3}') is None
    with pytest.raises(ClientFault):
        DIALECT.parse_count(ClientCall(b"{}"))


def test_quirks_apply_to_this_dialects_own_clients_too(parse: Any, body: Body) -> None:
    request = parse(
        messages=[{"role": "user", "content": "hi"}, {"role": "system", "content": "now"}],
        tools=[{"type": "function", "function": {"name": "a.b"}}],
        max_completion_tokens=9,
        stop="x",
    )
    sent = body(request, leading_system_only=True, max_tokens_field="max_tokens", unsupported={"*": ("stop",)})
    assert sent["messages"][1] == {"role": "user", "content": "<system-reminder>\nnow\n</system-reminder>"}
    assert (sent["max_tokens"], "stop" in sent) == (9, False)
    assert sent["tools"][0]["function"]["name"] == "a.b"


def test_tools_of_this_dialect_that_its_provider_runs_are_passed_on(body: Body) -> None:
    own = Tool("browser_search", kind="server", origin="openai_chat", data={"type": "browser_search"})
    assert body(asking("openai_chat", tools=(own,)))["tools"] == [{"type": "browser_search"}]
