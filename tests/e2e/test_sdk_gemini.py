"""The official ``google-genai`` SDK on upstreams of all four dialects."""

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from gateway_site import Site, run
from google import genai
from google.genai import errors, types
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

ASKING = "Say hello."
DECLARED = [types.FunctionDeclaration(name=name, parameters_json_schema=schema) for name, schema in TOOLS.items()]
WITH_TOOLS: Any = {
    "tools": [types.Tool(function_declarations=DECLARED)],
    "automatic_function_calling": {"disable": True},
}
BOTH_WAYS = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
TOLD_AS = {529: 503}
"""A status that is Anthropic's own, as this API's clients know it, unless it is their own upstream's."""

Replies = Sequence[types.GenerateContentResponse]


@asynccontextmanager
async def client_on(
    site: Site, *answers: Answer, **settings: Any
) -> AsyncIterator[tuple[genai.client.AsyncClient, RawUpstream]]:
    async with httpx2.AsyncClient() as http, site.upstream(*answers) as upstream:
        options = types.HttpOptions(base_url=site.gateway(**settings).url, httpx_async_client=http)
        yield genai.Client(api_key="k", http_options=options).aio, upstream


async def replies(
    client: genai.client.AsyncClient, speaker: Speaker, contents: Any = ASKING, *, stream: bool = True, **config: Any
) -> Replies:
    """One whole reply, or a stream's chunks."""
    asked: dict[str, Any] = {"model": speaker.model, "contents": contents, "config": config}
    if not stream:
        return [await client.models.generate_content(**asked)]
    return [chunk async for chunk in await client.models.generate_content_stream(**asked)]


def parts_of(found: Replies) -> list[types.Part]:
    candidates = [candidate for reply in found for candidate in reply.candidates or []]
    return [part for one in candidates if one.content is not None for part in one.content.parts or []]


def text_of(found: Replies) -> str:
    return "".join(part.text or "" for part in parts_of(found) if not part.thought)


def calls_of(found: Replies) -> list[types.FunctionCall]:
    return [part.function_call for part in parts_of(found) if part.function_call is not None]


@BOTH_WAYS
def test_it_reads_text_usage_and_why_the_reply_ended(site: Site, speaker: Speaker, stream: bool) -> None:
    async def main() -> None:
        async with client_on(site, speaker.saying(HELLO)) as (client, _):
            found = await replies(client, speaker, stream=stream)
            assert text_of(found) == HELLO.text
            last = found[-1]
            assert last.candidates is not None
            assert last.candidates[0].finish_reason == types.FinishReason.STOP
            assert last.model_version == "m"
            usage = last.usage_metadata
            assert usage is not None
            assert (usage.prompt_token_count, usage.candidates_token_count) == (INPUT, OUTPUT)
            assert (usage.cached_content_token_count, usage.total_token_count) == (CACHED, INPUT + OUTPUT)

    run(main())


def test_it_sees_each_piece(site: Site, speaker: Speaker) -> None:
    async def main() -> None:
        async with client_on(site, speaker.saying(HELLO)) as (client, _):
            found = await replies(client, speaker)
            assert [piece for piece in (text_of([one]) for one in found) if piece] == list(WORDS)
            ends = [one.candidates[0].finish_reason for one in found if one.candidates]
            assert [end for end in ends if end is not None] == [types.FinishReason.STOP]

    run(main())


@BOTH_WAYS
def test_it_gets_thoughts_and_parallel_calls(site: Site, speaker: Speaker, stream: bool) -> None:
    async def main() -> None:
        async with client_on(site, speaker.saying(*CALLS)) as (client, _):
            found = await replies(client, speaker, stream=stream, **WITH_TOOLS)
            assert "".join(part.text or "" for part in parts_of(found) if part.thought) == THOUGHT.text
            assert text_of(found) == "Let me look."
            one, two = calls_of(found)
            assert (one.id, one.name, one.args) == ("call_a", "get_weather", WEATHER)
            assert (two.id, two.name, two.args or {}) == ("call_b", "list_cities", {})

    run(main())


@BOTH_WAYS
def test_it_gets_a_single_call(site: Site, speaker: Speaker, stream: bool) -> None:
    async def main() -> None:
        async with client_on(site, speaker.saying(ONE_CALL)) as (client, _):
            found = await replies(client, speaker, stream=stream, **WITH_TOOLS)
            (call,) = calls_of(found)
            assert (call.id, call.name, call.args) == ("call_a", "get_weather", WEATHER)
            assert text_of(found) == ""

    run(main())


@BOTH_WAYS
def test_it_closes_a_tool_loop(site: Site, speaker: Speaker, stream: bool) -> None:
    async def main() -> None:
        answers = (speaker.saying(*CALLS), speaker.saying(RAIN))
        async with client_on(site, *answers) as (client, asked):
            first = await replies(client, speaker, stream=stream, **WITH_TOOLS)
            one, two = calls_of(first)
            results = [
                types.FunctionResponse(id=one.id, name=one.name, response={"output": "rain"}),
                types.FunctionResponse(id=two.id, name=two.name, response={"error": "no such thing"}),
            ]
            history = [
                types.UserContent(ASKING),
                types.ModelContent([part for part in parts_of(first) if part.text != "" or part.thought_signature]),
                types.UserContent([types.Part(function_response=result) for result in results]),
            ]
            last = await replies(client, speaker, history, stream=stream, **WITH_TOOLS)
            assert text_of(last) == RAIN.text
            assert_loop_was_told(speaker, asked.calls[1], failed=True)

    run(main())


def test_all_that_a_request_says_arrives(site: Site, speaker: Speaker) -> None:
    picture = types.Part.from_bytes(data=base64.b64decode(PICTURE), mime_type="image/png")
    tool = DECLARED[0].model_copy(update={"description": "Looks the weather up."})
    rich: Any = {
        "max_output_tokens": 321,
        "system_instruction": FACTS[0],
        "tools": [types.Tool(function_declarations=[tool])],
        "automatic_function_calling": {"disable": True},
    }

    async def main() -> None:
        async with client_on(site, speaker.saying(HELLO)) as (client, asked):
            await replies(client, speaker, [picture, "What is in it?"], **rich)
            assert_facts_were_told(speaker, asked.calls[0], "gemini")

    run(main())


def test_an_answer_in_a_shape_of_ones_own_is_parsed(site: Site, speaker: Speaker) -> None:
    async def main() -> None:
        async with client_on(site, speaker.saying(PLACE)) as (client, asked):
            (said,) = await replies(
                client, speaker, stream=False, response_mime_type="application/json", response_schema=Place
            )
            assert said.parsed == Place(city="Ulm", days=3)
            assert_shape_was_told(asked.calls[0])

    run(main())


@pytest.mark.parametrize(("status", "kind"), REFUSALS)
def test_it_raises_its_own_error_for_every_status(site: Site, speaker: Speaker, status: int, kind: str) -> None:
    async def main() -> None:
        async with client_on(site, speaker.refusing(status, kind, "No."), retries=0) as (client, _):
            for stream in (True, False):
                with pytest.raises(errors.APIError) as caught:
                    await replies(client, speaker, stream=stream)
                error = caught.value
                assert type(error) is (errors.ClientError if status < 500 else errors.ServerError)
                own = speaker.name == "gemini"
                assert error.code == (status if own else TOLD_AS.get(status, status))
                assert error.message == "No."
                assert error.status

    run(main())


def test_it_raises_for_a_model_that_nobody_has(site: Site) -> None:
    async def main() -> None:
        async with client_on(site, never) as (client, _):
            with pytest.raises(errors.ClientError, match="gemini-up/m") as caught:
                await client.models.generate_content(model="gemini-upp/m", contents=ASKING)
            assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")

    run(main())


@pytest.mark.parametrize(("kind", "code"), [("overloaded", 503), ("rate", 429), ("internal", 500)])
def test_it_raises_for_an_error_within_a_stream(site: Site, speaker: Speaker, kind: str, code: int) -> None:
    async def main() -> None:
        fail = speaker.breaking(speaker.error(kind, "Enough."), Said(("Hel",)))
        async with client_on(site, fail) as (client, asked):
            with pytest.raises(errors.APIError, match="Enough") as caught:
                await replies(client, speaker)
            assert caught.value.code == code
            assert len(asked.calls) == 1, "what was begun is not begun again"

    run(main())


@pytest.mark.parametrize("block", [Said(("Hel",)), ONE_CALL], ids=["text", "call"])
def test_it_raises_where_a_stream_breaks_off(site: Site, speaker: Speaker, block: Any) -> None:
    async def main() -> None:
        async with client_on(site, speaker.breaking(None, block)) as (client, _):
            with pytest.raises(errors.APIError, match="broke off"):
                await replies(client, speaker)

    run(main())


def test_it_lists_models_and_finds_one(site: Site, speaker: Speaker) -> None:
    async def main() -> None:
        async with client_on(site, never) as (client, _):
            assert f"models/{speaker.model}" in [model.name async for model in await client.models.list()]
            model = await client.models.get(model=speaker.model)
            assert (model.name, model.supported_actions) == (
                f"models/{speaker.model}",
                ["generateContent", "countTokens"],
            )
            with pytest.raises(errors.ClientError, match="nobody") as caught:
                await client.models.get(model="nobody")
            assert caught.value.code == 404

    run(main())


def test_it_counts_tokens(site: Site, speaker: Speaker) -> None:
    """By the upstream itself if its API can count, else by an estimate."""

    async def main() -> None:
        own = speaker.counted(17) is not None
        async with client_on(site, counting(speaker, 17) if own else never) as (client, _):
            counted = await client.models.count_tokens(model=speaker.model, contents=ASKING)
            assert counted.total_tokens is not None
            assert counted.total_tokens == 17 if own else 5 <= counted.total_tokens <= 50

    run(main())


def test_many_stream_side_by_side(site: Site, speaker: Speaker) -> None:
    async def answer(call: Call) -> None:
        number = call.body.decode().partition("I am ")[2].partition(".")[0]
        await type(speaker)().saying(Said((f"You are {number}.",)))(call)

    async def main() -> None:
        async with client_on(site, answer) as (client, _):

            async def ask(number: int) -> str:
                return text_of(await replies(client, speaker, f"I am {number}."))

            assert await asyncio.gather(*(ask(n) for n in range(20))) == [f"You are {n}." for n in range(20)]

    run(main())
