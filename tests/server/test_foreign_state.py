"""What a client's own API holds for it cannot be asked of another upstream."""

import json
import urllib.error
import urllib.request

import pytest

from millstream.config import Config
from millstream.testing.gateway import GatewayThread


def post(url: str, body: dict[str, object]) -> tuple[int, dict[str, object]]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [
        ("/v1/responses", "previous_response_id", "resp_1"),
        ("/v1/responses", "conversation", "conv_1"),
        ("/v1/responses", "prompt", {"id": "pmpt_1"}),
        ("/v1beta/models/replay/hello:generateContent", "cachedContent", "cachedContents/1"),
    ],
)
def test_a_reference_to_what_another_api_holds_is_refused_by_name(path: str, field: str, value: object) -> None:
    hello: dict[str, object] = {"input": "hi", "model": "replay/hello"}
    if "generateContent" in path:
        hello = {"contents": [{"parts": [{"text": "hi"}]}]}
    with GatewayThread(Config(default_model="replay/hello")) as gateway:
        assert post(gateway.url + path, hello)[0] == 200
        status, body = post(gateway.url + path, {**hello, field: value})
    assert status == 400
    assert field in json.dumps(body)
