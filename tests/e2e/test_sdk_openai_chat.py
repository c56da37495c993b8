"""The official ``openai`` SDK's Chat Completions, strict about every field, on upstreams of all four dialects."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from gateway_site import Site, run
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion
from raw_upstream import Answer, Call, RawUpstream
from sdk_cases import (
    CALLS,
    FACTS,
    HELLO,
    ONE_CALL,
    PICTURE,
    PLACE,
    RAIN,
    REFUSALS,
    THOUGHT,
    TOOLS,
    WEATHER,
    WORDS,
    Place,
    assert_facts_were_told,
    assert_loop_was_told,
    assert_shape_was_told,
    never,
)
from speakers import CACHED, INPUT, OUTPUT, Said, Speaker

ASKING: Any = [{"role": "user", "content": "Say hello."}]
ITS_TOOLS: Any = [
    {"type": "function", "function": {"name": name, "parameters": schema}} for name, schema in TOOLS.items()
]
BOTH_WAYS = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
ERRORS = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    413: openai.APIStatusError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    503: openai.InternalServerError,
    529: openai.InternalServerError,
}
TOLD_AS = {529: 503}
"""A status that is Anthropic's own, as this API's clients know it, unless it is their own upstream's."""


@asynccontextmanager
async def client_on(
    site: Site, *answers: Answer, max_retries: int = 0, **settings: Any
) -> AsyncIterator[tuple[AsyncOpenAI, RawUpstream]]:
    client = AsyncOpenAI(
        base_url=site.gateway(**settings).url + "/v1",
        api_key="k",
        max_retries=max_retries,
        _strict_response_validation=True,
    )
    async with site.upstream(*answers) as upstream, client:
        yield client, upstream


async def completion(client: AsyncOpenAI, speaker: Speaker, *, stream: bool = True, **more: Any) -> ChatCompletion:
    asked: dict[str, Any] = {"model": speaker.model, "messages": ASKING, **more}
    if not stream:
        whole: ChatCompletion = await client.chat.completions.create(**asked)
        return whole
    async with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as events:
        return await events.get_final_completion()


@BOTH_WAYS
def test_it_reads_text_usage_and_why_the_reply_ended(site: Site, speaker: Speaker, stream: bool) -> None:
    async def main() -> None:
        async with client_on(site, speaker.saying(HELLO)) as (client, _):
            said = await completion(client, speaker, stream=stream)
            (choice,) = said.choices
            assert (choice.message.content, choice.message.role) == (HELLO.text, "assistant")
            assert (choice.finish_reason, said.object, said.model) == ("stop", "chat.completion", "m")
            assert said.id
            assert said.usage is not None
            assert (said.usage.prompt_tokens, said.usage.completion_tokens) == (INPUT, OUTPUT)
            assert said.usage.total_tokens == INPUT + OUTPUT
            assert said.usage.prompt_tokens_details is not None
            assert said.usage.prompt_tokens_details.cached_tokens == CACHED

    run(main())


def test_it_sees_each_piece_by_the_raw_stream(site: Site, speaker: Speaker) -> None:
    async def main() -> None:
        async with client_on(site, speaker.saying(HELLO)) as (client, _):
            stream = await client.chat.completions.create(model=speaker.model, messages=ASKING, stream=True)
            chunks = [chunk async for chunk in stream]
            said = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
            assert [piece for piece in said if piece] == list(WORDS)
            reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
            assert [reason for reason in reasons if reason] == ["stop"]
            assert len({chunk.id for chunk in chunks}) == 1
            if speaker.name != "openai_chat":
                assert all(chunk.usage is None for chunk in chunks), "it did not ask for usage"

    run(main())


@BOTH_WAYS
def test_it_gets_thoughts_and_parallel_calls(site: Site, speaker: Speaker, stream: bool) -> None:
    async def main() -> None:
        async with client_on(site, speaker.saying(*CALLS)) as (client, _):
            said = await completion(client, speaker, stream=stream, tools=ITS_TOOLS)
            (choice,) = said.choices
            assert choice.message.content == "Let me look."
            assert (choice.message.model_extra or {})["reasoning_content"] == THOUGHT.text
            assert choice.finish_reason == "tool_calls"
            one, two = choice.message.tool_calls or []
            assert one.type == "function"
            assert two.type == "function"
            assert [one.id[:6], two.id[:6]] == ["call_a", "call_b"]
            assert (one.function.name, json.loads(one.function.arguments)) == ("get_weather", WEATHER)
            assert (two.function.name, json.loads(two.function.arguments or "{}")) == ("list_cities", {})

    run(main())


@BOTH_WAYS
def test_it_gets_a_single_call(site: Site, speaker: Speaker, stream: bool) -> None:
    async def main() -> None:
        async with client_on(site, speaker.saying(ONE_CALL)) as (client, _):
            said = await completion(client, speaker, stream=stream, tools=ITS_TOOLS)
            (choice,) = said.choices
            (call,) = choice.message.tool_calls or []
            assert call.type == "function"
            assert (call.id, call.function.name) == ("call_a", "get_weather")
            assert json.loads(call.function.arguments) == WEATHER
            assert (choice.message.content or "", choice.finish_reason) == ("", "tool_calls")

    run(main())


@BOTH_WAYS
def test_it_closes_a_tool_loop(site: Site, speaker: Speaker, stream: bool) -> None:
    async def main() -> None:
        answers = (speaker.saying(*CALLS), speaker.saying(RAIN))
        async with client_on(site, *answers) as (client, asked):
            first = (await completion(client, speaker, stream=stream, tools=ITS_TOOLS)).choices[0].message
            said = first.model_dump(exclude_none=True, exclude={"parsed", "refusal"})
            for call in said["tool_calls"]:
                call["function"].pop("parsed_arguments", None)
            one, two = (call["id"] for call in said["tool_calls"])
            results = [
                {"role": "tool", "tool_call_id": one, "content": "rain"},
                {"role": "tool", "tool_call_id": two, "content": "no such thing"},
            ]
            history = [*ASKING, said, *results]
            last = await completion(client, speaker, stream=stream, tools=ITS_TOOLS, messages=history)
            assert last.choices[0].message.content == RAIN.text
            assert_loop_was_told(speaker, asked.calls[1], thoughts=False)

    run(main())


def test_all_that_a_request_says_arrives(site: Site, speaker: Speaker) -> None:
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}}
    tool = {**ITS_TOOLS[0]["function"], "description": "Looks the weather up."}
    rich: Any = {
        "max_completion_tokens": 321,
        "messages": [
            {"role": "system", "content": FACTS[0]},
            {"role": "user", "content": [picture, {"type": "text", "text": "What is in it?"}]},
        ],
        "tools": [{"type": "function", "function": tool}],
        "parallel_tool_calls": False,
        "user": "u1",
    }

    async def main() -> None:
        async with client_on(site, speaker.saying(HELLO)) as (client, asked):
            await completion(client, speaker, **rich)
            assert_facts_were_told(speaker, asked.calls[0], "openai_chat")

    run(main())


def test_an_answer_in_a_shape_of_ones_own_is_parsed(site: Site, speaker: Speaker) -> None:
    async def main() -> None:
        async with client_on(site, speaker.saying(PLACE)) as (client, asked):
            said = await client.chat.completions.parse(model=speaker.model, messages=ASKING, response_format=Place)
            assert said.choices[0].message.parsed == Place(city="Ulm", days=3)
            assert_shape_was_told(asked.calls[0])

    run(main())


@pytest.mark.parametrize(("status", "kind"), REFUSALS)
def test_it_raises_its_own_error_for_every_status(site: Site, speaker: Speaker, status: int, kind: str) -> None:
    refuse = speaker.refusing(status, kind, "No.", {"retry-after": "7"})

    async def main() -> None:
        async with client_on(site, refuse, retries=0) as (client, _):
            for stream in (True, False):
                with pytest.raises(openai.APIStatusError) as caught:
                    await completion(client, speaker, stream=stream)
                error = caught.value
                assert type(error) is ERRORS[status]
                own = speaker.name == "openai_chat"
                assert error.status_code == (status if own else TOLD_AS.get(status, status))
                assert error.response.headers["retry-after"] == "7"
                assert error.request_id
                assert isinstance(error.body, dict)
                assert error.body["message"] == "No."

    run(main())


def test_it_raises_for_a_model_that_nobody_has(site: Site) -> None:
    async def main() -> None:
        async with client_on(site, never) as (client, _):
            for stream in (True, False):
                with pytest.raises(openai.NotFoundError, match="openai_chat-up/m") as caught:
                    await client.chat.completions.create(model="openai_chat-upp/m", messages=ASKING, stream=stream)
                assert (caught.value.code, caught.value.param) == ("model_not_found", "model")

    run(main())


@pytest.mark.parametrize("kind", ["overloaded", "rate", "internal"])
def test_it_raises_for_an_error_within_a_stream(site: Site, speaker: Speaker, kind: str) -> None:
    async def main() -> None:
        fail = speaker.breaking(speaker.error(kind, "Enough."), Said(("Hel",)))
        async with client_on(site, fail) as (client, asked):
            with pytest.raises(openai.APIError, match="Enough"):
                await completion(client, speaker)
            assert len(asked.calls) == 1, "what was begun is not begun again"

    run(main())


@pytest.mark.parametrize("block", [Said(("Hel",)), ONE_CALL], ids=["text", "call"])
def test_it_raises_where_a_stream_breaks_off(site: Site, speaker: Speaker, block: Any) -> None:
    async def main() -> None:
        async with client_on(site, speaker.breaking(None, block)) as (client, _):
            with pytest.raises(openai.APIError, match="broke off"):
                await completion(client, speaker)

    run(main())


def test_it_waits_as_it_is_told_and_tries_again_by_itself(
    site: Site, speaker: Speaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("openai._base_client.anyio.sleep", wait)

    async def main() -> None:
        answers = (speaker.refusing(429, "rate", "Later.", {"retry-after": "33"}), speaker.saying(HELLO))
        async with client_on(site, *answers, max_retries=1, max_retry_wait=0.5) as (client, asked):
            said = await completion(client, speaker)
            assert said.choices[0].message.content == HELLO.text
            assert waits == [33.0]
            assert len(asked.calls) == 2

    run(main())


def test_it_lists_models_and_finds_one(site: Site, speaker: Speaker) -> None:
    async def main() -> None:
        async with client_on(site, never) as (client, _):
            assert speaker.model in [model.id async for model in client.models.list()]
            model = await client.models.retrieve(speaker.model)
            assert (model.id, model.object, model.owned_by) == (speaker.model, "model", f"{speaker.name}-up")
            with pytest.raises(openai.NotFoundError, match="nobody"):
                await client.models.retrieve("nobody")

    run(main())


def test_many_stream_side_by_side(site: Site, speaker: Speaker) -> None:
    async def answer(call: Call) -> None:
        number = call.body.decode().partition("I am ")[2].partition(".")[0]
        await speaker.saying(Said((f"You are {number}.",)))(call)

    async def main() -> None:
        async with client_on(site, answer) as (client, _):

            async def ask(number: int) -> str | None:
                said = await completion(client, speaker, messages=[{"role": "user", "content": f"I am {number}."}])
                return said.choices[0].message.content

            assert await asyncio.gather(*(ask(n) for n in range(20))) == [f"You are {n}." for n in range(20)]

    run(main())
