"""Conversations on real sockets, with a scripted upstream."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from gateway_site import run
from played import scenario
from raw_client import RawClient
from talk_site import BASES, INTENT, SESSIONS, STREAM, SUGGESTIONS, WHOLE, frames, of, talk, text_of

ANSWER: dict[str, Any] = {"text": "It is sunny in Rome.", "usage": {"input_tokens": 9, "output_tokens": 6}}
SCRIPT = scenario(INTENT, SUGGESTIONS, ANSWER)
QUIET: dict[str, Any] = {"intent": False, "suggestions": False}


@pytest.mark.parametrize("dialect", sorted(BASES))
def test_a_message_is_answered_with_its_context_and_suggestions(dialect: str) -> None:
    async def main() -> list[dict[str, Any]]:
        async with talk(SCRIPT, dialect) as there:
            return await there.say("Weather in Rome?")

    events = run(main())
    assert events[0]["status"] == "processing"
    assert text_of(events) == "It is sunny in Rome."
    assert len(of(events, "chunk")) > 1
    (context,) = of(events, "context")
    assert (context["intent"], context["entities"], context["updated"]) == ("ask_weather", {"city": "Rome"}, True)
    end = events[-1]
    assert end["type"] == "complete"
    assert end["suggestions"] == ["And tomorrow?", "In Milan?", "Thanks!"]
    assert end["session_id"].startswith("ses_")
    assert end["session_id"] == events[0]["session_id"]
    assert end["message_id"] == events[0]["message_id"]
    assert end["message_id"].startswith("msg_")
    assert end["usage"] == {"input_tokens": 9, "output_tokens": 6, "total_tokens": 15}
    assert end["metrics"]["chunks"] == len(of(events, "chunk"))
    assert end["metrics"]["ttft_ms"] <= end["metrics"]["duration_ms"]
    assert (end["finish_reason"], end["model"]) == ("stop", "up/m")
    moments = [datetime.strptime(event["timestamp"], "%Y-%m-%dT%H:%M:%S.%f%z") for event in events]
    assert moments == sorted(moments)


def test_a_whole_answer_says_the_same() -> None:
    async def main() -> None:
        async with talk(SCRIPT) as there:
            status, body = await there.post(message="Weather in Rome?")
            assert status == 200
            assert body["message"] == "It is sunny in Rome."
            assert len(body["suggestions"]) == 3
            assert (body["intent"], body["entities"]) == ("ask_weather", {"city": "Rome"})
            assert body["session_id"].startswith("ses_")

    run(main())


def test_a_conversation_goes_on_and_can_be_read_and_forgotten() -> None:
    async def main() -> None:
        async with talk(SCRIPT, system="Be brief.") as there:
            first = (await there.say("Weather in Rome?"))[-1]
            session_id = first["session_id"]
            again = await there.say("And now?", session_id=session_id)
            assert again[-1]["session_id"] == session_id
            assert of(again, "context")[0]["updated"] is False
            asked = [body for body in there.requests if body["messages"][-1]["content"] == "And now?"]
            assert [message["content"] for message in asked[0]["messages"]] == [
                "Be brief.",
                "Weather in Rome?",
                "It is sunny in Rome.",
                "And now?",
            ]
            _, listed = await there.ask("GET", SESSIONS)
            (one,) = listed["sessions"]
            assert (one["id"], one["title"], one["message_count"]) == (session_id, "Weather in Rome?", 4)
            _, found = await there.ask("GET", f"{SESSIONS}/{session_id}")
            assert [(said["role"], said["content"]) for said in found["messages"]] == [
                ("user", "Weather in Rome?"),
                ("assistant", "It is sunny in Rome."),
                ("user", "And now?"),
                ("assistant", "It is sunny in Rome."),
            ]
            assert found["messages"][1]["id"] == first["message_id"]
            assert found["messages"][1]["suggestions"] == first["suggestions"]
            assert found["context"] == {"intent": "ask_weather", "entities": {"city": "Rome"}}
            assert found["running"] is None
            run_id = found["messages"][1]["run_id"]
            assert await there.ask("DELETE", f"{SESSIONS}/{session_id}") == (200, {"deleted": True})
            assert (await there.ask("GET", f"{SESSIONS}/{session_id}"))[0] == 404
            assert (await there.ask("DELETE", f"{SESSIONS}/{session_id}"))[0] == 404
            assert (await there.ask("GET", f"{STREAM}/{run_id}"))[0] == 404
            assert (await there.post(message="Hello?", session_id=session_id))[0] == 404

    run(main())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/conversation/bob/sessions/{session}"),
        ("DELETE", "/api/conversation/bob/sessions/{session}"),
        ("POST", "/api/conversation/bob/sessions/{session}/stop"),
        ("GET", "/api/conversation-stream/bob/{run}"),
        ("GET", "/api/v1/stream/{run}"),
        ("GET", "/api/v1/runs/{run}/events"),
        ("POST", "/api/v1/runs/{run}/cancel"),
    ],
)
def test_another_users_conversation_is_not_there(method: str, path: str) -> None:
    async def main() -> None:
        async with talk(SCRIPT, **QUIET) as there, RawClient(there.gateway.address) as client:
            await client.ask("POST", STREAM, b'{"message": "Secret"}')
            names = {"session": client.headers["x-millstream-session"], "run": client.headers["x-millstream-run"]}
            status, body = await there.ask(method, path.format(**names))
            assert status == 404
            assert "Secret" not in json.dumps(body)
            assert (await there.ask("GET", "/api/conversation/bob/sessions"))[1] == {"sessions": []}
            assert len((await there.ask("GET", SESSIONS))[1]["sessions"]) == 1
            status, _ = await there.post("/api/conversation/bob", message="Hi", session_id=names["session"])
            assert status == 404

    run(main())


def test_a_run_is_heard_again_from_its_beginning() -> None:
    async def main() -> None:
        async with talk(SCRIPT) as there, RawClient(there.gateway.address) as client:
            _, first = await client.ask("POST", STREAM, b'{"message": "Weather?"}')
            run_id = client.headers["x-millstream-run"]
            _, again = await client.ask("GET", f"{STREAM}/{run_id}")
            assert again == first

    run(main())


def test_both_asides_can_be_turned_off() -> None:
    async def main() -> None:
        async with talk(SCRIPT, **QUIET) as there:
            events = await there.say()
            assert [event["type"] for event in events if event["type"] != "chunk"] == ["status", "complete"]
            assert events[-1]["suggestions"] == []
            assert len(there.requests) == 1

    run(main())


def test_asides_are_asked_of_the_small_model_for_json_of_a_schema() -> None:
    async def main() -> None:
        async with talk(SCRIPT, small_model="up/tiny") as there:
            await there.say("Weather?", model="up/big")
            models = sorted((body["model"], "response_format" in body) for body in there.requests)
            assert models == [("big", False), ("tiny", True), ("tiny", True)]

    run(main())


@pytest.mark.parametrize(
    "broken",
    [
        {"text": "I would rather not."},
        {"fault": {"kind": "status", "status": 400}},
        {"text": "", "fault": {"kind": "stall", "after": 0}},
        {"text": '{"intent": "half', "fault": {"kind": "cut", "after": 3}},
    ],
)
def test_an_aside_that_fails_costs_nothing_but_itself(broken: dict[str, Any]) -> None:
    async def main() -> None:
        script = scenario({**INTENT, **broken}, {**SUGGESTIONS, **broken}, ANSWER)
        async with talk(script, aside_timeout=0.5) as there:
            events = await there.say()
            assert not of(events, "context")
            assert text_of(events) == ANSWER["text"]
            assert (events[-1]["type"], events[-1]["suggestions"]) == ("complete", [])

    run(main())


def test_what_the_app_knows_is_told_to_the_model_and_not_kept_as_a_message() -> None:
    async def main() -> None:
        async with talk(SCRIPT, **QUIET) as there:
            await there.say("Is it in stock?", context={"page": "/shoes/42"})
            system = there.requests[0]["messages"][0]
            assert system["role"] == "system"
            assert '{"page":"/shoes/42"}' in system["content"]

    run(main())


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 400, "message"),
        ({"message": " \n"}, 400, "message"),
        ({"message": 7}, 400, "message"),
        ({"message": "x" * 101}, 413, "101 characters"),
        ({"message": "x", "context": {"a": "y" * 100}}, 413, "context"),
        ({"message": "x", "session_id": "ses_unknown"}, 404, "no conversation"),
        ({"message": "x", "session_id": "../../etc"}, 404, "no conversation"),
        ({"message": "x", "model": "nowhere"}, 404, "no model"),
        ({"resume": True}, 400, "session_id"),
        ({"message": "x", "resume": True, "session_id": "s"}, 400, "either"),
    ],
)
@pytest.mark.parametrize("path", [STREAM, WHOLE])
def test_what_cannot_be_answered_is_refused_with_its_reason(
    path: str, body: dict[str, Any], status: int, said: str
) -> None:
    async def main() -> None:
        async with talk(SCRIPT, max_message=100, max_context=100) as there:
            found, error = await there.post(path, **body)
            assert (found, error["type"]) == (status, "error")
            assert said in error["message"]
            assert (await there.ask("GET", SESSIONS))[1] == {"sessions": []}
            assert there.requests == []

    run(main())


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"message":' + b"[" * 100_000])
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    async def main() -> None:
        async with talk(SCRIPT) as there, RawClient(there.gateway.address) as client:
            status, said = await client.ask("POST", STREAM, body)
            assert (status, json.loads(said)["type"]) == (400, "error")

    run(main())


def test_a_user_who_has_too_many_conversations_loses_the_oldest() -> None:
    async def main() -> None:
        async with talk(SCRIPT, max_sessions=2, **QUIET) as there:
            for number in range(4):
                await there.say(f"Question {number}?")
            _, listed = await there.ask("GET", SESSIONS)
            assert [one["title"] for one in listed["sessions"]] == ["Question 3?", "Question 2?"]

    run(main())


def test_a_conversation_that_is_full_says_so() -> None:
    async def main() -> None:
        async with talk(SCRIPT, max_messages=2, **QUIET) as there:
            session_id = (await there.say())[-1]["session_id"]
            status, error = await there.post(message="More?", session_id=session_id)
            assert (status, error["code"]) == (409, "session_full")

    run(main())


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
def test_who_says_too_much_is_told_when_to_come_back(accept: str) -> None:
    async def main() -> None:
        async with talk(SCRIPT, messages_per_minute=2, **QUIET) as there:
            for _ in range(2):
                assert (await there.post(message="Hi"))[0] == 200
            async with RawClient(there.gateway.address) as client:
                status, data = await client.ask("POST", STREAM, b'{"message": "Hi"}', {"accept": accept})
                assert status == 429
                assert 1 <= int(client.headers["retry-after"]) <= 60
                streamed = accept == "text/event-stream"
                assert client.headers["content-type"].startswith(accept)
                (error,) = frames(data) if streamed else [json.loads(data)]
                assert (error["type"], error["code"], error["retryable"]) == ("error", "rate_limit_exceeded", True)
                assert 0 < error["retry_after"] <= int(client.headers["retry-after"])
            assert (await there.post("/api/conversation/bob", message="Hi"))[0] == 200
            assert len(there.requests) == 3

    run(main())


def test_only_so_much_of_the_past_is_told() -> None:
    async def main() -> None:
        async with talk(SCRIPT, history_tokens=70, **QUIET) as there:
            session_id = (await there.say("Question 0?"))[-1]["session_id"]
            for number in range(1, 8):
                await there.say(f"Question {number}?", session_id=session_id)
            told = there.requests[-1]["messages"]
            assert told[0]["role"] == "user"
            assert 1 < len(told) < 8
            assert told[-1]["content"] == "Question 7?"
            assert told[-3]["content"] == "Question 6?"

    run(main())


def test_what_is_told_no_longer_is_summed_up() -> None:
    async def main() -> None:
        summary = {"when": {"contains": "You keep the memory"}, "text": "They ask for Rome."}
        script = scenario(summary, ANSWER)
        async with talk(script, history_tokens=70, history="summarise", **QUIET) as there:
            session_id = (await there.say("Question 0?"))[-1]["session_id"]
            for number in range(1, 10):
                await there.say(f"Question {number}?", session_id=session_id)
            answers = [body for body in there.requests if "You keep the memory" not in json.dumps(body)]
            told = answers[-1]["messages"]
            assert "They ask for Rome." in told[0]["content"]
            summaries = [json.dumps(body) for body in there.requests if "You keep the memory" in json.dumps(body)]
            assert "The memory so far:\\nThey ask for Rome." in summaries[-1]
            everything = "".join(summaries) + json.dumps(told)
            assert all(f"Question {number}?" in everything for number in range(10))

    run(main())


@pytest.mark.parametrize("user", ["J%C3%BCrgen", "a%20b", "ann%40example.com", "%2e%2e"])
def test_users_may_be_called_anything(user: str) -> None:
    async def main() -> None:
        async with talk(SCRIPT, **QUIET) as there:
            assert (await there.post(f"/api/conversation/{user}", message="Hi"))[0] == 200
            assert len((await there.ask("GET", f"/api/conversation/{user}/sessions"))[1]["sessions"]) == 1

    run(main())


@pytest.mark.parametrize("user", ["a%00b", "a%0d%0aset-cookie:%20x", "x" * 129])
def test_but_not_what_could_harm_a_log_or_a_header(user: str) -> None:
    async def main() -> None:
        async with talk(SCRIPT) as there:
            status, error = await there.post(f"/api/conversation/{user}", message="Hi")
            assert (status, error["type"]) == (400, "error")

    run(main())
