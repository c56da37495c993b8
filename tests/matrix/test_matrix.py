"""Every recorded stream × every client dialect: the client's official SDK reads what the recording says.

``WHY`` holds every deviation with its reason; one that is not in it fails, and so does an entry that no longer holds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from oracles import ORACLES
from sdk_readers import READERS
from seen import Seen

from millstream.core import events as ev
from millstream.core.messages import Request
from millstream.dialects.base import ReplyContext
from millstream.registry import dialects
from millstream.testing.streams import bytewise, frame_prefixes, parse, randomly

CORPUS = Path(os.environ.get("MILLSTREAM_CORPUS") or Path(__file__).parents[2] / "../shared/corpus").resolve()
DIALECTS = dialects()
UPSTREAMS = {
    "anthropic-messages": "anthropic",
    "openai-chat": "openai_chat",
    "openai-responses": "openai_responses",
    "gemini": "gemini",
}
STOPS_A_CLIENT_KNOWS = {
    "anthropic": {"stop", "length", "tool_calls", "stop_sequence", "refusal", "pause", "context_window"},
    "openai_chat": {"stop", "length", "tool_calls", "content_filter"},
    "openai_responses": {"stop", "length", "tool_calls", "content_filter"},
    "gemini": {"stop", "length", "tool_calls", "content_filter"},
}
"""Of the canonical reasons; another is told as the nearest of these."""

NEAREST = {
    "stop_sequence": {"stop"},
    "refusal": {"stop", "content_filter"},
    "content_filter": {"refusal", "stop"},
    "pause": {"stop", "length", "tool_calls"},
    "context_window": {"length"},
}

FOREIGN_RUN = "a tool that another provider ran is told to Anthropic clients as a thought: what was run, what it found"
PICTURE = "Anthropic's replies have no pictures or sounds: it is told as Markdown"
HALF_CALL = "the arguments were cut off at the length limit and are no JSON: the SDK repairs them, or we wrap them"
CUT_BY_HAND = "the recording's deltas were shortened by hand; its done events say more"
PARTIAL = (
    "the arguments come in pieces by JSON path, which the plain reading does not join (tests/dialects/gemini does)"
)
REASONING = "it counts 43 reasoning tokens beside 14 completion tokens, so the first cannot be part of the second"
SHELL = "a local_shell_call is a call for the client to run, which the plain reading does not count as one"

WHY: dict[tuple[str, str, str], str] = {
    ("azure/011-responses-server-tools-text", "anthropic", "text"): PICTURE,
    ("deepseek/004-chat-length-stop-tool-args-split", "anthropic", "calls"): HALF_CALL,
    ("deepseek/004-chat-length-stop-tool-args-split", "gemini", "calls"): HALF_CALL,
    ("gemini/004-gemini-server-tools-text", "anthropic", "reasoning"): FOREIGN_RUN,
    ("gemini/008-gemini-server-tools-text", "anthropic", "reasoning"): FOREIGN_RUN,
    ("gemini/010-gemini-server-tools-text", "anthropic", "reasoning"): FOREIGN_RUN,
    ("gemini/012-gemini-server-tools-text", "anthropic", "reasoning"): FOREIGN_RUN,
    ("gemini/020-gemini-tool-parallel-reasoning-tool-empty-args", "*", "calls"): PARTIAL,
    ("gemini/022-gemini-tool-parallel-tool-empty-args", "*", "calls"): PARTIAL,
    ("gemini/031-gemini-image-output", "anthropic", "text"): PICTURE,
    (
        "gemini/031-gemini-image-output",
        "openai_responses",
        "text",
    ): "Responses have no sounds: that there was one is told",
    ("gemini/033-gemini-image-output-text", "anthropic", "text"): PICTURE,
    ("groq/008-chat-tool-parallel-tool-empty-args", "*", "calls"): "null for a call without arguments is read as {}",
    ("llamacpp/003-chat-length-stop-tool-args-split", "anthropic", "calls"): HALF_CALL,
    ("llamacpp/003-chat-length-stop-tool-args-split", "gemini", "calls"): HALF_CALL,
    ("openai/010-chat-length-stop-tool-args-split", "anthropic", "calls"): HALF_CALL,
    ("openai/010-chat-length-stop-tool-args-split", "gemini", "calls"): HALF_CALL,
    ("openai/047-responses-server-tools-text", "anthropic", "reasoning"): FOREIGN_RUN,
    ("openai/048-responses-server-tools-reasoning", "anthropic", "reasoning"): FOREIGN_RUN,
    ("openai/052-responses-server-tools-reasoning", "anthropic", "stop"): SHELL,
    ("openai/052-responses-server-tools-reasoning", "openai_chat", "stop"): SHELL,
    ("openai/054-responses-server-tools-text", "*", "text"): CUT_BY_HAND,
    ("openai/056-responses-server-tools-reasoning", "anthropic", "reasoning"): FOREIGN_RUN,
    ("vercel-gateway/006-chat-reasoning-text", "*", "output_tokens"): REASONING,
    ("vertex/003-gemini-server-tools-text", "anthropic", "reasoning"): FOREIGN_RUN,
    ("xai/012-responses-server-tools-cached-usage", "anthropic", "reasoning"): FOREIGN_RUN,
}
"""(recording, client, field) → why it differs. ``*`` stands for every client."""

NOT_WHOLE = {
    "anthropic/044-messages-tool-single-reasoning": "two messages, the first of which never ends",
    "snowflake/001-chat-logprobs-text": "Snowflake never says why an answer ended, so it may have been cut off",
}
"""Recordings that are read as cut off, though they hold no error."""

EVERY_CHUNK_IS_THE_LAST = {"vertex/002-gemini-content-filter-text", "vertex/004-gemini-citations-text"}
"""Mocks that say why the answer ended in each chunk: where they are cut off cannot be told from their end."""


def recordings() -> Iterable[Any]:
    index = CORPUS / "index.json"
    if not index.is_file():
        return [pytest.param(None, None, marks=pytest.mark.skip(reason="no recordings: set MILLSTREAM_CORPUS"))]
    found = []
    for entry in json.loads(index.read_text()):
        path = CORPUS / "streams" / entry["path"] / "response.sse"
        if entry["dialect"] in UPSTREAMS and entry["streaming"] and entry["status"] == 200 and path.is_file():
            found.append(pytest.param(entry["path"], UPSTREAMS[entry["dialect"]], id=entry["path"]))
    return found


def rendered(events: list[ev.Event], client: str) -> bytes:
    request = Request(origin=client, model="m", messages=(), stream=True, include_usage=True)
    renderer = DIALECTS[client].renderer(ReplyContext("reply_1", 1_700_000_000, request))
    return b"".join(renderer.render([event]) for event in events)


def deviations(expected: Seen, got: Seen, client: str) -> dict[str, tuple[object, object]]:
    wrong: dict[str, tuple[object, object]] = {}
    for name in ("text", "reasoning", "calls", "input_tokens", "output_tokens"):
        want, have = getattr(expected, name), getattr(got, name)
        if want != have and not (name.endswith("tokens") and want is None):
            wrong[name] = (want, have)
    stop = expected.stop or ""
    allowed = {stop} if stop in STOPS_A_CLIENT_KNOWS[client] else NEAREST.get(stop, {stop})
    if got.stop not in allowed:
        wrong["stop"] = (expected.stop, got.stop)
    return wrong


@pytest.mark.parametrize("client", sorted(READERS))
@pytest.mark.parametrize(("name", "upstream"), recordings())
def test_a_clients_own_sdk_reads_what_the_recording_says(name: str, upstream: str, client: str) -> None:
    stream = (CORPUS / "streams" / name / "response.sse").read_bytes()
    expected = ORACLES[upstream](stream)
    events = parse(DIALECTS[upstream], [stream])
    if expected is None or isinstance(events[-1], ev.Fault):
        assert expected is None or name in NOT_WHOLE, f"the recording is whole, but is read as {events[-1]}"
        assert isinstance(events[-1], ev.Fault)
        return
    wrong = deviations(expected, READERS[client](rendered(events, client)), client)
    explained = {field for (entry, who, field) in WHY if entry == name and who in ("*", client)}
    assert set(wrong) == explained, wrong


@pytest.mark.parametrize(("name", "upstream"), recordings())
def test_however_a_recording_is_split_its_events_are_the_same(name: str, upstream: str) -> None:
    stream = (CORPUS / "streams" / name / "response.sse").read_bytes()
    events = parse(DIALECTS[upstream], [stream])
    assert parse(DIALECTS[upstream], bytewise(stream)) == events
    for seed in range(3):
        assert parse(DIALECTS[upstream], randomly(stream, seed)) == events


@pytest.mark.parametrize("client", sorted(READERS))
@pytest.mark.parametrize(("name", "upstream"), recordings())
def test_a_stream_cut_off_anywhere_never_ends_politely_with_less(name: str, upstream: str, client: str) -> None:
    stream = (CORPUS / "streams" / name / "response.sse").read_bytes()
    whole = parse(DIALECTS[upstream], [stream])
    if isinstance(whole[-1], ev.Fault) or name in EVERY_CHUNK_IS_THE_LAST:
        return
    complete = READERS[client](rendered(whole, client))
    prefixes = list(frame_prefixes(stream))
    # The SDKs take milliseconds per reading (the parsers are cut off everywhere in tests/dialects): the places where
    # it matters are the last ones, and one in the middle.
    for prefix in {*prefixes[-2:], *prefixes[: len(prefixes) // 2][-1:]}:
        events = parse(DIALECTS[upstream], [prefix])
        said = rendered(events, client)
        if isinstance(events[-1], ev.Fault):
            with pytest.raises(Exception):  # noqa: B017  # each SDK has errors of its own; that it raises is the point
                READERS[client](said)
            continue
        cut = READERS[client](said)
        assert (cut.text, cut.reasoning, cut.calls, cut.stop) == (
            complete.text,
            complete.reasoning,
            complete.calls,
            complete.stop,
        )
