"""The official Python SDKs, strict about every field, on upstreams of their own and of the other dialect."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import openai
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import Message
from gateway_site import Site, model_of, run
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion
from raw_upstream import JSON, Answer, Call, RawUpstream
from wires import AnthropicWire, ChatWire, Wire

WEATHER = {"city": "Ulm"}
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}}
ANTHROPIC_TOOLS: Any = [
    {"name": "get_weather", "description": "The weather.", "input_schema": SCHEMA},
    {"name": "list_cities", "description": "All cities.", "input_schema": {"type": "object", "properties": {}}},
]
OPENAI_TOOLS: Any = [
    {"type": "function", "function": {"name": tool["name"], "parameters": tool["input_schema"]}}
    for tool in ANTHROPIC_TOOLS
]
HELLO: Any = [{"role": "user", "content": "Say hello."}]


def calls_of(wire: Wire) -> list[bytes]:
    """A text, a call with arguments in pieces, and one without any."""
    return [
        wire.start(),
        wire.text(0, "Let me look.", first=True) + wire.close(0),
        wire.tool(1, "call_a", "get_weather"),
        wire.arguments(1, '{"city"'),
        wire.arguments(1, ': "Ulm"}') + wire.close(1),
        wire.tool(2, "call_b", "list_cities") + wire.close(2),
        wire.end("tools"),
    ]


def answering(pieces: list[bytes]) -> Answer:
    async def answer(call: Call) -> None:
        await call.stream(*pieces)

    return answer


def replying(body: bytes) -> Answer:
    async def answer(call: Call) -> None:
        await call.answer(200, body)

    return answer


@asynccontextmanager
async def anthropic_on(
    site: Site, *answers: Answer, max_retries: int = 0, **settings: Any
) -> AsyncIterator[tuple[AsyncAnthropic, RawUpstream]]:
    client = AsyncAnthropic(
        base_url=site.gateway(**settings).url, api_key="k", max_retries=max_retries, _strict_response_validation=True
    )
    async with site.upstream(*answers) as upstream, client:
        yield client, upstream


@asynccontextmanager
async def openai_on(
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


class TestAnthropic:
    """``anthropic``'s client."""

    async def message(self, client: AsyncAnthropic, upstream: Wire, *, stream: bool, **more: Any) -> Message:
        asked: dict[str, Any] = {"model": model_of(upstream), "max_tokens": 100, "messages": HELLO, **more}
        if not stream:
            whole: Message = await client.messages.create(**asked)
            return whole
        async with client.messages.stream(**asked) as events:
            return await events.get_final_message()

    @pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
    def test_reads_text_usage_and_why_it_ended(self, site: Site, upstream: Wire, stream: bool) -> None:
        async def main() -> None:
            whole = not stream and isinstance(upstream, AnthropicWire)
            answer = replying(upstream.reply("Hello.")) if whole else answering(upstream.answer("Hello."))
            async with anthropic_on(site, answer) as (client, _):
                message = await self.message(client, upstream, stream=stream)
                assert [block.type for block in message.content] == ["text"]
                assert message.content[0].type == "text"
                assert message.content[0].text == "Hello."
                assert (message.stop_reason, message.role, message.type) == ("end_turn", "assistant", "message")
                assert (message.usage.input_tokens, message.usage.output_tokens) == (9, 5)
                assert message.model == "m"
                assert message.id

        run(main())

    def test_sees_each_piece_by_the_raw_stream_and_by_the_helper(self, site: Site, upstream: Wire) -> None:
        words = ["Hel", "lo ", "you."]

        async def main() -> None:
            pieces = [upstream.start(), *(upstream.text(0, word, first=n == 0) for n, word in enumerate(words))]
            answer = answering([*pieces, upstream.close(0), upstream.end()])
            async with anthropic_on(site, answer) as (client, _):
                stream = await client.messages.create(
                    model=model_of(upstream), max_tokens=100, messages=HELLO, stream=True
                )
                events = [event async for event in stream]
                assert [event.type for event in events if event.type != "content_block_delta"] == [
                    "message_start",
                    "content_block_start",
                    "content_block_stop",
                    "message_delta",
                    "message_stop",
                ]
                said = [event.delta for event in events if event.type == "content_block_delta"]
                assert [delta.text for delta in said if delta.type == "text_delta"] == words
                async with client.messages.stream(model=model_of(upstream), max_tokens=100, messages=HELLO) as helper:
                    assert [text async for text in helper.text_stream] == words

        run(main())

    @pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
    def test_gets_parallel_calls_with_and_without_arguments(self, site: Site, upstream: Wire, stream: bool) -> None:
        if not stream and isinstance(upstream, AnthropicWire):
            return

        async def main() -> None:
            async with anthropic_on(site, answering(calls_of(upstream))) as (client, _):
                message = await self.message(client, upstream, stream=stream, tools=ANTHROPIC_TOOLS)
                text, one, two = message.content
                assert text.type == "text"
                assert one.type == "tool_use"
                assert two.type == "tool_use"
                assert text.text == "Let me look."
                assert (one.id, one.name, one.input) == ("call_a", "get_weather", WEATHER)
                assert (two.id, two.name, two.input) == ("call_b", "list_cities", {})
                assert message.stop_reason == "tool_use"

        run(main())

    def test_closes_a_tool_loop(self, site: Site, upstream: Wire) -> None:
        async def main() -> None:
            answers = (answering(calls_of(upstream)), answering(upstream.answer("Rain in Ulm.")))
            async with anthropic_on(site, *answers) as (client, asked):
                message = await self.message(client, upstream, stream=True, tools=ANTHROPIC_TOOLS)
                results = [
                    {"type": "tool_result", "tool_use_id": "call_a", "content": "rain"},
                    {"type": "tool_result", "tool_use_id": "call_b", "content": "no such thing", "is_error": True},
                ]
                history = [*HELLO, {"role": "assistant", "content": message.content}]
                last = await self.message(
                    client,
                    upstream,
                    stream=True,
                    tools=ANTHROPIC_TOOLS,
                    messages=[*history, {"role": "user", "content": results}],
                )
                assert last.content[0].type == "text"
                assert last.content[0].text == "Rain in Ulm."
                assert_loop_was_told(upstream, asked.calls[1].body)

        run(main())

    @pytest.mark.parametrize(
        ("status", "kind", "raised", "told"),
        [
            (400, "invalid", anthropic.BadRequestError, 400),
            (401, "invalid", anthropic.AuthenticationError, 401),
            (403, "invalid", anthropic.PermissionDeniedError, 403),
            (404, "invalid", anthropic.NotFoundError, 404),
            (413, "invalid", anthropic.RequestTooLargeError, 413),
            (429, "rate", anthropic.RateLimitError, 429),
            (500, "internal", anthropic.InternalServerError, 500),
            (503, "overloaded", anthropic.ServiceUnavailableError, 503),
        ],
    )
    def test_raises_its_own_error_for_every_status(
        self, site: Site, upstream: Wire, status: int, kind: str, raised: type[anthropic.APIStatusError], told: int
    ) -> None:
        async def refuse(call: Call) -> None:
            body = upstream.refusal(kind, "No.")
            await call.answer(
                status, body, {**JSON, "retry-after": "7", "request-id": "req_1", "x-request-id": "req_1"}
            )

        async def main() -> None:
            async with anthropic_on(site, refuse, retries=0) as (client, _):
                for stream in (True, False):
                    with pytest.raises(anthropic.APIStatusError) as caught:
                        await self.message(client, upstream, stream=stream)
                    error = caught.value
                    assert type(error) is raised
                    assert error.status_code == told
                    assert error.response.headers["retry-after"] == "7"
                    assert error.request_id == "req_1"
                    assert isinstance(error.body, dict)
                    assert error.body["error"]["message"] == "No."

        run(main())

    def test_hears_of_a_failure_within_a_stream(self, site: Site, upstream: Wire) -> None:
        async def fail(call: Call) -> None:
            await call.head()
            await call.send(upstream.start() + upstream.text(0, "Hel", first=True))
            call.cut()

        async def main() -> None:
            async with anthropic_on(site, fail) as (client, _):
                with pytest.raises(anthropic.APIStatusError, match="broke off"):
                    await self.message(client, upstream, stream=True)

        run(main())

    def test_waits_as_it_is_told_and_tries_again_by_itself(self, site: Site, upstream: Wire) -> None:
        async def refuse(call: Call) -> None:
            await call.answer(429, upstream.refusal("rate", "later"), {**JSON, "retry-after": "1"})

        async def main() -> None:
            answers = (refuse, answering(upstream.answer("Now.")))
            async with anthropic_on(site, *answers, max_retries=1, max_retry_wait=0.5) as (client, asked):
                message = await self.message(client, upstream, stream=True)
                assert message.content[0].type == "text"
                assert message.content[0].text == "Now."
                first, second = asked.calls
                assert second.at - first.at >= 0.9

        run(main())

    def test_lists_models_and_finds_one(self, site: Site) -> None:
        async def main() -> None:
            async with anthropic_on(site, never) as (client, _):
                names = [model.id async for model in client.models.list(limit=5)]
                assert "anthropic-up/m" in names
                model = await client.models.retrieve("openai_chat-up/m")
                assert (model.id, model.type, model.created_at.tzinfo is not None) == (
                    "openai_chat-up/m",
                    "model",
                    True,
                )
                with pytest.raises(anthropic.NotFoundError):
                    await client.models.retrieve("nobody")

        run(main())

    def test_counts_tokens(self, site: Site, upstream: Wire) -> None:
        async def main() -> None:
            async with anthropic_on(site, replying(b'{"input_tokens": 17}')) as (client, _):
                counted = await client.messages.count_tokens(model=model_of(upstream), messages=HELLO)
                assert counted.input_tokens == 17 if isinstance(upstream, AnthropicWire) else counted.input_tokens > 3

        run(main())


class TestOpenAI:
    """``openai``'s client."""

    async def completion(self, client: AsyncOpenAI, upstream: Wire, *, stream: bool, **more: Any) -> ChatCompletion:
        asked: dict[str, Any] = {"model": model_of(upstream), "messages": HELLO, **more}
        if not stream:
            whole: ChatCompletion = await client.chat.completions.create(**asked)
            return whole
        async with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as events:
            return await events.get_final_completion()

    @pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
    def test_reads_text_usage_and_why_it_ended(self, site: Site, upstream: Wire, stream: bool) -> None:
        async def main() -> None:
            whole = not stream and isinstance(upstream, ChatWire)
            answer = replying(upstream.reply("Hello.")) if whole else answering(upstream.answer("Hello."))
            async with openai_on(site, answer) as (client, _):
                completion = await self.completion(client, upstream, stream=stream)
                (choice,) = completion.choices
                assert (choice.message.content, choice.message.role) == ("Hello.", "assistant")
                assert choice.finish_reason == "stop"
                assert completion.usage is not None
                assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (9, 5)
                assert completion.usage.total_tokens == 14
                assert (completion.object, completion.model) == ("chat.completion", "m")

        run(main())

    def test_sees_each_piece_by_the_raw_stream(self, site: Site, upstream: Wire) -> None:
        words = ["Hel", "lo ", "you."]

        async def main() -> None:
            pieces = [upstream.start(), *(upstream.text(0, word, first=n == 0) for n, word in enumerate(words))]
            answer = answering([*pieces, upstream.close(0), upstream.end()])
            async with openai_on(site, answer) as (client, _):
                stream = await client.chat.completions.create(model=model_of(upstream), messages=HELLO, stream=True)
                chunks = [chunk async for chunk in stream]
                said = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
                assert [piece for piece in said if piece] == words
                reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
                assert [reason for reason in reasons if reason] == ["stop"]
                if isinstance(upstream, AnthropicWire):
                    assert all(chunk.usage is None for chunk in chunks), "it did not ask for usage"

        run(main())

    @pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
    def test_gets_parallel_calls_with_and_without_arguments(self, site: Site, upstream: Wire, stream: bool) -> None:
        if not stream and isinstance(upstream, ChatWire):
            return

        async def main() -> None:
            async with openai_on(site, answering(calls_of(upstream))) as (client, _):
                completion = await self.completion(client, upstream, stream=stream, tools=OPENAI_TOOLS)
                (choice,) = completion.choices
                assert choice.message.content == "Let me look."
                assert choice.finish_reason == "tool_calls"
                calls = [call for call in choice.message.tool_calls or [] if call.type == "function"]
                assert [(call.id, call.function.name) for call in calls] == [
                    ("call_a", "get_weather"),
                    ("call_b", "list_cities"),
                ]
                assert json.loads(calls[0].function.arguments) == WEATHER
                if isinstance(upstream, AnthropicWire):
                    assert json.loads(calls[1].function.arguments) == {}

        run(main())

    def test_closes_a_tool_loop(self, site: Site, upstream: Wire) -> None:
        async def main() -> None:
            answers = (answering(calls_of(upstream)), answering(upstream.answer("Rain in Ulm.")))
            async with openai_on(site, *answers) as (client, asked):
                completion = await self.completion(client, upstream, stream=True, tools=OPENAI_TOOLS)
                said = completion.choices[0].message.model_dump(exclude_none=True, exclude={"parsed", "refusal"})
                for call in said["tool_calls"]:
                    call["function"].pop("parsed_arguments", None)
                results = [
                    {"role": "tool", "tool_call_id": "call_a", "content": "rain"},
                    {"role": "tool", "tool_call_id": "call_b", "content": "no such thing"},
                ]
                last = await self.completion(
                    client, upstream, stream=True, tools=OPENAI_TOOLS, messages=[*HELLO, said, *results]
                )
                assert last.choices[0].message.content == "Rain in Ulm."
                assert_loop_was_told(upstream, asked.calls[1].body)

        run(main())

    @pytest.mark.parametrize(
        ("status", "kind", "raised", "told"),
        [
            (400, "invalid", openai.BadRequestError, 400),
            (401, "invalid", openai.AuthenticationError, 401),
            (403, "invalid", openai.PermissionDeniedError, 403),
            (404, "invalid", openai.NotFoundError, 404),
            (429, "rate", openai.RateLimitError, 429),
            (500, "internal", openai.InternalServerError, 500),
            (503, "overloaded", openai.InternalServerError, 503),
        ],
    )
    def test_raises_its_own_error_for_every_status(
        self, site: Site, upstream: Wire, status: int, kind: str, raised: type[openai.APIStatusError], told: int
    ) -> None:
        async def refuse(call: Call) -> None:
            body = upstream.refusal(kind, "No.")
            await call.answer(status, body, {**JSON, "retry-after": "7"})

        async def main() -> None:
            async with openai_on(site, refuse, retries=0) as (client, _):
                for stream in (True, False):
                    with pytest.raises(openai.APIStatusError) as caught:
                        await self.completion(client, upstream, stream=stream)
                    error = caught.value
                    assert type(error) is raised
                    assert error.status_code == told
                    assert error.response.headers["retry-after"] == "7"
                    assert error.request_id
                    assert isinstance(error.body, dict)
                    assert error.body["message"] == "No."

        run(main())

    def test_hears_of_a_failure_within_a_stream(self, site: Site, upstream: Wire) -> None:
        async def fail(call: Call) -> None:
            await call.head()
            await call.send(upstream.start() + upstream.text(0, "Hel", first=True))
            call.cut()

        async def main() -> None:
            async with openai_on(site, fail) as (client, _):
                with pytest.raises(openai.APIError, match="broke off"):
                    await self.completion(client, upstream, stream=True)

        run(main())

    def test_waits_as_it_is_told_and_tries_again_by_itself(self, site: Site, upstream: Wire) -> None:
        async def refuse(call: Call) -> None:
            await call.answer(429, upstream.refusal("rate", "later"), {**JSON, "retry-after": "1"})

        async def main() -> None:
            answers = (refuse, answering(upstream.answer("Now.")))
            async with openai_on(site, *answers, max_retries=1, max_retry_wait=0.5) as (client, asked):
                completion = await self.completion(client, upstream, stream=True)
                assert completion.choices[0].message.content == "Now."
                first, second = asked.calls
                assert second.at - first.at >= 0.9

        run(main())

    def test_lists_models_and_finds_one(self, site: Site) -> None:
        async def main() -> None:
            async with openai_on(site, never) as (client, _):
                names = [model.id async for model in client.models.list()]
                assert "openai_chat-up/m" in names
                model = await client.models.retrieve("anthropic-up/m")
                assert (model.id, model.object, model.owned_by) == ("anthropic-up/m", "model", "anthropic-up")
                with pytest.raises(openai.NotFoundError, match="nobody"):
                    await client.models.retrieve("nobody")

        run(main())


@pytest.mark.parametrize("sdk", ["anthropic", "openai"])
def test_many_clients_stream_side_by_side(site: Site, upstream: Wire, sdk: str) -> None:
    async def answer(call: Call) -> None:
        name = json.loads(call.body)["model"]
        await call.stream(*upstream.answer(f"I am {name}."))

    async def main() -> None:
        async with anthropic_on(site, answer) as (one, _):
            two = AsyncOpenAI(base_url=site.gateway().url + "/v1", api_key="k", _strict_response_validation=True)
            async with two:

                async def ask(number: int) -> str | None:
                    model = f"{upstream.name}-up/number-{number}"
                    if sdk == "openai":
                        async with two.chat.completions.stream(model=model, messages=HELLO) as chunks:
                            return (await chunks.get_final_completion()).choices[0].message.content
                    async with one.messages.stream(model=model, max_tokens=9, messages=HELLO) as events:
                        return await events.get_final_text()

                said = await asyncio.gather(*(ask(number) for number in range(20)))
                assert said == [f"I am number-{number}." for number in range(20)]

    run(main())


async def never(call: Call) -> None:
    raise AssertionError(f"the upstream was asked for {call.path}")


def assert_loop_was_told(upstream: Wire, body: bytes) -> None:
    """The second request of a loop has the calls and, in their order, the results."""
    messages = json.loads(body)["messages"]
    if isinstance(upstream, ChatWire):
        asking = next(message for message in messages if message["role"] == "assistant")
        assert [call["id"] for call in asking["tool_calls"]] == ["call_a", "call_b"]
        assert json.loads(asking["tool_calls"][0]["function"]["arguments"]) == WEATHER
        assert json.loads(asking["tool_calls"][1]["function"]["arguments"] or "{}") == {}
        results = [message for message in messages if message["role"] == "tool"]
        assert [result["tool_call_id"] for result in results] == ["call_a", "call_b"]
        assert "rain" in str(results[0]["content"])
    else:
        *_, asking, told = messages
        calls = [block for block in asking["content"] if block["type"] == "tool_use"]
        assert [(call["id"], call["input"]) for call in calls] == [("call_a", WEATHER), ("call_b", {})]
        results = [block for block in told["content"] if block["type"] == "tool_result"]
        assert [result["tool_use_id"] for result in results] == ["call_a", "call_b"]
        assert "rain" in str(results[0]["content"])
