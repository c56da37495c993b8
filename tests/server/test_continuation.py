"""Clients of model APIs, whose upstream breaks off, see one message."""

from __future__ import annotations

import anthropic
import openai
import pytest
from gateway_site import run

from millstream.config import Config, ProviderConfig, UpstreamConfig
from millstream.testing.gateway import GatewayThread
from millstream.testing.upstream import replay_server, scenario_of

PROMPT = "Count."
CUT = scenario_of(
    {
        "strict": False,
        "replies": [
            {"when": {"last_role": "assistant"}, "text": " AND THE REST."},
            {"text": "One two three four five.", "fault": {"kind": "reset", "after": 6}},
        ],
    },
    "cut",
)


def _config(url: str, dialect: str, on_cut: str = "continue") -> Config:
    base = url if dialect == "anthropic" else f"{url}/v1"
    provider = ProviderConfig(
        dialect=dialect, base_url=base, auth="none", default_model="m", quirks={"continues": ["*"]}
    )
    return Config(
        providers={"up": provider},
        default_model="up/m",
        unknown_model="default",
        upstream=UpstreamConfig(on_cut="continue" if on_cut == "continue" else "fail"),
    )


@pytest.mark.parametrize("upstream", ["anthropic", "openai_chat"])
@pytest.mark.parametrize("client", ["anthropic", "openai"])
def test_an_sdk_reads_one_whole_message_of_an_upstream_that_breaks_off(upstream: str, client: str) -> None:
    async def main() -> None:
        async with replay_server(CUT) as server:
            with GatewayThread(_config(server.url, upstream)) as gateway:
                ask = _anthropic if client == "anthropic" else _openai
                text = await ask(gateway.url)
        begun, _, rest = text.partition(" AND THE REST.")
        assert begun
        assert "One two three four five.".startswith(begun)
        assert rest == ""

    run(main(), 30)


async def _anthropic(url: str) -> str:
    async with anthropic.AsyncAnthropic(base_url=url, api_key="x", max_retries=0) as sdk:
        messages = [{"role": "user", "content": PROMPT}]
        async with sdk.messages.stream(model="m", max_tokens=100, messages=messages) as stream:  # type: ignore[arg-type]  # plain dicts are what people write
            message = await stream.get_final_message()
    assert message.stop_reason == "end_turn"
    assert [block.type for block in message.content] == ["text"]
    return "".join(block.text for block in message.content if block.type == "text")


async def _openai(url: str) -> str:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as sdk:
        stream = await sdk.chat.completions.create(
            model="m", messages=[{"role": "user", "content": PROMPT}], stream=True
        )
        chunks = [chunk async for chunk in stream]
    assert len({chunk.id for chunk in chunks}) == 1
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["stop"]
    return "".join(choice.delta.content or "" for choice in choices)


def test_without_the_setting_the_same_answer_fails() -> None:
    async def main() -> None:
        async with replay_server(CUT) as server:
            with GatewayThread(_config(server.url, "anthropic", "fail")) as gateway, pytest.raises(anthropic.APIError):
                await _anthropic(gateway.url)

    run(main(), 30)
