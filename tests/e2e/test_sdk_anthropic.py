"""The official ``anthropic`` SDK, strict about every field, on upstreams of its own and of the three other dialects."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import Message
from gateway_site import Site, run
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
    counting,
    never,
)
from speakers import CACHED, INPUT, OUTPUT, Said, Speaker

ASKING: Any = [{"role": "user", "content": "Say hello."}]
ITS_TOOLS: Any = [{"name": name, "input_schema": schema} for name, schema in TOOLS.items()]
BOTH_WAYS = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
ERRORS = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    413: anthropic.RequestTooLargeError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
    503: anthropic.ServiceUnavailableError,
    529: anthropic.OverloadedError,
}


@asynccontextmanager
async def client_on(
    site: Site, *answers: Answer, max_retries: int = 0, **settings: Any
) -> AsyncIterator[tuple[AsyncAnthropic, RawUpstream]]:
    client = AsyncAnthropic(
        base_url=site.gateway(**settings).url, api_key="k", max_retries=max_retries, _strict_response_validation=True
    )
    async with site.upstream(*answers) as upstream, client:
        yield client, upstream


async def message(client: AsyncAnthropic, speaker: Speaker, *, stream: bool = True, **more: Any) -> Message:
    asked: dict[str, Any] = {"model": speaker.model, "max_tokens": 100, "messages": ASKING, **more}
    if not stream:
        whole: Message = await client.messages.create(**asked)
        return whole
    async with client.messages.stream(**asked) as events:
        return await events.get_final_message()


@BOTH_WAYS
def test_it_reads_text_usage_and_why_the_reply_ended(site: Site, speaker: Speaker, stream: bool) -> None:
    async def main() -> None:
        async with client_on(site, speaker.saying(HELLO)) as (client, _):
            said = await message(client, speaker, stream=stream)
            (block,) = said.content
            assert block.type == "text"
            assert block.text == HELLO.text
            assert (said.stop_reason, said.role, said.type, said.model) == ("end_turn", "assistant", "message", "m")
            assert said.id
            usage = said.usage
            assert (usage.input_tokens, usage.cache_read_input_tokens) == (INPUT - CACHED, CACHED)
            assert usage.output_tokens == OUTPUT

    run(main())


def test_it_sees_each_piece_by_the_raw_stream_and_by_the_helper(site: Site, speaker: Speaker) -> None:
    async def main() -> None:
        async with client_on(site, speaker.saying(HELLO)) as (client, _):
            asked: Any = {"model": speaker.model, "max_tokens": 100, "messages": ASKING}
            events = [event async for event in await client.messages.create(**asked, stream=True)]
            assert [event.type for event in events if event.type != "content_block_delta"] == [
                "message_start",
                "content_block_start",
                "content_block_stop",
                "message_delta",
                "message_stop",
            ]
            said = [event.delta for event in events if event.type == "content_block_delta"]
            assert [delta.text for delta in said if delta.type == "text_delta"] == list(WORDS)
            async with client.messages.stream(**asked) as helper:
                assert [text async for text in helper.text_stream] == list(WORDS)

    run(main())


@BOTH_WAYS
def test_it_gets_thoughts_and_parallel_calls(site: Site, speaker: Speaker, stream: bool) -> None:
    async def main() -> None:
        async with client_on(site, speaker.saying(*CALLS)) as (client, _):
            said = await message(client, speaker, stream=stream, tools=ITS_TOOLS)
            thought, text, one, two = said.content
            assert thought.type == "thinking"
            assert text.type == "text"
            assert one.type == "tool_use"
            assert two.type == "tool_use"
            assert (thought.thinking, text.text) == (THOUGHT.text, "Let me look.")
            assert (one.name, one.input, two.name, two.input) == ("get_weather", WEATHER, "list_cities", {})
            assert [one.id[:6], two.id[:6]] == ["call_a", "call_b"]
            assert said.stop_reason == "tool_use"

    run(main())


@BOTH_WAYS
def test_it_gets_a_single_call(site: Site, speaker: Speaker, stream: bool) -> None:
    async def main() -> None:
        async with client_on(site, speaker.saying(ONE_CALL)) as (client, _):
            said = await message(client, speaker, stream=stream, tools=ITS_TOOLS)
            (call,) = said.content
            assert call.type == "tool_use"
            assert (call.id, call.name, call.input) == ("call_a", "get_weather", WEATHER)
            assert said.stop_reason == "tool_use"

    run(main())


@BOTH_WAYS
def test_it_closes_a_tool_loop(site: Site, speaker: Speaker, stream: bool) -> None:
    async def main() -> None:
        answers = (speaker.saying(*CALLS), speaker.saying(RAIN))
        async with client_on(site, *answers) as (client, asked):
            first = await message(client, speaker, stream=stream, tools=ITS_TOOLS)
            one, two = (block.id for block in first.content if block.type == "tool_use")
            results = [
                {"type": "tool_result", "tool_use_id": one, "content": "rain"},
                {"type": "tool_result", "tool_use_id": two, "content": "no such thing", "is_error": True},
            ]
            history = [*ASKING, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
            last = await message(client, speaker, stream=stream, tools=ITS_TOOLS, messages=history)
            assert [block.text for block in last.content if block.type == "text"] == [RAIN.text]
            assert_loop_was_told(speaker, asked.calls[1], failed=True)

    run(main())


def test_all_that_a_request_says_arrives(site: Site, speaker: Speaker) -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}}
    rich: Any = {
        "max_tokens": 321,
        "system": FACTS[0],
        "messages": [{"role": "user", "content": [picture, {"type": "text", "text": "What is in it?"}]}],
        "tools": [{**ITS_TOOLS[0], "description": "Looks the weather up."}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "metadata": {"user_id": "u1"},
    }

    async def main() -> None:
        async with client_on(site, speaker.saying(HELLO)) as (client, asked):
            await message(client, speaker, **rich)
            assert_facts_were_told(speaker, asked.calls[0], "anthropic")

    run(main())


def test_an_answer_in_a_shape_of_ones_own_is_parsed(site: Site, speaker: Speaker) -> None:
    async def main() -> None:
        async with client_on(site, speaker.saying(PLACE)) as (client, asked):
            said = await client.messages.parse(
                model=speaker.model, max_tokens=100, messages=ASKING, output_format=Place
            )
            assert said.parsed_output == Place(city="Ulm", days=3)
            assert_shape_was_told(asked.calls[0])

    run(main())


@pytest.mark.parametrize(("status", "kind"), REFUSALS)
def test_it_raises_its_own_error_for_every_status(site: Site, speaker: Speaker, status: int, kind: str) -> None:
    refuse = speaker.refusing(status, kind, "No.", {"retry-after": "7"})

    async def main() -> None:
        async with client_on(site, refuse, retries=0) as (client, _):
            for stream in (True, False):
                with pytest.raises(anthropic.APIStatusError) as caught:
                    await message(client, speaker, stream=stream)
                error = caught.value
                assert type(error) is ERRORS[status]
                assert error.status_code == status
                assert error.response.headers["retry-after"] == "7"
                assert error.request_id
                assert isinstance(error.body, dict)
                assert error.body["error"]["message"] == "No."

    run(main())


def test_it_raises_for_a_model_that_nobody_has(site: Site) -> None:
    async def main() -> None:
        async with client_on(site, never) as (client, _):
            for stream in (True, False):
                with pytest.raises(anthropic.NotFoundError, match="anthropic-up/m"):
                    await client.messages.create(model="anthropic-upp/m", max_tokens=9, messages=ASKING, stream=stream)

    run(main())


@pytest.mark.parametrize(
    ("kind", "type_"), [("overloaded", "overloaded_error"), ("rate", "rate_limit_error"), ("internal", "api_error")]
)
def test_it_raises_for_an_error_within_a_stream(site: Site, speaker: Speaker, kind: str, type_: str) -> None:
    async def main() -> None:
        fail = speaker.breaking(speaker.error(kind, "Enough."), Said(("Hel",)))
        async with client_on(site, fail) as (client, asked):
            with pytest.raises(anthropic.APIStatusError, match="Enough") as caught:
                await message(client, speaker)
            assert isinstance(caught.value.body, dict)
            assert caught.value.body["error"]["type"] == type_
            assert len(asked.calls) == 1, "what was begun is not begun again"

    run(main())


@pytest.mark.parametrize("block", [Said(("Hel",)), ONE_CALL], ids=["text", "call"])
def test_it_raises_where_a_stream_breaks_off(site: Site, speaker: Speaker, block: Any) -> None:
    async def main() -> None:
        async with client_on(site, speaker.breaking(None, block)) as (client, _):
            with pytest.raises(anthropic.APIStatusError, match="broke off"):
                await message(client, speaker)

    run(main())


def test_it_waits_as_it_is_told_and_tries_again_by_itself(
    site: Site, speaker: Speaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("anthropic._base_client.anyio.sleep", wait)

    async def main() -> None:
        answers = (speaker.refusing(429, "rate", "Later.", {"retry-after": "33"}), speaker.saying(HELLO))
        async with client_on(site, *answers, max_retries=1, max_retry_wait=0.5) as (client, asked):
            said = await message(client, speaker)
            assert [block.text for block in said.content if block.type == "text"] == [HELLO.text]
            assert waits == [33.0]
            assert len(asked.calls) == 2

    run(main())


def test_it_lists_models_and_finds_one(site: Site, speaker: Speaker) -> None:
    async def main() -> None:
        async with client_on(site, never) as (client, _):
            assert speaker.model in [model.id async for model in client.models.list(limit=5)]
            model = await client.models.retrieve(speaker.model)
            assert (model.id, model.type, model.created_at.tzinfo is not None) == (speaker.model, "model", True)
            with pytest.raises(anthropic.NotFoundError):
                await client.models.retrieve("nobody")

    run(main())


def test_it_counts_tokens(site: Site, speaker: Speaker) -> None:
    """By the upstream itself if its API can count, else by an estimate."""

    async def main() -> None:
        own = speaker.counted(17) is not None
        async with client_on(site, counting(speaker, 17) if own else never) as (client, _):
            raw = await client.messages.with_raw_response.count_tokens(model=speaker.model, messages=ASKING)
            assert raw.headers.get("x-millstream-estimated") == (None if own else "true")
            tokens = (await raw.parse()).input_tokens
            assert tokens == 17 if own else 5 <= tokens <= 50

    run(main())


def test_many_stream_side_by_side(site: Site, speaker: Speaker) -> None:
    async def answer(call: Call) -> None:
        number = call.body.decode().partition("I am ")[2].partition(".")[0]
        await speaker.saying(Said((f"You are {number}.",)))(call)

    async def main() -> None:
        async with client_on(site, answer) as (client, _):

            async def ask(number: int) -> str:
                said = await message(client, speaker, messages=[{"role": "user", "content": f"I am {number}."}])
                return "".join(block.text for block in said.content if block.type == "text")

            assert await asyncio.gather(*(ask(n) for n in range(20))) == [f"You are {n}." for n in range(20)]

    run(main())
