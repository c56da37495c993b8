import pytest

from millstream.providers.replay.content import Content
from millstream.providers.replay.plan import FOREVER, Plan, lay_out
from millstream.providers.replay.scenario import (
    AnyFault,
    CloseFault,
    ContentTypeFault,
    CorruptFault,
    CutFault,
    Pace,
    ResetFault,
    SlowHeadFault,
    StallFault,
)

EVENTS = (b"data: 1\n\n", b"data: 22\n\n", b"data: 333\n\n")
BODY = b"".join(EVENTS)
CONTENT = Content(EVENTS, "text/event-stream")


PACE = Pace(event_ms=100)


def plan(*faults: AnyFault, pace: Pace = PACE, pieces: str = "events", content: Content = CONTENT) -> Plan:
    return lay_out(content, pace, pieces, faults, {})


def sends(laid: Plan) -> list[tuple[float, bytes, int]]:
    return [(round(send.at, 6), send.data, send.events) for send in laid.sends]


def test_events_leave_one_by_one_at_their_pace() -> None:
    laid = plan(pace=Pace(head_ms=50, first_ms=200, per_second=10))
    assert laid.head_at == 0.05
    assert sends(laid) == [(0.2, EVENTS[0], 1), (0.3, EVENTS[1], 2), (0.4, EVENTS[2], 3)]
    assert (laid.end, round(laid.end_at, 6)) == ("eof", 0.4)


def test_without_a_pace_everything_is_due_at_once() -> None:
    assert [send.at for send in plan(pace=Pace()).sends] == [0, 0, 0]


def test_a_recordings_own_times_are_kept() -> None:
    content = Content(EVENTS, "text/event-stream", times=(0.1, 0.15, 2.0))
    laid = plan(pace=Pace(recorded=True, first_ms=1000), content=content)
    assert [send.at for send in laid.sends] == [1.1, 1.15, 3.0]


def test_a_whole_body_leaves_when_its_last_event_is_due() -> None:
    assert sends(plan(pieces="whole")) == [(0.2, BODY, 3)]


def test_pieces_of_bytes_wait_for_the_event_that_they_reach_into() -> None:
    laid = plan(pieces="bytes:8")
    assert b"".join(send.data for send in laid.sends) == BODY
    assert [(send.at, len(send.data), send.events) for send in laid.sends] == [
        (0.0, 8, 0), (0.1, 8, 1), (0.2, 8, 2), (0.2, 6, 3)
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_random_pieces_are_the_same_for_a_seed_and_lose_nothing(seed: int) -> None:
    laid = plan(pieces=f"random:{seed}")
    assert laid == plan(pieces=f"random:{seed}")
    assert b"".join(send.data for send in laid.sends) == BODY
    assert laid.sends[-1].events == 3
    assert all(a.at <= b.at for a, b in zip(laid.sends, laid.sends[1:], strict=False))


def test_byte_by_byte_counts_an_event_with_its_last_byte() -> None:
    laid = plan(pieces="bytes:1")
    assert len(laid.sends) == len(BODY)
    assert [laid.sends[n].events for n in (7, 8, 17, 18, 28, 29)] == [0, 1, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("fault", "end"),
    [(CutFault(after=2), "eof"), (CloseFault(after=2), "close"), (ResetFault(after=2), "reset")],
)
def test_a_cut_leaves_nothing_behind_its_place(fault: AnyFault, end: str) -> None:
    laid = plan(fault)
    assert sends(laid) == [(0.0, EVENTS[0], 1), (0.1, EVENTS[1], 2)]
    assert (laid.end, laid.end_at) == (end, 0.1)


@pytest.mark.parametrize("pieces", ["events", "whole", "bytes:4", "random:2"])
def test_a_cut_may_fall_inside_an_event(pieces: str) -> None:
    laid = plan(CutFault(bytes=12), pieces=pieces)
    assert b"".join(send.data for send in laid.sends) == BODY[:12]
    assert laid.sends[-1].events == 1


def test_a_cut_before_everything_leaves_an_empty_body() -> None:
    assert sends(plan(ResetFault(after=0))) == []
    assert sends(plan(ResetFault(bytes=0), pieces="whole")) == []


def test_a_cut_behind_the_end_comes_after_the_whole_body() -> None:
    assert b"".join(send.data for send in plan(CloseFault(after=99)).sends) == BODY
    assert b"".join(send.data for send in plan(CloseFault(bytes=999)).sends) == BODY


def test_a_stall_delays_what_lies_behind_it() -> None:
    assert [send.at for send in plan(StallFault(after=1, seconds=5)).sends] == [0.0, 5.1, 5.2]
    laid = plan(StallFault(bytes=12, seconds=5))
    assert sends(laid)[1:3] == [(0.1, EVENTS[1][:3], 1), (5.1, EVENTS[1][3:], 2)]


@pytest.mark.parametrize("pieces", ["events", "whole", "bytes:7", "random:1"])
def test_a_stall_for_ever_keeps_back_only_what_lies_behind_it(pieces: str) -> None:
    laid = plan(StallFault(after=2), pieces=pieces)
    assert b"".join(send.data for send in laid.sends if send.at < FOREVER) == BODY[:19]
    assert laid.end_at == FOREVER


def test_a_stall_and_a_cut_work_together() -> None:
    laid = plan(StallFault(after=1, seconds=5), ResetFault(after=2))
    assert [send.at for send in laid.sends] == [0.0, 5.1]
    assert (laid.end, laid.end_at) == ("reset", 5.1)


def test_a_corrupt_event_has_lost_its_second_half() -> None:
    assert [send.data for send in plan(CorruptFault(after=1)).sends] == [EVENTS[0], b"data\n\n", EVENTS[2]]


def test_a_slow_head_and_a_wrong_type_change_only_the_head() -> None:
    laid = plan(SlowHeadFault(seconds=3), ContentTypeFault(value="text/html"), pace=Pace(head_ms=500))
    assert laid.head_at == 3.5
    assert laid.headers == {"content-type": "text/html"}
    assert plan(SlowHeadFault()).head_at == FOREVER
    assert b"".join(send.data for send in laid.sends) == BODY


def test_an_empty_body_has_nothing_to_cut() -> None:
    for pieces in ("events", "whole", "bytes:3", "random:1"):
        laid = plan(pieces=pieces, content=Content((), "text/event-stream"))
        assert (laid.sends, laid.end_at) == ((), 0.0)
