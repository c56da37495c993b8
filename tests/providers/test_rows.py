"""What each cloud's row makes of a request: the address, as its documentation and SDK have it, and the bytes sent."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from gateway_site import run
from raw_client import RawClient
from raw_upstream import Call, RawUpstream
from speakers import SPEAKERS, Said, Speaker

from millstream.config import Config, ConfigError, ProviderConfig, UpstreamConfig
from millstream.providers.catalog import rows
from millstream.registry import providers
from millstream.testing.gateway import GatewayThread

AZURE = {"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://mine.openai.azure.com/"}
GOOGLE = {"GOOGLE_APPLICATION_CREDENTIALS": "/key.json", "GOOGLE_CLOUD_PROJECT": "p1"}
AWS = {"AWS_BEARER_TOKEN_BEDROCK": "k", "AWS_REGION": "eu-west-1"}
PROJECT = "/v1/projects/p1/locations/global"
GEMINI_PATH = "/publishers/google/models/some-model"
CLAUDE_PATH = "/publishers/anthropic/models/some-model"


@dataclass(frozen=True)
class Expected:
    """``url`` is the provider's address; ``stream`` and ``whole`` the paths of requests below it; ``headers`` those
    that carry the key ``k`` and what else the provider wants; ``body`` fields that must, ``without`` that must not be
    there."""

    name: str
    environ: Mapping[str, str]
    url: str
    stream: str
    whole: str
    headers: Mapping[str, str]
    body: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()


MODEL = {"model": "some-model"}
BEARER = {"authorization": "Bearer k"}
CHAT, RESPONSES, MESSAGES = "/chat/completions", "/responses", "/v1/messages"
CLASSIC = "/deployments/some-model/chat/completions?api-version=2024-10-21"
ON_VERTEX = {"anthropic_version": "vertex-2023-10-16"}

ROWS = [
    Expected(
        "vertex",
        GOOGLE,
        f"https://aiplatform.googleapis.com{PROJECT}",
        f"{GEMINI_PATH}:streamGenerateContent?alt=sse",
        f"{GEMINI_PATH}:generateContent",
        {},
        without=("model",),
    ),
    Expected(
        "vertex-express",
        {"GOOGLE_VERTEX_API_KEY": "k"},
        "https://aiplatform.googleapis.com/v1",
        f"{GEMINI_PATH}:streamGenerateContent?alt=sse",
        f"{GEMINI_PATH}:generateContent",
        {"x-goog-api-key": "k"},
        without=("model",),
    ),
    Expected(
        "vertex-anthropic",
        GOOGLE,
        f"https://aiplatform.googleapis.com{PROJECT}",
        f"{CLAUDE_PATH}:streamRawPredict",
        f"{CLAUDE_PATH}:rawPredict",
        {},
        ON_VERTEX,
        ("model",),
    ),
    Expected("azure", AZURE, "https://mine.openai.azure.com/openai/v1", CHAT, CHAT, {"api-key": "k"}, MODEL),
    Expected(
        "azure-responses",
        AZURE,
        "https://mine.openai.azure.com/openai/v1",
        RESPONSES,
        RESPONSES,
        {"api-key": "k"},
        MODEL,
    ),
    Expected("azure-classic", AZURE, "https://mine.openai.azure.com/openai", CLASSIC, CLASSIC, {"api-key": "k"}),
    Expected(
        "azure-anthropic",
        {"ANTHROPIC_FOUNDRY_API_KEY": "k", "ANTHROPIC_FOUNDRY_RESOURCE": "mine"},
        "https://mine.services.ai.azure.com/anthropic",
        MESSAGES,
        MESSAGES,
        {"x-api-key": "k", "anthropic-version": "2023-06-01"},
        MODEL,
    ),
    Expected("bedrock", AWS, "https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1", CHAT, CHAT, BEARER, MODEL),
    Expected(
        "bedrock-responses",
        AWS,
        "https://bedrock-mantle.eu-west-1.api.aws/openai/v1",
        RESPONSES,
        RESPONSES,
        BEARER,
        MODEL,
    ),
    Expected(
        "bedrock-anthropic",
        AWS,
        "https://bedrock-mantle.eu-west-1.api.aws/anthropic",
        MESSAGES,
        MESSAGES,
        {**BEARER, "anthropic-version": "2023-06-01"},
        MODEL,
    ),
    Expected(
        "copilot",
        {"GITHUB_COPILOT_TOKEN": "k"},
        "https://api.githubcopilot.com",
        CHAT,
        CHAT,
        {**BEARER, "copilot-integration-id": "vscode-chat", "copilot-vision-request": "true"},
        MODEL,
    ),
]
ALL = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


@ALL
def test_a_clouds_address_is_made_of_the_environment(row: Expected) -> None:
    found = providers(Config(), row.environ)[row.name]
    assert (found.base_url, found.usable, found.configured) == (row.url, True, True)


@ALL
def test_without_its_variables_a_cloud_is_not_usable_and_says_which_are_missing(row: Expected) -> None:
    for left_out in row.environ:
        environ = {name: value for name, value in row.environ.items() if name != left_out}
        found = providers(Config(), environ)[row.name]
        assert not found.usable
        assert not found.configured
        assert left_out in (found.lacks or "")


CLIENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "anthropic": ("/v1/messages", {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}),
    "openai_chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
    "openai_responses": ("/v1/responses", {"input": [{"type": "message", "role": "user", "content": "Hi"}]}),
}


@ALL
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_request_goes_where_and_how_the_cloud_wants_it(row: Expected, stream: bool) -> None:
    """From a client of its own dialect and of two others. Those are always answered from a stream."""
    dialect = rows()[row.name].dialect
    speaker: Speaker = next(speaker() for speaker in SPEAKERS if speaker.name == dialect)

    async def main() -> None:
        async with RawUpstream(speaker.saying(Said(("Hello.",)))) as upstream:
            gateway = await asyncio.to_thread(GatewayThread(config(row, upstream.url), environ(row)).__enter__)
            try:
                for client, (path, body) in CLIENTS.items():
                    asked = {**body, "model": f"{row.name}/some-model", "stream": stream}
                    status, _ = await post(gateway, path, asked)
                    assert status == 200
                    check(row, upstream.calls[-1], stream=stream or client != dialect)
                if dialect == "gemini":
                    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
                    asked = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
                    assert (await post(gateway, f"/v1beta/models/{row.name}/some-model:{method}", asked))[0] == 200
                    check(row, upstream.calls[-1], stream=stream)
            finally:
                gateway.stop()
                await asyncio.to_thread(gateway.join)

    run(main())


def environ(row: Expected) -> dict[str, str]:
    """Google's tokens are another test's matter: here the key is one already."""
    return {**row.environ, "GOOGLE_APPLICATION_CREDENTIALS": "token"}


def config(row: Expected, url: str) -> Config:
    """The row as it is, at an address of this machine."""
    shipped = rows()[row.name]
    auth: Any = "bearer" if shipped.auth == "google" else None
    here = re.sub(r"^(https://[^/]+|\{endpoint\})", url, shipped.base_url)
    values = {"endpoint": url} if "endpoint" in shipped.values else {}
    own = ProviderConfig(base_url=here, auth=auth, values=values)
    return Config(providers={row.name: own}, upstream=UpstreamConfig(retries=0))


async def post(gateway: GatewayThread, path: str, body: Mapping[str, Any]) -> tuple[int, bytes]:
    async with RawClient(gateway.address) as client:
        return await client.ask("POST", path, json.dumps(body).encode())


def check(row: Expected, call: Call, *, stream: bool) -> None:
    root = re.sub(r"^https://[^/]+", "", row.url)
    assert call.path == root + (row.stream if stream else row.whole)
    wanted = {**row.headers, **({"authorization": "Bearer token"} if "/key.json" in row.environ.values() else {})}
    assert {name: call.headers.get(name) for name in wanted} == wanted
    body = json.loads(call.body)
    assert {name: body.get(name) for name in row.body} == row.body
    assert not body.keys() & set(row.without)


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("us-east5", "us-east5-aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
    ],
)
def test_vertex_is_served_elsewhere_for_each_location(location: str, host: str) -> None:
    found = providers(Config(), {**GOOGLE, "GOOGLE_CLOUD_LOCATION": location})["vertex"]
    assert found.base_url == f"https://{host}/v1/projects/p1/locations/{location}"


def test_the_configuration_goes_before_the_environment() -> None:
    own = ProviderConfig(values={"region": "us-west-2"})
    found = providers(Config(providers={"bedrock": own}), AWS)["bedrock"]
    assert found.base_url == "https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1"


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("bedrock", {"reigon": "x"}, "providers.bedrock.values.reigon is not one of region"),
        ("bedrock", {"region": "x y"}, "providers.bedrock.values.region: 'x y' cannot be part of an address"),
        ("azure", {"endpoint": "mine"}, "providers.azure: its address 'mine/openai/v1' is not an http"),
        ("groq", {"region": "x"}, "providers.groq.values.region is not one of"),
    ],
)
def test_a_value_that_makes_no_address_is_named(name: str, values: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        providers(Config(providers={name: ProviderConfig(values=values)}), AWS)


def test_a_deployments_name_is_one_step_of_the_path_whatever_it_holds() -> None:
    classic = next(row for row in ROWS if row.name == "azure-classic")
    speaker = next(speaker() for speaker in SPEAKERS if speaker.name == "openai_chat")

    async def main() -> None:
        async with RawUpstream(speaker.saying(Said(("Hello.",)))) as upstream:
            gateway = await asyncio.to_thread(GatewayThread(config(classic, upstream.url), classic.environ).__enter__)
            try:
                for name in ("../x", "a/b?c#d", ".."):
                    path, body = CLIENTS["openai_chat"]
                    await post(gateway, path, {**body, "model": f"azure-classic/{name}"})
                steps = [call.path.split("/") for call in upstream.calls]
                assert [len(one) for one in steps] == [6, 6, 6]
                assert [one[3] for one in steps] == ["..%2Fx", "a%2Fb%3Fc%23d", "%2E%2E"]
            finally:
                gateway.stop()
                await asyncio.to_thread(gateway.join)

    run(main())


def test_tokens_are_counted_on_vertex_with_the_model_in_the_body() -> None:
    vertex = next(row for row in ROWS if row.name == "vertex-anthropic")

    async def count(call: Call) -> None:
        await call.answer(200, b'{"input_tokens": 17}')

    async def main() -> None:
        async with RawUpstream(count) as upstream:
            gateway = await asyncio.to_thread(GatewayThread(config(vertex, upstream.url), environ(vertex)).__enter__)
            try:
                for path in ("/v1/messages/count_tokens", "/v1/responses/input_tokens"):
                    _, body = CLIENTS["anthropic" if "messages" in path else "openai_responses"]
                    asked = {name: value for name, value in body.items() if name != "max_tokens"}
                    status, counted = await post(gateway, path, {**asked, "model": "vertex-anthropic/some-model"})
                    assert (status, json.loads(counted)["input_tokens"]) == (200, 17)
                    call = upstream.calls[-1]
                    assert call.path == f"{PROJECT}/publishers/anthropic/models/count-tokens:rawPredict"
                    told = json.loads(call.body)
                    assert (told["model"], told["anthropic_version"]) == ("some-model", "vertex-2023-10-16")
                    assert "max_tokens" not in told
            finally:
                gateway.stop()
                await asyncio.to_thread(gateway.join)

    run(main())
