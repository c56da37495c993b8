"""What becomes of an answer when models fail, users leave, and gateways die."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gateway_site import Site, run
from played import scenario
from raw_client import RawClient
from raw_upstream import Call
from talk_site import SESSIONS, STREAM, Talk, frames, of, talk, text_of
from wires import ChatWire

from millstream.config import Config, ConversationConfig, ProviderConfig, SessionsConfig
from millstream.testing.gateway import GatewayThread
from millstream.testing.upstream import replay_server

QUIET: dict[str, Any] = {"intent": False, "suggestions": False}
GOOD = scenario({"text": "From the second."})
WIRE = ChatWire()


def second(url: str) -> dict[str, ProviderConfig]:
    provider = ProviderConfig(dialect="anthropic", base_url=url, default_model="m2", api_key="k")
    return {"second": provider}


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "cut", "after": 0},
        {"kind": "error_event", "after": 0},
        {"kind": "corrupt", "after": 0},
        {"kind": "close", "after": 0},
    ],
)
@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic", "gemini"])
def test_where_streaming_fails_the_whole_reply_is_asked_for(dialect: str, fault: dict[str, Any]) -> None:
    async def main() -> None:
        script = scenario(
            {"when": {"stream": True}, "text": "Never heard.", "fault": fault},
            {"when": {"stream": False}, "text": "All at once."},
        )
        async with talk(script, dialect, **QUIET) as there:
            events = await there.say()
            assert text_of(events) == "All at once."
            assert events[-1]["type"] == "complete"
            (switched,) = [event for event in of(events, "status") if event["status"] == "switched"]
            assert "whole reply" in switched["message"]

    run(main())


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 401},
        {"kind": "status", "status": 429, "retry_after": 60},
        {"kind": "refuse"},
        {"kind": "stall", "after": 0},
        {"kind": "slow_head"},
    ],
)
def test_a_model_that_cannot_answer_is_followed_by_the_next(fault: dict[str, Any]) -> None:
    async def main() -> None:
        async with replay_server(GOOD) as other:
            script = scenario({"text": "Never heard.", "fault": fault})
            settings = {"fallback": ("second/m2",), "patience": 0.5, **QUIET}
            async with talk(script, providers=second(other.url), **settings) as there:
                events = await there.say()
                assert text_of(events) == "From the second."
                assert (events[-1]["type"], events[-1]["model"]) == ("complete", "second/m2")
                asked = [body.get("stream", False) for body in there.requests]
                whole_may_help = fault["kind"] == "refuse" or fault.get("status") == 500
                assert (False in asked) == whole_may_help
                _, found = await there.ask("GET", f"{SESSIONS}/{events[-1]['session_id']}")
                assert found["messages"][1]["model"] == "second/m2"

    run(main())


def test_an_empty_answer_is_none() -> None:
    async def main() -> None:
        async with replay_server(GOOD) as other:
            script = scenario({"raw": 'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'})
            async with talk(script, providers=second(other.url), fallback=("second/m2",), **QUIET) as there:
                assert text_of(await there.say()) == "From the second."

    run(main())


def test_where_nobody_can_answer_the_last_reason_is_told_and_the_message_can_be_sent_again() -> None:
    async def main() -> None:
        script = scenario(
            {
                "when": {"contains": "Weather?"},
                "text": "Sunny.",
                "fault": {"kind": "status", "status": 401, "times": 1},
            },
        )
        async with talk(script, **QUIET) as there:
            events = await there.say()
            error = events[-1]
            assert (error["type"], error["resumable"]) == ("error", False)
            session_id = error["session_id"]
            status, refused = await there.post(session_id=session_id, resume=True)
            assert (status, refused["code"]) == (409, "not_cut")
            again = await there.say(session_id=session_id)
            assert text_of(again) == "Sunny."
            told = [message["content"] for message in there.requests[-1]["messages"]]
            assert told == ["Weather?"]

    run(main())


def test_once_something_was_said_nobody_else_is_asked() -> None:
    async def main() -> None:
        async with replay_server(GOOD) as other:
            script = scenario({"text": "One two three four five.", "fault": {"kind": "cut", "after": 4}})
            async with talk(script, providers=second(other.url), fallback=("second/m2",), **QUIET) as there:
                events = await there.say()
                assert text_of(events)
                assert "second" not in text_of(events)
                assert (events[-1]["type"], events[-1]["resumable"]) == ("error", True)

    run(main())


def test_what_was_said_before_a_break_is_kept_and_gone_on_with() -> None:
    async def main() -> None:
        script = scenario(
            {"when": {"contains": "Go on exactly where it ended"}, "text": " and the rest."},
            {"text": "One two three four five.", "fault": {"kind": "cut", "after": 4, "times": 1}},
            {"text": "Whatever."},
        )
        async with talk(script, **QUIET) as there:
            broken = await there.say("Count.")
            session_id, said = broken[-1]["session_id"], text_of(broken)
            _, found = await there.ask("GET", f"{SESSIONS}/{session_id}")
            assert (found["messages"][1]["state"], found["messages"][1]["content"]) == ("interrupted", said)
            async with RawClient(there.gateway.address) as client:
                body = json.dumps({"session_id": session_id, "resume": True}).encode()
                _, data = await client.ask("POST", STREAM, body)
            rest = frames(data)
            assert text_of(rest) == " and the rest."
            told = there.requests[-1]["messages"]
            assert [message["role"] for message in told] == ["user", "assistant", "user"]
            assert told[1]["content"] == said
            _, found = await there.ask("GET", f"{SESSIONS}/{session_id}")
            assert len(found["messages"]) == found["message_count"] == 2
            whole = found["messages"][1]
            assert (whole["content"], whole["state"]) == (f"{said} and the rest.", "complete")
            assert whole["id"] == broken[-1]["message_id"]
            await there.say("Thanks.", session_id=session_id)
            assert there.requests[-1]["messages"][1]["content"] == f"{said} and the rest."

    run(main())


def test_or_the_user_says_something_else_and_the_model_knows_that_it_was_cut_off() -> None:
    async def main() -> None:
        script = scenario(
            {"text": "One two three four five.", "fault": {"kind": "cut", "after": 4, "times": 1}}, {"text": "Fine."}
        )
        async with talk(script, **QUIET) as there:
            broken = await there.say("Count.")
            await there.say("Never mind.", session_id=broken[-1]["session_id"])
            assert there.requests[-1]["messages"][1]["content"] == f"{text_of(broken)} [cut off here]"

    run(main())


def test_an_answer_that_is_whole_is_heard_again_when_it_is_resumed() -> None:
    async def main() -> None:
        async with talk(scenario({"text": "Hello there."}), **QUIET) as there:
            first = await there.say()
            async with RawClient(there.gateway.address) as client:
                body = json.dumps({"session_id": first[-1]["session_id"], "resume": True}).encode()
                assert frames((await client.ask("POST", STREAM, body))[1]) == first
            assert len(there.requests) == 1

    run(main())


def test_an_answer_of_too_many_pieces_is_broken_off() -> None:
    async def main() -> None:
        async with talk(scenario({"text": "word ", "repeat": 500}), max_chunks=10, **QUIET) as there:
            events = await there.say()
            assert len(of(events, "chunk")) == 10
            assert (events[-1]["type"], events[-1]["code"], events[-1]["resumable"]) == ("error", "chunk_limit", True)

    run(main())


def test_an_answer_that_takes_too_long_is_broken_off() -> None:
    async def main() -> None:
        script = scenario({"text": "One two three four.", "fault": {"kind": "stall", "after": 3}})
        async with talk(script, limit=0.5, **QUIET) as there:
            events = await there.say()
            assert (events[-1]["type"], events[-1]["code"]) == ("error", "run_limit")
            _, found = await there.ask("GET", f"{SESSIONS}/{events[-1]['session_id']}")
            assert found["messages"][1]["state"] == "interrupted"

    run(main())


class _Hand:
    """An upstream that says a piece whenever it is told to."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, call: Call) -> None:
        await call.head()
        await call.send(WIRE.start() + WIRE.text(0, "Once ", first=True))
        self.began.set()
        going, leaving = asyncio.ensure_future(self.go_on.wait()), asyncio.ensure_future(call.gone())
        await asyncio.wait({going, leaving}, return_when=asyncio.FIRST_COMPLETED)
        going.cancel()
        if leaving.done():
            self.left.set()
            return
        leaving.cancel()
        await asyncio.wait({leaving})
        await call.send(WIRE.text(0, "upon a time.") + WIRE.close(0) + WIRE.end())
        await call.end()


def _config(site: Site, sessions: SessionsConfig | None = None, **own: Any) -> Config:
    config = site.config(default_model="openai_chat-up/m", retries=0)
    return msgspec.structs.replace(
        config,
        sessions=sessions or SessionsConfig(),
        conversation=ConversationConfig(**QUIET, **own),
    )


async def _until(condition: Callable[[], Awaitable[Any]]) -> Any:
    while not (found := await condition()):
        await asyncio.to_thread(threading.Event().wait, 0.01)
    return found


@pytest.fixture(scope="module")
def site() -> Generator[Site]:
    found = Site()
    yield found
    found.close()


async def _start(there: Talk, client: RawClient) -> str:
    await client.send("POST", STREAM, b'{"message": "Tell me."}')
    assert await client.head() == 200
    await client.body.until(b"Once ")
    return client.headers["x-millstream-session"]


def test_who_leaves_ends_the_answer_and_what_was_said_is_kept(site: Site) -> None:
    async def main() -> None:
        hand = _Hand()
        with GatewayThread(_config(site)) as gateway:
            async with site.upstream(hand):
                there = Talk(gateway)
                async with RawClient(gateway.address) as client:
                    session_id = await _start(there, client)
                await hand.left.wait()

                async def kept() -> Any:
                    _, found = await there.ask("GET", f"{SESSIONS}/{session_id}")
                    return found["running"] is None and found["messages"]

                messages = await _until(kept)
                assert (messages[1]["content"], messages[1]["state"]) == ("Once ", "interrupted")

    run(main())


def test_an_answer_goes_on_without_its_reader_where_that_is_wanted(site: Site) -> None:
    async def main() -> None:
        hand = _Hand()
        with GatewayThread(_config(site, on_disconnect="detach")) as gateway:
            async with site.upstream(hand):
                there = Talk(gateway)
                async with RawClient(gateway.address) as client:
                    session_id = await _start(there, client)
                busy, error = await there.post(message="Hurry.", session_id=session_id)
                assert (busy, error["code"], error["retryable"]) == (409, "session_busy", True)
                async with RawClient(gateway.address) as client:
                    body = json.dumps({"session_id": session_id, "resume": True}).encode()
                    await client.send("POST", STREAM, body)
                    assert await client.head() == 200
                    hand.go_on.set()
                    events = frames(await client.body.rest())
                assert text_of(events) == "Once upon a time."
                assert events[-1]["type"] == "complete"

    run(main())


def test_an_answer_can_be_stopped(site: Site) -> None:
    async def main() -> None:
        hand = _Hand()
        with GatewayThread(_config(site)) as gateway:
            async with site.upstream(hand), RawClient(gateway.address) as client:
                there = Talk(gateway)
                session_id = await _start(there, client)
                assert await there.ask("POST", f"{SESSIONS}/{session_id}/stop") == (200, {"stopped": True})
                events = frames(b"data: {}\n\n" + await client.body.rest())[1:]
                assert (events[-1]["type"], events[-1]["code"]) == ("error", "cancelled")
                assert await there.ask("POST", f"{SESSIONS}/{session_id}/stop") == (200, {"stopped": False})

    run(main())


def test_a_conversation_can_be_forgotten_in_the_middle_of_an_answer(site: Site) -> None:
    async def main() -> None:
        hand = _Hand()
        with GatewayThread(_config(site)) as gateway:
            async with site.upstream(hand), RawClient(gateway.address) as client:
                there = Talk(gateway)
                session_id = await _start(there, client)
                assert await there.ask("DELETE", f"{SESSIONS}/{session_id}") == (200, {"deleted": True})
                await client.body.rest()
                assert (await there.ask("GET", SESSIONS))[1] == {"sessions": []}

    run(main())


def test_of_two_messages_at_once_one_is_answered(site: Site) -> None:
    async def main() -> None:
        async def quick(call: Call) -> None:
            await call.stream(*WIRE.answer("Yes."))

        with GatewayThread(_config(site)) as gateway:
            async with site.upstream(quick):
                there = Talk(gateway)
                _, first = await there.post(message="Hello.")
                session_id = first["session_id"]
                answers = await asyncio.gather(
                    *(there.post(message=f"And {number}?", session_id=session_id) for number in range(8))
                )
                assert {status for status, _ in answers} <= {200, 409}
                good = [body["message"] for status, body in answers if status == 200]
                _, found = await there.ask("GET", f"{SESSIONS}/{session_id}")
                assert len(found["messages"]) == 2 + 2 * len(good)
                assert good

    run(main())


def test_what_a_gateway_had_said_when_it_died_is_found_by_the_next(site: Site, tmp_path: Path) -> None:
    """The journal is copied while the answer is under way: that is all that a killed gateway leaves behind."""

    async def main() -> None:
        hand = _Hand()
        first, later = tmp_path / "first", tmp_path / "later"
        first.mkdir()
        later.mkdir()
        sessions = SessionsConfig(path=str(first / "s.db"))
        with GatewayThread(_config(site, sessions=sessions)) as gateway:
            async with site.upstream(hand), RawClient(gateway.address) as client:
                session_id = await _start(Talk(gateway), client)
                run_id = client.headers["x-millstream-run"]

                async def written() -> bool:
                    async with RawClient(gateway.address) as other:
                        await other.ask("GET", f"{SESSIONS}/{session_id}")
                    with sqlite3.connect(first / "journal.db") as source, sqlite3.connect(later / "journal.db") as goal:
                        source.backup(goal)
                        found = goal.execute(
                            "SELECT count(*) FROM entries WHERE CAST(data AS TEXT) LIKE '%Once %'"
                        ).fetchone()
                    source.close()
                    goal.close()
                    return bool(found[0])

                await _until(written)
        with sqlite3.connect(later / "journal.db") as copy:
            copy.execute("UPDATE streams SET leased_until = 0 WHERE key LIKE 'runs/%' AND sealed = 0")
        copy.close()
        again = SessionsConfig(path=str(later / "s.db"))
        with GatewayThread(_config(site, sessions=again)) as gateway:
            there = Talk(gateway)

            async def settled() -> Any:
                _, found = await there.ask("GET", f"{SESSIONS}/{session_id}")
                return found["running"] is None and found["messages"]

            messages = await _until(settled)
            assert (messages[1]["content"], messages[1]["state"]) == ("Once ", "interrupted")
            assert messages[1]["run_id"] == run_id

    run(main())
