"""Every recording of this API: legal events, whichever way the bytes come; never a polite end where it was cut off."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from millstream.core import events as ev
from millstream.core.errors import Kind, UpstreamFault
from millstream.core.grammar import Grammar
from millstream.dialects.gemini import DIALECT
from millstream.testing.dialect import check_dialect

Read = Callable[..., list[ev.Event]]

EVERY_CHUNK_ENDS = {"vertex/002-gemini-content-filter-text", "vertex/004-gemini-citations-text"}
"""Firebase's old mocks say ``finishReason`` in each chunk: nothing tells where such a stream was to go on."""

NO_REPLY = {"vertex/015-nonstream-gemini-text"}
"""A made-up body without ``finishReason``."""


def test_a_stream_gives_the_same_legal_events_however_its_bytes_are_split(streamed: Any, read: Read) -> None:
    events = read(streamed.body)
    assert isinstance(events[-1], ev.Finish)
    assert read(streamed.body, size=1) == events
    assert read(streamed.body, seed=1) == events
    assert read(streamed.body, seed=2) == events


def test_a_stream_passes_the_check_that_every_dialect_passes(streamed: Any) -> None:
    if streamed.name not in EVERY_CHUNK_ENDS:
        check_dialect(DIALECT, streamed.body, seeds=2)


def test_a_stream_cut_after_any_frame_ends_in_a_fault(streamed: Any, read: Read) -> None:
    if streamed.name in EVERY_CHUNK_ENDS:
        assert all(b'"finishReason"' in frame for frame in streamed.frames)
        return
    for count in range(len(streamed.frames)):
        last = read(b"".join(streamed.frames[:count]))[-1]
        assert isinstance(last, ev.Fault)
        assert last.kind is Kind.TRUNCATED


def test_a_stream_cut_inside_its_last_chunk_ends_in_a_fault(streamed: Any, read: Read) -> None:
    body = streamed.body.rstrip()
    last_chunk = max(body.rfind(b"data:"), body.rfind(b'"candidates"'))
    end = body.rfind(b"}")
    for at in range(last_chunk + 8, end, max(11, (end - last_chunk) // 60)):
        last = read(body[:at])[-1]
        assert isinstance(last, ev.Fault)
        assert last.kind is Kind.TRUNCATED


def test_a_whole_reply_is_read_as_the_events_it_would_have_streamed(whole: Any) -> None:
    if whole.name in NO_REPLY:
        with pytest.raises(UpstreamFault, match="finishReason"):
            DIALECT.parse_reply(whole.body)
        return
    events = DIALECT.parse_reply(whole.body)
    Grammar().advance(events)
    assert isinstance(events[-1], ev.Finish)


def test_an_error_body_becomes_a_fault_and_is_given_back_to_the_byte(failed: Any) -> None:
    fault = DIALECT.parse_error(failed.status, {"content-type": "application/json"}, failed.body)
    assert fault.message in re.sub(rb"\\n", b"\n", failed.body).decode()
    assert fault.retryable == (failed.status == 429)
    reply = DIALECT.render_error(fault)
    assert (reply.status, reply.body) == (failed.status, failed.body)
