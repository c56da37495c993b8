"""Every recording of this API: cut anywhere, rendered again, read by Anthropic's own SDK."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from anthropic import APIStatusError
from anthropic.types.beta import BetaMessage

from millstream.core import events as ev
from millstream.dialects.anthropic import DIALECT, AnthropicQuirks
from millstream.dialects.base import ClientCall, ReplyContext, Target
from millstream.testing.dialect import assembled, check_dialect
from millstream.testing.streams import parse

_ADDED = {"caller", "cache_creation", "cache_creation_input_tokens", "cache_read_input_tokens"}
"""What today's API always says and older recordings do not."""

_NOT_KEPT = {"cost", "cost_details", "is_byok", "service_tier", "speed", "amazon-bedrock-invocationMetrics", "model"}
"""What providers add and the SDK's accumulator leaves out, or replaces (the model, where a fallback block names it)."""


def _comparable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _comparable(item) for name, item in value.items() if item is not None}
    return [_comparable(item) for item in value] if isinstance(value, list) else value


def _assert_says_all(ours: Any, theirs: Any, more: set[str], path: str = "") -> None:
    """``ours`` says all that ``theirs`` says, and beyond that only what is in ``more``."""
    if isinstance(theirs, dict):
        assert isinstance(ours, dict), path
        assert set(theirs) <= set(ours), path
        assert set(ours) - set(theirs) <= more, path
        for name, value in theirs.items():
            _assert_says_all(ours[name], value, more, f"{path}.{name}")
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs), path
        for number, pair in enumerate(zip(ours, theirs, strict=True)):
            _assert_says_all(*pair, more, f"{path}.{number}")
    else:
        assert ours == theirs, path


def _for_sdk(recorded: bytes) -> bytes:
    """OpenRouter ends its streams with a ``[DONE]`` that the SDK itself fails on."""
    return recorded.replace(b"data: [DONE]", b"")


def test_however_it_is_cut_a_stream_gives_the_same_events_and_a_truncated_one_a_fault(streamed: Any) -> None:
    events = check_dialect(DIALECT, streamed.body)
    if streamed.error:
        assert isinstance(events[-1], ev.Fault)
        assert streamed.error in events[-1].message
    else:
        assert isinstance(events[-1], ev.Finish)


def test_the_sdk_reads_a_rendered_stream_as_it_reads_the_recorded_one(
    complete: Any, accumulate: Callable[[bytes], BetaMessage], context: Callable[..., ReplyContext]
) -> None:
    renderer = DIALECT.renderer(context())
    rendered = b"".join(renderer.render([event]) for event in parse(DIALECT, [complete.body]))
    ours, theirs = accumulate(rendered), accumulate(_for_sdk(complete.body))
    _assert_says_all(_comparable(ours.to_dict()), _comparable(theirs.to_dict()), _ADDED)


def test_a_stream_made_whole_says_what_the_sdk_accumulated(
    complete: Any, accumulate: Callable[[bytes], BetaMessage], context: Callable[..., ReplyContext]
) -> None:
    ours = json.loads(DIALECT.render_reply(assembled(parse(DIALECT, [complete.body])), context()))
    theirs = accumulate(_for_sdk(complete.body)).to_dict(mode="json")
    del theirs["model"]
    _assert_says_all(_comparable(ours), _comparable(theirs), _ADDED | _NOT_KEPT)


def test_the_sdk_raises_for_a_stream_that_broke(
    broken: Any, accumulate: Callable[[bytes], BetaMessage], context: Callable[..., ReplyContext]
) -> None:
    rendered = DIALECT.renderer(context()).render(parse(DIALECT, [broken.body]))
    with pytest.raises(APIStatusError, match=broken.error):
        accumulate(rendered)


def test_a_whole_reply_comes_back_as_it_was(whole: Any, context: Callable[..., ReplyContext]) -> None:
    ours = json.loads(DIALECT.render_reply(assembled(DIALECT.parse_reply(whole.body)), context()))
    _assert_says_all(_comparable(ours), _comparable(json.loads(whole.body)), _ADDED)


def test_a_recorded_error_is_given_back_to_the_byte(failed: Any) -> None:
    reply = DIALECT.render_error(DIALECT.parse_error(failed.status, {}, failed.body))
    assert (reply.status, reply.body) == (failed.status, failed.body)


def test_what_a_real_client_sent_goes_back_out_as_it_came(captured: Any) -> None:
    read = DIALECT.parse_request if "max_tokens" in captured else DIALECT.parse_count
    request = read(ClientCall(json.dumps(captured).encode()))
    target = Target(captured["model"], AnthropicQuirks(), stream=captured.get("stream", False))
    rendered = DIALECT.render_request(request, target)
    assert json.loads(rendered.body) == {"max_tokens": 32_000, **captured}
    assert (rendered.dropped, rendered.stop) == ((), ())
