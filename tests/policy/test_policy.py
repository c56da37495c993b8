"""Decisions: which upstream, another try or not, who may call."""

from typing import Any

import pytest

from millstream.core.errors import ClientFault, Kind, PolicyRefusal, UpstreamFault
from millstream.policy.auth import is_loopback, require_local_host, shown_keys
from millstream.policy.retry import RetryPolicy
from millstream.policy.routing import Route, Routes

PROVIDERS = {"groq": "moonshotai/kimi-k2", "ollama": None, "embedded": "smollm2"}
ROUTES = Routes(
    PROVIDERS,
    default="groq/moonshotai/kimi-k2",
    aliases={"claude-haiku-*": "groq/small", "claude-*": "big", "big": "groq/moonshotai/kimi-k2", "loop": "loop"},
)


@pytest.mark.parametrize(
    ("name", "route"),
    [
        ("groq/openai/gpt-oss-20b", Route("groq", "openai/gpt-oss-20b")),
        ("groq", Route("groq", "moonshotai/kimi-k2")),
        ("embedded", Route("embedded", "smollm2")),
        ("big", Route("groq", "moonshotai/kimi-k2")),
        ("claude-haiku-4-5", Route("groq", "small")),
        ("claude-opus-5", Route("groq", "moonshotai/kimi-k2")),
        ("ollama/qwen3:8b", Route("ollama", "qwen3:8b")),
    ],
)
def test_a_name_leads_to_its_upstream(name: str, route: Route) -> None:
    assert ROUTES.resolve(name) == route


def test_an_unknown_name_is_a_404_that_lists_near_ones() -> None:
    with pytest.raises(ClientFault) as caught:
        ROUTES.resolve("groq-moonshotai/kimi-k2")
    assert caught.value.kind is Kind.NOT_FOUND
    assert "groq/moonshotai/kimi-k2" in caught.value.message


@pytest.mark.parametrize("name", ["nothing-like-it", "ollama", "groq/", "unknown/model", ""])
def test_what_leads_nowhere_is_refused(name: str) -> None:
    with pytest.raises(ClientFault, match="no model"):
        ROUTES.resolve(name)


def test_aliases_in_a_circle_are_refused() -> None:
    with pytest.raises(ClientFault, match="in a circle"):
        ROUTES.resolve("loop")


def test_unknown_names_may_go_to_the_default() -> None:
    lenient = Routes(PROVIDERS, "groq/x", {}, unknown="default")
    assert lenient.resolve("gpt-99") == Route("groq", "x")


@pytest.mark.parametrize("unknown", ["error", "default"])
def test_names_that_the_default_models_provider_is_known_for_lead_to_it_as_they_are(unknown: Any) -> None:
    own = {"anthropic": ("claude-*",), "openai": ("gpt-[0-9]*",)}
    routes = Routes({"anthropic": "claude-sonnet-5", "openai": "gpt-5"}, "anthropic", {}, unknown, own)
    assert routes.resolve("claude-haiku-4-5") == Route("anthropic", "claude-haiku-4-5")
    if unknown == "default":
        assert routes.resolve("gpt-5") == Route("anthropic", "claude-sonnet-5")
    else:
        with pytest.raises(ClientFault, match="no model"):
            routes.resolve("gpt-5")


def test_an_alias_goes_before_the_names_that_a_provider_is_known_for() -> None:
    routes = Routes({"a": "m"}, "a", {"claude-haiku-*": "a/small"}, own_models={"a": ("claude-*",)})
    assert routes.resolve("claude-haiku-4-5") == Route("a", "small")
    assert routes.resolve("claude-opus-5") == Route("a", "claude-opus-5")


def test_names_hold_no_patterns_and_no_doubles() -> None:
    assert ROUTES.names() == ["big", "loop", "groq/moonshotai/kimi-k2", "embedded"]


POLICY = RetryPolicy(retries=2, backoff=0.5, max_wait=10)
BUSY = UpstreamFault("busy", Kind.OVERLOADED)


def test_waits_grow_and_end() -> None:
    assert [POLICY.wait(BUSY, tries, 1.0) for tries in (1, 2, 3)] == [0.5, 1.0, None]
    assert POLICY.wait(BUSY, 1, 0.0) == 0.25


def test_retry_after_is_kept_to_unless_it_is_long() -> None:
    assert POLICY.wait(UpstreamFault("x", Kind.RATE_LIMIT, retry_after=4), 1, 0.0) == 4
    assert POLICY.wait(UpstreamFault("x", Kind.RATE_LIMIT, retry_after=11), 1, 0.0) is None


def test_what_is_final_or_has_begun_is_not_tried_again() -> None:
    assert POLICY.wait(ClientFault("bad"), 1, 0.0) is None
    assert POLICY.wait(UpstreamFault("cut", Kind.TRUNCATED, content_sent=True), 1, 0.0) is None
    assert POLICY.wait(UpstreamFault("bad key", Kind.AUTHENTICATION), 1, 0.0) is None


def test_shown_keys_are_all_found() -> None:
    assert shown_keys({"authorization": "Bearer a", "x-api-key": "b"}) == ["a", "b"]


@pytest.mark.parametrize(
    "host", ["localhost:8090", "127.0.0.1:8090", "[::1]:8090", "[::1]", "app.localhost", "my.host:1"]
)
def test_local_and_allowed_host_names_pass(host: str) -> None:
    require_local_host(host, {"my.host"})


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8090", "127.0.0.1.evil.example", "", "192.168.1.4"])
def test_other_host_names_are_refused(host: str) -> None:
    with pytest.raises(PolicyRefusal) as caught:
        require_local_host(host, frozenset())
    assert caught.value.status == 403


def test_loopback_is_told_from_the_rest() -> None:
    assert [is_loopback(h) for h in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "example.org")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
