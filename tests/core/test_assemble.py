"""A stream folded into a reply, and back."""

import pytest

from millstream.core import events as ev
from millstream.core import messages as msg
from millstream.core.assemble import Assembler, error_of, events_of
from millstream.core.errors import ClientFault, GatewayBug, Kind, MillstreamError, PolicyRefusal, UpstreamFault
from millstream.core.grammar import Grammar

REPLY = msg.Reply(
    "r1",
    "m",
    (
        msg.Choice(
            (
                msg.ReasoningPart("hm", signature=msg.Opaque("anthropic", "sig"), id="rs_1"),
                msg.ReasoningPart(redacted=msg.Opaque("anthropic", "secret")),
                msg.TextPart(
                    "It rains.",
                    citations=(msg.CitationPart("anthropic", {"x": 1}, url="http://e.org", title="E"),),
                    extra={"openai_chat": {"logprobs": {"content": [1, 2]}}},
                ),
                msg.RefusalPart("no"),
                msg.ToolCallPart("c1", "weather", '{"city":"Ulm"}', signature=msg.Opaque("gemini", "s")),
                msg.ServerToolResultPart("anthropic", "s1", {"type": "web_search_tool_result"}, "found"),
                msg.MediaPart(kind="image", media_type="image/png", data="aGk="),
                msg.UnknownPart("anthropic", {"type": "new"}),
            ),
            "tool_calls",
            extra={"anthropic": {"container": {"id": "c"}}},
        ),
    ),
    usage=msg.Usage(10, 5, cache_read_tokens=3),
    created=7,
)


def test_events_of_a_reply_are_legal_and_assemble_to_it() -> None:
    events = events_of(REPLY)
    Grammar().advance(events)
    assembler = Assembler()
    assembler.add(events)
    assert assembler.reply() == REPLY


def test_pieces_that_come_interleaved_are_joined_by_index() -> None:
    assembler = Assembler()
    assembler.add(
        [
            ev.MessageStart("r", "m"),
            ev.TextStart(0, choice=0),
            ev.TextStart(1, choice=1),
            ev.TextDelta(0, "a", extra={"openai_chat": {"logprobs": {"content": [1]}}}),
            ev.TextDelta(1, "x"),
            ev.TextDelta(0, "b", extra={"openai_chat": {"logprobs": {"content": [2]}}}),
            ev.TextEnd(1),
            ev.TextEnd(0),
            ev.ChoiceEnd(1, "length"),
            ev.ChoiceEnd(0, "stop"),
            ev.Finish(),
        ]
    )
    first, second = assembler.reply().choices
    assert first.parts == (msg.TextPart("ab", extra={"openai_chat": {"logprobs": {"content": [1, 2]}}}),)
    assert second == msg.Choice((msg.TextPart("x"),), "length")


def test_a_stream_that_failed_or_has_not_ended_has_no_reply() -> None:
    failed, unfinished = Assembler(), Assembler()
    failed.add([ev.MessageStart(), ev.Fault.of(UpstreamFault("busy", Kind.OVERLOADED, retry_after=3.0))])
    unfinished.add([ev.MessageStart()])
    with pytest.raises(UpstreamFault) as caught:
        failed.reply()
    assert (caught.value.kind, caught.value.retry_after) == (Kind.OVERLOADED, 3.0)
    with pytest.raises(UpstreamFault, match="before it was complete"):
        unfinished.reply()


@pytest.mark.parametrize("fault", [ClientFault, UpstreamFault, PolicyRefusal, GatewayBug])
def test_a_fault_keeps_its_owner_through_the_stream(fault: type[MillstreamError]) -> None:
    assert type(error_of(ev.Fault.of(fault("x")))) is fault
