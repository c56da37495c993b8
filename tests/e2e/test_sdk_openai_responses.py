"""The official ``openai`` SDK's Responses, strict about every field, on upstreams of all four dialects."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from gateway_site import Site, run
from openai import AsyncOpenAI
from openai.types.responses import Response
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

ASKING: Any = [{"type": "message", "role": "user", "content": "Say hello."}]
ITS_TOOLS: Any = [
    {"type": "function", "name": name, "parameters": schema, "strict": False} for name, schema in TOOLS.items()
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


async def response(client: AsyncOpenAI, speaker: Speaker, *, stream: bool = True, **more: Any) -> Response:
    asked: dict[str, Any] = {"model": speaker.model, "input": ASKING, **more}
    if not stream:
        whole: Response = await client.responses.create(**asked)
        return whole
    async with client.responses.stream(**asked) as events:
        return await events.get_final_response()


@BOTH_WAYS
def test_it_reads_text_usage_and_why_the_reply_ended(site: Site, speaker: Speaker, stream: bool) -> None:
    async def main() -> None:
        async with client_on(site, speaker.saying(HELLO)) as (client, _):
            said = await response(client, speaker, stream=stream)
            (item,) = said.output
            assert item.type == "message"
            assert (said.output_text, item.role, item.status) == (HELLO.text, "assistant", "completed")
            assert (said.status, said.object, said.model, said.error) == ("completed", "response", "m", None)
            assert said.usage is not None
            assert (said.usage.input_tokens, said.usage.output_tokens) == (INPUT, OUTPUT)
            assert said.usage.input_tokens_details.cached_tokens == CACHED
            assert said.usage.total_tokens == INPUT + OUTPUT

    run(main())


def test_it_sees_each_piece_by_the_raw_stream(site: Site, speaker: Speaker) -> None:
    async def main() -> None:
        async with client_on(site, speaker.saying(HELLO)) as (client, _):
            events = [
                event async for event in await client.responses.create(model=speaker.model, input=ASKING, stream=True)
            ]
            assert [event.sequence_number for event in events] == list(range(len(events)))
            assert [event.type for event in events if not event.type.endswith(".delta")] == [
                "response.created",
                "response.in_progress",
                "response.output_item.added",
                "response.content_part.added",
                "response.output_text.done",
                "response.content_part.done",
                "response.output_item.done",
                "response.completed",
            ]
            assert [event.delta for event in events if event.type == "response.output_text.delta"] == list(WORDS)

    run(main())


@BOTH_WAYS
def test_it_gets_thoughts_and_parallel_calls(site: Site, speaker: Speaker, stream: bool) -> None:
    async def main() -> None:
        async with client_on(site, speaker.saying(*CALLS)) as (client, _):
            said = await response(client, speaker, stream=stream, tools=ITS_TOOLS)
            thought, text, one, two = said.output
            assert thought.type == "reasoning"
            assert text.type == "message"
            assert one.type == "function_call"
            assert two.type == "function_call"
            said_of_it = [part.text for part in thought.summary] + [part.text for part in thought.content or []]
            assert "".join(said_of_it) == THOUGHT.text
            assert said.output_text == "Let me look."
            assert [one.call_id[:6], two.call_id[:6]] == ["call_a", "call_b"]
            assert (one.name, json.loads(one.arguments)) == ("get_weather", WEATHER)
            assert (two.name, json.loads(two.arguments)) == ("list_cities", {})

    run(main())


@BOTH_WAYS
def test_it_gets_a_single_call(site: Site, speaker: Speaker, stream: bool) -> None:
    async def main() -> None:
        async with client_on(site, speaker.saying(ONE_CALL)) as (client, _):
            said = await response(client, speaker, stream=stream, tools=ITS_TOOLS)
            (call,) = said.output
            assert call.type == "function_call"
            assert (call.call_id, call.name, json.loads(call.arguments)) == ("call_a", "get_weather", WEATHER)
            assert (said.status, call.status) == ("completed", "completed")

    run(main())


@BOTH_WAYS
def test_it_closes_a_tool_loop(site: Site, speaker: Speaker, stream: bool) -> None:
    async def main() -> None:
        answers = (speaker.saying(*CALLS), speaker.saying(RAIN))
        async with client_on(site, *answers) as (client, asked):
            first = await response(client, speaker, stream=stream, tools=ITS_TOOLS)
            said = [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in first.output]
            one, two = (item["call_id"] for item in said if item["type"] == "function_call")
            results = [
                {"type": "function_call_output", "call_id": one, "output": "rain"},
                {"type": "function_call_output", "call_id": two, "output": "no such thing"},
            ]
            history = [*ASKING, *said, *results]
            last = await response(client, speaker, stream=stream, tools=ITS_TOOLS, input=history)
            assert last.output_text == RAIN.text
            assert_loop_was_told(speaker, asked.calls[1])

    run(main())


def test_all_that_a_request_says_arrives(site: Site, speaker: Speaker) -> None:
    picture = {"type": "input_image", "image_url": f"data:image/png;base64,{PICTURE}", "detail": "auto"}
    question = {"type": "input_text", "text": "What is in it?"}
    rich: Any = {
        "max_output_tokens": 321,
        "instructions": FACTS[0],
        "input": [{"type": "message", "role": "user", "content": [picture, question]}],
        "tools": [{**ITS_TOOLS[0], "description": "Looks the weather up."}],
        "parallel_tool_calls": False,
        "user": "u1",
    }

    async def main() -> None:
        async with client_on(site, speaker.saying(HELLO)) as (client, asked):
            await response(client, speaker, **rich)
            assert_facts_were_told(speaker, asked.calls[0], "openai_responses")

    run(main())


def test_an_answer_in_a_shape_of_ones_own_is_parsed(site: Site, speaker: Speaker) -> None:
    async def main() -> None:
        async with client_on(site, speaker.saying(PLACE)) as (client, asked):
            said = await client.responses.parse(model=speaker.model, input=ASKING, text_format=Place)
            assert said.output_parsed == Place(city="Ulm", days=3)
            assert_shape_was_told(asked.calls[0])

    run(main())


@pytest.mark.parametrize(("status", "kind"), REFUSALS)
def test_it_raises_its_own_error_for_every_status(site: Site, speaker: Speaker, status: int, kind: str) -> None:
    refuse = speaker.refusing(status, kind, "No.", {"retry-after": "7"})

    async def main() -> None:
        async with client_on(site, refuse, retries=0) as (client, _):
            for stream in (True, False):
                with pytest.raises(openai.APIStatusError) as caught:
                    await response(client, speaker, stream=stream)
                error = caught.value
                assert type(error) is ERRORS[status]
                own = speaker.name == "openai_responses"
                assert error.status_code == (status if own else TOLD_AS.get(status, status))
                assert error.response.headers["retry-after"] == "7"
                assert error.request_id
                assert isinstance(error.body, dict)
                assert error.body["message"].startswith("No.")

    run(main())


def test_it_raises_for_a_model_that_nobody_has(site: Site) -> None:
    async def main() -> None:
        async with client_on(site, never) as (client, _):
            for stream in (True, False):
                with pytest.raises(openai.NotFoundError, match="openai_responses-up/m") as caught:
                    await client.responses.create(model="openai_responses-upp/m", input=ASKING, stream=stream)
                assert (caught.value.code, caught.value.param) == ("model_not_found", "model")

    run(main())


@pytest.mark.parametrize("kind", ["overloaded", "rate", "internal"])
def test_it_raises_for_an_error_within_a_stream(site: Site, speaker: Speaker, kind: str) -> None:
    async def main() -> None:
        fail = speaker.breaking(speaker.error(kind, "Enough."), Said(("Hel",)))
        async with client_on(site, fail) as (client, asked):
            with pytest.raises(openai.APIError, match="Enough"):
                await response(client, speaker)
            assert len(asked.calls) == 1, "what was begun is not begun again"

    run(main())


@pytest.mark.parametrize("block", [Said(("Hel",)), ONE_CALL], ids=["text", "call"])
def test_it_raises_where_a_stream_breaks_off(site: Site, speaker: Speaker, block: Any) -> None:
    async def main() -> None:
        async with client_on(site, speaker.breaking(None, block)) as (client, _):
            with pytest.raises(openai.APIError, match="broke off"):
                await response(client, speaker)

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
            assert (await response(client, speaker)).output_text == HELLO.text
            assert waits == [33.0]
            assert len(asked.calls) == 2

    run(main())


def test_it_counts_tokens(site: Site, speaker: Speaker) -> None:
    """By the upstream itself if its API can count, else by an estimate."""

    async def main() -> None:
        own = speaker.counted(17) is not None
        async with client_on(site, counting(speaker, 17) if own else never) as (client, _):
            counted = await client.responses.input_tokens.count(model=speaker.model, input=ASKING)
            assert counted.input_tokens == 17 if own else 5 <= counted.input_tokens <= 50

    run(main())


def test_many_stream_side_by_side(site: Site, speaker: Speaker) -> None:
    async def answer(call: Call) -> None:
        number = call.body.decode().partition("I am ")[2].partition(".")[0]
        await type(speaker)().saying(Said((f"You are {number}.",)))(call)

    async def main() -> None:
        async with client_on(site, answer) as (client, _):

            async def ask(number: int) -> str:
                return (await response(client, speaker, input=f"I am {number}.")).output_text

            assert await asyncio.gather(*(ask(n) for n in range(20))) == [f"You are {n}." for n in range(20)]

    run(main())
