"""What an upstream cannot be told is named in a header if it only tunes, else the request is refused by its name."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from millstream.config import Config
from millstream.testing.gateway import GatewayThread

HELLO: dict[str, dict[str, Any]] = {
    "/v1/messages": {"stream": True, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
    "/v1/responses": {"stream": True, "input": "hi"},
    "/v1beta/models/replay/hello:streamGenerateContent?alt=sse": {"contents": [{"parts": [{"text": "hi"}]}]},
}
MESSAGES, RESPONSES, GENERATE = HELLO


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with GatewayThread(Config(default_model="replay/hello")) as gateway:
        yield gateway.url


def ask(url: str, path: str, fields: dict[str, Any]) -> tuple[int, str | None, Any]:
    """Status, the header of what was dropped, and the body of an error. A good reply is not waited for."""
    body = {"model": "replay/hello", **HELLO[path], **fields}
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status, reply.headers.get("x-millstream-dropped"), None
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("x-millstream-dropped"), json.loads(error.read())


@pytest.mark.parametrize(
    ("path", "fields", "dropped"),
    [
        (MESSAGES, {"top_k": 5, "context_management": {"edits": [{"type": "x"}]}}, "context_management,top_k"),
        (RESPONSES, {"truncation": "auto", "text": {"verbosity": "low"}}, "text.verbosity,truncation"),
        (
            GENERATE,
            {
                "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT"}],
                "generationConfig": {"audioTimestamp": True},
            },
            "generationConfig.audioTimestamp,safetySettings",
        ),
    ],
)
def test_what_only_tunes_is_named_in_a_header(url: str, path: str, fields: dict[str, Any], dropped: str) -> None:
    assert ask(url, path, fields)[:2] == (200, dropped)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (MESSAGES, {"tools": [], "service_tier": "auto", "metadata": {}}),
        (RESPONSES, {"store": True, "truncation": "disabled", "include": [], "text": {"format": {"type": "text"}}}),
        (GENERATE, {"generationConfig": {"responseModalities": ["TEXT"]}, "safetySettings": []}),
    ],
)
def test_what_says_no_more_than_its_absence_is_not_missed(url: str, path: str, fields: dict[str, Any]) -> None:
    assert ask(url, path, fields)[:2] == (200, None)


@pytest.mark.parametrize(
    ("path", "fields", "named"),
    [
        (MESSAGES, {"container": "c1"}, lambda body: (body["type"], body["error"]["type"], body["error"]["message"])),
        (GENERATE, {"generationConfig": {"responseModalities": ["AUDIO"]}}, lambda body: body["error"]["message"]),
        (
            RESPONSES,
            {"input": [{"type": "item_reference", "id": "x"}]},
            lambda body: (body["error"]["message"], body["error"]["param"]),
        ),
    ],
)
def test_what_would_change_the_answer_is_refused_by_name_in_the_clients_words(
    url: str, path: str, fields: dict[str, Any], named: Any
) -> None:
    status, dropped, body = ask(url, path, fields)
    assert (status, dropped) == (400, None)
    words = str(named(body))
    assert any(name in words for name in ("container", "responseModalities", "item_reference"))
