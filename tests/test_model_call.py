"""One model call, from a canonical request to events."""

from __future__ import annotations

import pytest
from played import DIALECTS, Taken, asked, limited, played, scenario

from millstream.core import events as ev
from millstream.core.errors import ClientFault, Kind, UpstreamFault
from millstream.core.grammar import Grammar
from millstream.model_call import ModelCall
from millstream.pipeline import Record
from millstream.providers.replay.scenario import Scenario


def events_of(script: Scenario, dialect: str = "openai_chat") -> tuple[Taken, Record]:
    gateway, _ = played(script, dialect)
    taken, record = Taken(), Record("r", "test")
    limited(ModelCall(gateway, asked(f"{dialect}/m"), record).run(taken))
    grammar = Grammar()
    grammar.advance(taken.events)  # type: ignore[arg-type]  # a model call has no other events
    assert grammar.ended
    return taken, record


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_reply_of_any_upstream_is_one_stream_of_events(dialect: str) -> None:
    taken, record = events_of(scenario({"text": "Hello there."}), dialect)
    assert taken.text == "Hello there."
    assert record.route is not None
    assert record.route.name == f"{dialect}/m"
    assert record.usage is not None
    assert (record.finish_reason, record.tries, record.error) == ("stop", 1, None)
    assert record.first_content_at is not None


def test_an_upstream_that_fails_before_content_is_asked_again_and_said_to_begin_once() -> None:
    failing = {"text": "Hello.", "fault": {"kind": "error_event", "after": 1, "times": 1}}
    taken, record = events_of(scenario(failing), "anthropic")
    assert taken.text == "Hello."
    assert len(taken.of(ev.MessageStart)) == 1
    assert (record.tries, record.error) == (2, None)


def test_a_failure_after_content_is_its_last_event_and_is_not_tried_again() -> None:
    taken, record = events_of(scenario({"text": "One two three.", "fault": {"kind": "cut", "after": 4}}))
    fault = taken.of(ev.Fault)[-1]
    assert (fault.kind, fault.content_sent, record.tries) == (Kind.TRUNCATED, True, 1)
    assert record.error is not None


def test_a_failure_before_anything_was_said_is_raised_when_all_tries_are_spent() -> None:
    gateway, transports = played(scenario({"fault": {"kind": "status", "status": 529}}), "anthropic")
    taken, record = Taken(), Record("r", "test")
    with pytest.raises(UpstreamFault) as failed:
        limited(ModelCall(gateway, asked("anthropic/m"), record).run(taken))
    assert (failed.value.kind, record.tries, taken.events) == (Kind.OVERLOADED, 3, [])
    assert len(transports["anthropic"].requests) == 3


def test_a_failure_after_the_start_alone_is_an_event_when_all_tries_are_spent() -> None:
    taken, record = events_of(scenario({"text": "Hi.", "fault": {"kind": "error_event", "after": 1}}), "anthropic")
    assert [type(event) for event in taken.events] == [ev.MessageStart, ev.Fault]
    assert record.tries == 3


def test_an_unknown_model_is_refused_at_once() -> None:
    gateway, _ = played(scenario({"text": "Hi."}), "anthropic")
    with pytest.raises(ClientFault):
        ModelCall(gateway, asked("nowhere"), Record("r", "test"))
