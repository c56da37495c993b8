"""Answers that break off, at any place and as often as may be, are gone on with as if they had not."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from played import DIALECTS, Taken, asked, limited, played, scenario

from millstream.continuation import ContinuedCall
from millstream.core import events as ev
from millstream.core.errors import Kind, MillstreamError, UpstreamFault
from millstream.core.grammar import Grammar
from millstream.core.messages import Message, Reasoning, ReasoningPart, Request, ResponseFormat, TextPart, Tool, Usage
from millstream.core.run_events import Switched
from millstream.core.seam import Overlap
from millstream.dialects.base import Target, UpstreamRequest
from millstream.pipeline import Continuation, Gateway, Record
from millstream.providers.base import Sink
from millstream.registry import dialects
from millstream.upstream import Upstream

TEXT = 'One, two.  Three\n\nfour "five" \\six 🎈 seven seven seven eight.'
CALL = ("get_weather", '{"city": "Bern", "days": 3}')


class Model:
    """An upstream that says the same whatever it is asked, cut off where ``cuts`` says, once each: after so many
    characters, counted from where the request goes on. Implements ``Transport``."""

    def __init__(self, cuts: Sequence[int], *, dialect: str = "openai_chat", thought: str = "", call: bool = False):
        self.requests: list[dict[str, Any]] = []
        self._cuts = list(cuts)
        self._dialect = dialects()[dialect]
        self._thought = thought
        self._call = call
        self.echoes = False
        self.answers: int | None = None
        """It refuses all requests after so many."""

    async def open(self, request: UpstreamRequest, *, stream: bool) -> Said:
        body = json.loads(request.body)
        self.requests.append(body)
        if self.answers is not None and len(self.requests) > self.answers:
            raise UpstreamFault("it is down", Kind.INTERNAL)
        last = body["messages"][-1]
        begun = last["content"] if last["role"] == "assistant" else ""
        begun = begun if isinstance(begun, str) else begun[0]["text"]
        assert TEXT.startswith(begun), begun
        events = [*self._events("" if self.echoes else begun)]
        cut = self._cuts.pop(0) if self._cuts else len(events)
        stream_of = _chat_frames(events[: max(cut, 1)])
        return Said(stream_of if cut < len(events) else [*stream_of, b"data: [DONE]\n\n"], broken=cut < len(events))

    def _events(self, begun: str) -> list[dict[str, Any]]:
        """Deltas of Chat Completions: one for each three characters, and what else there is."""
        said: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        if not begun:
            said += [{"reasoning_content": word} for word in self._thought.split()]
        rest = TEXT[len(begun) :]
        said += [{"content": rest[at : at + 3]} for at in range(0, len(rest), 3)]
        if self._call:
            name, arguments = CALL
            said.append({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": name}}]})
            said += [
                {"tool_calls": [{"index": 0, "function": {"arguments": arguments[at : at + 5]}}]}
                for at in range(0, len(arguments), 5)
            ]
        said.append({"finish": "tool_calls" if self._call else "stop"})
        return said

    async def aclose(self) -> None:
        return


def _chat_frames(deltas: Sequence[dict[str, Any]]) -> list[bytes]:
    frames = []
    for delta in deltas:
        finish = delta.get("finish")
        choice = {"index": 0, "delta": {} if finish else delta, "finish_reason": finish}
        body: dict[str, Any] = {"id": f"c{id(deltas)}", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12} if finish else None
        frames.append(b"data: " + json.dumps({**body, "choices": [choice], "usage": usage}).encode() + b"\n\n")
    return frames


class Said:
    """Implements ``Reply``."""

    status = 200
    ended = False

    def __init__(self, frames: Sequence[bytes], *, broken: bool) -> None:
        self.headers = {"content-type": "text/event-stream"}
        self._frames = list(frames)
        self._broken = broken

    async def pour(self, sink: Sink) -> None:
        for frame in self._frames:
            if (wait := sink.take(frame)) is not None:
                await wait
            if sink.done:
                return
        if self._broken:
            raise UpstreamFault("the connection was reset", Kind.UNREACHABLE)

    async def read(self) -> bytes:
        return b""

    async def read_all(self, limit: int) -> bytes:
        raise AssertionError(limit)

    def close(self) -> None:
        return


def _gateway(model: Model, **quirks: Any) -> Gateway:
    gateway, _ = played(scenario({"text": "never"}), "openai_chat")
    upstream = gateway.upstreams["openai_chat"]
    kind = type(upstream.provider.quirks)
    provider = replace(upstream.provider, quirks=kind(**{"continues": ("*",), **quirks}))
    return replace(gateway, upstreams={"openai_chat": Upstream(provider, model)}, continuation=Continuation(most=50))


def _answer(gateway: Gateway, request: Request) -> tuple[Taken, Record]:
    assert gateway.continuation is not None
    taken, record = Taken(), Record("r", "test")
    limited(ContinuedCall(gateway, request, record, gateway.continuation).run(taken))
    grammar = Grammar()
    grammar.advance(event for event in taken.events if not isinstance(event, Switched))  # type: ignore[misc]
    assert grammar.ended
    assert len(taken.of(ev.MessageStart)) == 1
    return taken, record


def _calls(taken: Taken) -> list[tuple[str, str]]:
    names = {event.index: event.name for event in taken.of(ev.ToolCallStart)}
    pieces = taken.of(ev.ToolCallDelta)
    return [(name, "".join(one.arguments for one in pieces if one.index == at)) for at, name in names.items()]


WEATHER = Tool("get_weather", "The weather.", {"type": "object"})


@pytest.mark.parametrize("call", [False, True], ids=["text", "call"])
@pytest.mark.parametrize("echoes", [False, True], ids=["goes on", "echoes"])
def test_an_answer_cut_after_any_of_its_events_is_told_whole(call: bool, echoes: bool) -> None:
    whole = len(Model([], call=call, thought="I think so.")._events(""))
    for cut in range(2, whole):  # after the first event there is no content yet: that is tried again anyway
        model = Model([cut], call=call, thought="I think so.")
        model.echoes = echoes
        taken, record = _answer(_gateway(model, echoes=echoes), asked("openai_chat/m", tools=[WEATHER] if call else []))
        assert taken.text == TEXT, cut
        assert _calls(taken) == ([CALL] if call else []), cut
        assert record.error is None
        assert [end.reason for end in taken.of(ev.ChoiceEnd)] == ["tool_calls" if call else "stop"]
        assert len(taken.of(Switched)) == len(model.requests) - 1 == len(record.switched) == 1


@settings(max_examples=60)
@given(cuts=st.lists(st.integers(2, 25), max_size=12), echoes=st.booleans(), thinks=st.booleans())
def test_an_answer_cut_again_and_again_is_told_whole(cuts: list[int], echoes: bool, thinks: bool) -> None:
    model = Model(cuts, thought="I think." if thinks else "", call=True)
    model.echoes = echoes
    taken, _ = _answer(_gateway(model, echoes=echoes), asked("openai_chat/m", tools=[WEATHER]))
    assert taken.text == TEXT
    assert _calls(taken) == [CALL]


@settings(max_examples=200)
@given(
    text=st.text("ab \n", max_size=20),
    rest=st.text("ab \n", max_size=20),
    echoes=st.booleans(),
    splits=st.lists(st.integers(1, 5), max_size=40),
)
def test_what_is_said_again_is_left_out_however_it_is_cut_into_pieces(
    text: str, rest: str, echoes: bool, splits: list[int]
) -> None:
    given_to = text.rstrip()
    withheld = text[len(given_to) :]
    if withheld and rest[:1].isspace():
        rest = rest.lstrip()  # more white space than there was would be new, and is not what this looks at
    said_again = (given_to if echoes else "") + withheld + rest
    overlap = Overlap(given_to if echoes else "", withheld)
    got = ""
    while said_again:
        size = splits.pop() if splits else 3
        got += overlap.trimmed(said_again[:size])
        said_again = said_again[size:]
    assert got == rest


def test_a_model_that_says_no_white_space_again_loses_none() -> None:
    assert Overlap("", " ").trimmed("word") == "word"


def test_a_model_that_should_echo_but_does_not_loses_nothing() -> None:
    overlap = Overlap("The quick brown", "")
    assert "".join(overlap.trimmed(piece) for piece in ("The ", "slow", " one")) == "The slow one"


def test_what_was_said_goes_to_the_model_as_the_beginning_of_its_answer_with_what_is_left_of_its_limit() -> None:
    model = Model([12])
    _, record = _answer(_gateway(model, prefill="partial"), asked("openai_chat/m", max_tokens=100))
    first, second = model.requests
    *before, beginning = second["messages"]
    assert before == first["messages"]
    assert beginning["role"] == "assistant"
    assert beginning["partial"] is True
    assert TEXT.startswith(beginning["content"])
    assert not beginning["content"][-1:].isspace()
    assert 0 < second["max_completion_tokens"] < first["max_completion_tokens"]
    assert record.usage == Usage(7, 5)  # of the call that told


def test_the_switch_is_told_with_its_reason_where_it_happens() -> None:
    taken, _ = _answer(_gateway(Model([12])), asked("openai_chat/m"))
    place = next(number for number, event in enumerate(taken.events) if isinstance(event, Switched))
    assert taken.events[place] == Switched("openai_chat/m", "the connection was reset")
    before = "".join(event.text for event in taken.events[:place] if isinstance(event, ev.TextDelta))
    assert TEXT.startswith(before)
    assert len(before) > 10
    assert len(taken.of(ev.TextStart)) == 1, "the text goes on in its own block"


def test_thinking_that_was_cut_short_is_closed_unsigned_and_thought_anew() -> None:
    taken, _ = _answer(_gateway(Model([3], thought="One two three.")), asked("openai_chat/m"))
    assert [type(event) for event in taken.events if isinstance(event, ev.ReasoningStart | ev.ReasoningEnd)] == [
        ev.ReasoningStart,
        ev.ReasoningEnd,
        ev.ReasoningStart,
        ev.ReasoningEnd,
    ]
    assert all(end.signature is None for end in taken.of(ev.ReasoningEnd))


def _failing(change: Callable[[Request], Request], **quirks: Any) -> tuple[Taken, Model]:
    model = Model([12])
    gateway = _gateway(model, **quirks)
    taken, record = _answer(gateway, change(asked("openai_chat/m")))
    fault = taken.of(ev.Fault)[-1]
    assert (fault.kind, fault.content_sent, fault.message) == (Kind.UNREACHABLE, True, "the connection was reset")
    assert isinstance(record.error, MillstreamError)
    return taken, model


def test_a_model_that_takes_no_beginning_is_not_asked_for_a_second_half() -> None:
    _, model = _failing(lambda request: request, continues=())
    assert len(model.requests) == 1


def test_the_rest_of_a_json_object_is_not_asked_for() -> None:
    wanted = ResponseFormat("json_object")
    _, model = _failing(lambda request: msgspec.structs.replace(request, response_format=wanted))
    assert len(model.requests) == 1


def test_an_answer_that_always_breaks_off_fails_in_the_end() -> None:
    model = Model([2] * 1000)
    gateway = replace(_gateway(model), continuation=Continuation(most=3))
    taken, _ = _answer(gateway, asked("openai_chat/m"))
    assert isinstance(taken.events[-1], ev.Fault)
    assert len(model.requests) == 4


def test_another_model_goes_on_where_the_same_one_does_not_answer() -> None:
    model, spare = Model([12]), Model([])
    model.answers = 1
    gateway = _gateway(model)
    known = gateway.upstreams["openai_chat"]
    gateway = replace(
        gateway,
        upstreams={"openai_chat": known, "spare": Upstream(known.provider, spare)},
        routes=replace(gateway.routes, providers={"openai_chat": "m", "spare": "m"}),
        continuation=Continuation(("nowhere/m", "spare/m")),
    )
    taken, record = _answer(gateway, asked("openai_chat/m"))
    assert taken.text == TEXT
    assert [switch.model for switch in taken.of(Switched)] == ["spare/m"]
    assert record.route is not None
    assert record.route.name == "spare/m"
    assert len(spare.requests) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_writes_a_beginning_of_the_answer_as_its_last_word(dialect: str) -> None:
    known = dialects()[dialect]
    for origin in ("millstream", dialect):
        parts = (ReasoningPart("Hm."), TextPart("So far"))
        request = Request(origin, "m", (Message("user", (TextPart("Q"),)), Message("assistant", parts)), max_tokens=9)
        rendered = known.render_request(request, Target("m", known.quirks(), continues=True))
        assert b"So far" in rendered.body.split(b"Q")[-1]


def test_anthropic_is_not_made_to_think_on_from_a_beginning() -> None:
    known = dialects()["anthropic"]
    request = Request(
        "millstream",
        "m",
        (Message("user", (TextPart("Q"),)), Message("assistant", (ReasoningPart("Hm."), TextPart("So far")))),
        reasoning=Reasoning("enabled", budget=2000),
        max_tokens=9000,
    )
    body = json.loads(known.render_request(request, Target("m", known.quirks(), continues=True)).body)
    assert "thinking" not in body
    assert body["messages"][-1]["content"] == [{"type": "text", "text": "So far"}]
