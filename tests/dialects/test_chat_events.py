"""Chat events say the same wherever a stream is taken up, and never an end twice."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from millstream.core import events as ev
from millstream.core.errors import Kind, PolicyRefusal, UpstreamFault
from millstream.core.messages import Usage
from millstream.core.run_events import (
    RunEnd,
    RunEntry,
    RunEvent,
    RunStart,
    Status,
    ToolRunStart,
    decode_entry,
    encode_entry,
)
from millstream.core.timestamps import timestamp
from millstream.dialects.chat_events import ChatErrors, ChatEvents

HEAD: tuple[RunEvent, ...] = (
    RunStart("r", "up/m"),
    ev.MessageStart("id", "m"),
    ev.ReasoningStart(0),
    ev.ReasoningDelta(0, "hm"),
    ev.ReasoningEnd(0),
    Status("working"),
    ToolRunStart("c", "t", "{}"),
    ev.TextStart(1),
)
FAULT = ev.Fault.of(UpstreamFault("no more", Kind.OVERLOADED, retry_after=2.0, code="busy"))


def entries(*events: RunEvent) -> list[RunEntry]:
    return [encode_entry(number, 1_700_000_000_000 + number, event) for number, event in enumerate(events, 1)]


FINISHED = entries(
    *HEAD,
    ev.TextDelta(1, 'a\n"b"'),
    ev.TextDelta(1, ""),
    ev.TextDelta(1, "ü🎈\u2028"),
    ev.TextEnd(1),
    ev.ChoiceEnd(0, "length"),
    ev.Finish(),
    RunEnd(
        "finished",
        seconds=3.0,
        usage=Usage(input_tokens=7, output_tokens=20, reasoning_tokens=4),
        finish_reason="length",
        first_text=1.0,
        texts=2,
    ),
)
FAILED = entries(*HEAD, ev.TextDelta(1, "a"), FAULT, RunEnd("failed"))


@pytest.mark.parametrize("run", [FINISHED, FAILED], ids=["finished", "failed"])
def test_taken_up_anywhere_the_frames_are_the_same(run: Sequence[RunEntry]) -> None:
    whole = ChatEvents().objects(run)
    for place in range(len(run) + 1):
        kept = [decode_entry(entry.number, entry.data) for entry in run[place:]]
        one_by_one = ChatEvents()
        found = [said for entry in kept for said in one_by_one.objects([entry])]
        if run is FAILED and place == len(run) - 1:
            continue  # nobody has the number of a fault alone: it is said with the end
        assert found == [said for said in whole if said[0] > place]


def test_a_finished_run_is_pieces_and_one_end() -> None:
    said = [(name, json.loads(data)) for _, name, data in ChatEvents().objects(FINISHED)]
    assert [name for name, _ in said] == ["message", "message", "complete"]
    assert said[0][1] == {"type": "chunk", "content": 'a\n"b"', "timestamp": "2023-11-14T22:13:20.009Z"}
    assert said[2][1] == {
        "type": "complete",
        "usage": {"input_tokens": 7, "output_tokens": 20, "total_tokens": 27, "reasoning_tokens": 4},
        "metrics": {"ttft_ms": 1000.0, "duration_ms": 3000.0, "tokens_per_second": 10.0, "chunks": 2},
        "finish_reason": "length",
        "timestamp": "2023-11-14T22:13:20.015Z",
    }


def test_a_failed_run_is_one_error_under_the_number_of_its_end() -> None:
    *_, (number, name, data) = ChatEvents().objects(FAILED)
    assert (number, name) == (FAILED[-1].number, "error")
    assert json.loads(data) | {"timestamp": ""} == {
        "type": "error",
        "code": "busy",
        "message": "no more",
        "retryable": True,
        "retry_after": 2.0,
        "timestamp": "",
    }


def test_no_text_can_break_out_of_its_frame() -> None:
    (frame,) = ChatEvents().render(entries(ev.TextDelta(0, "a\n\nevent: complete\r\ndata: x\r\n"))).split(b"\n\n")[:-1]
    assert frame.count(b"\n") == 2
    assert b"\r" not in frame


def test_a_run_without_text_has_no_rate() -> None:
    ((_, _, data),) = ChatEvents().objects(entries(RunEnd("finished", seconds=0.0)))
    assert json.loads(data)["metrics"] == {
        "ttft_ms": None,
        "duration_ms": 0.0,
        "tokens_per_second": None,
        "chunks": 0,
    }


def test_a_refusal_is_a_whole_response() -> None:
    reply = ChatErrors().render_error(PolicyRefusal("slow down", Kind.RATE_LIMIT, retry_after=0.4))
    assert (reply.status, reply.headers["retry-after"]) == (429, "1")
    assert json.loads(reply.body) == {
        "type": "error",
        "code": "rate_limit",
        "message": "slow down",
        "retryable": True,
        "retry_after": 0.4,
    }


def test_an_event_of_a_later_version_says_nothing_here() -> None:
    assert ChatEvents().objects([decode_entry(1, b'{"type":"Hologram","at":1}')]) == []


def test_timestamps_have_milliseconds() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert timestamp(1_234_567_890_042) == "2009-02-13T23:31:30.042Z"
