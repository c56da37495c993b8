"""``replay/NAME`` inside the process: bytes through the Transport protocol."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from millstream.core.errors import Kind, UpstreamFault
from millstream.dialects.base import UpstreamRequest
from millstream.providers.replay import ReplayTransport
from millstream.providers.replay.transport import ReplayReply
from millstream.registry import dialects

KNOWN = dialects()
CHAT = KNOWN["openai_chat"]


def request(model: str = "case", **fields: Any) -> UpstreamRequest:
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "hi"}], **fields}
    return UpstreamRequest("/chat/completions", json.dumps(body).encode(), {"x-own": "1"})


Check = Callable[[ReplayTransport], Awaitable[None]]


def run(folder: Path | None, check: Check, scenario: str | None = None, **limits: float) -> ReplayTransport:
    """``check`` on a transport whose ``case`` is ``scenario``."""
    if scenario is not None and folder is not None:
        (folder / "case.toml").write_text(scenario)
    transport = ReplayTransport(CHAT, folder, KNOWN, **limits)

    async def main() -> None:
        async with asyncio.timeout(20):
            await check(transport)

    asyncio.run(main())
    return transport


def content_of(stream: bytes) -> str:
    lines = [line[6:] for line in stream.splitlines() if line.startswith(b"data: {")]
    chunks = [json.loads(line) for line in lines]
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])


def test_a_name_plays_its_scenario_and_the_request_is_kept(tmp_path: Path) -> None:
    async def check(transport: ReplayTransport) -> None:
        reply = await transport.open(request(), stream=True)
        assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream")
        stream = await reply.read_all(100_000)
        assert content_of(stream) == "one two"
        assert stream.endswith(b"data: [DONE]\n\n")
        assert await reply.read() == b""
        (received,) = transport.received("case")
        assert (received.path, received.headers, received.body) == ("/chat/completions", {"x-own": "1"}, request().body)
        assert len(received.sent) == stream.count(b"\n\n")
        assert received.left is None

    run(tmp_path, check, '[[replies]]\ntext = "one two"\n')


def test_each_event_is_a_read_of_its_own(tmp_path: Path) -> None:
    async def check(transport: ReplayTransport) -> None:
        reply = await transport.open(request(), stream=True)
        while data := await reply.read():
            assert data.count(b"\n\n") == 1

    run(tmp_path, check, '[[replies]]\ntext = "a b c"\n')


def test_what_ships_plays_without_a_folder() -> None:
    async def check(transport: ReplayTransport) -> None:
        reply = await transport.open(request("hello", stream=False), stream=False)
        assert "millstream" in (await reply.read_all(100_000)).decode()

    run(None, check)


def test_the_shipped_tool_loop_closes() -> None:
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}

    async def turn(transport: ReplayTransport, messages: list[object]) -> dict[str, Any]:
        reply = await transport.open(request("tools", messages=messages, tools=[tool], stream=False), stream=False)
        message: dict[str, Any] = json.loads(await reply.read_all(100_000))["choices"][0]["message"]
        return message

    async def check(transport: ReplayTransport) -> None:
        messages: list[object] = [{"role": "user", "content": "hi"}]
        asked = await turn(transport, messages)
        (call,) = asked["tool_calls"]
        assert call["function"]["name"] == "look_up"
        result = {"role": "tool", "tool_call_id": call["id"], "content": "42"}
        answered = await turn(transport, [*messages, asked, result])
        assert answered["content"].endswith("It said: 42")

    run(None, check)


def test_faults_of_limited_times_are_over_for_the_retry(tmp_path: Path) -> None:
    async def check(transport: ReplayTransport) -> None:
        refused = await transport.open(request(), stream=True)
        assert (refused.status, refused.headers["retry-after"]) == (429, "3")
        with pytest.raises(UpstreamFault) as caught:
            await (await transport.open(request(), stream=True)).read_all(100_000)
        assert caught.value.kind is Kind.TRUNCATED
        third = await transport.open(request(), stream=True)
        assert content_of(await third.read_all(100_000)) == "done"
        assert [kept.faults for kept in transport.received("case")] == [("status", "reset"), ("reset",), ()]

    scenario = """
    [[replies]]
    text = "done"
    [[replies.fault]]
    kind = "status"
    status = 429
    retry_after = 3
    times = 1
    [[replies.fault]]
    kind = "reset"
    after = 2
    times = 2
    """
    run(tmp_path, check, scenario)


@pytest.mark.parametrize(("kind", "clean"), [("cut", True), ("close", False), ("reset", False)])
def test_an_answer_breaks_off_where_the_scenario_says(tmp_path: Path, kind: str, clean: bool) -> None:
    async def check(transport: ReplayTransport) -> None:
        reply = await transport.open(request(), stream=True)
        assert (await reply.read()).count(b"\n\n") == 1
        if clean:
            assert await reply.read() == b""
            return
        with pytest.raises(UpstreamFault, match="broke off its answer") as caught:
            await reply.read()
        assert caught.value.kind is Kind.TRUNCATED

    run(tmp_path, check, f'[[replies]]\ntext = "a b"\nfault = {{ kind = "{kind}", after = 1 }}\n')


def test_a_refused_connection_is_unreachable(tmp_path: Path) -> None:
    async def check(transport: ReplayTransport) -> None:
        with pytest.raises(UpstreamFault) as caught:
            await transport.open(request(), stream=True)
        assert caught.value.kind is Kind.UNREACHABLE

    run(tmp_path, check, '[[replies]]\nfault = { kind = "refuse" }\n')


def test_silence_runs_into_the_same_limits_as_a_real_upstreams(tmp_path: Path) -> None:
    async def stalled(transport: ReplayTransport) -> None:
        reply = await transport.open(request(), stream=True)
        await reply.read()
        with pytest.raises(UpstreamFault, match=r"sent nothing for 0\.02 s") as caught:
            await reply.read()
        assert caught.value.kind is Kind.TIMEOUT

    async def headless(transport: ReplayTransport) -> None:
        with pytest.raises(UpstreamFault, match=r"did not answer within 0\.02 s") as caught:
            await transport.open(request(), stream=True)
        assert caught.value.kind is Kind.TIMEOUT

    stall = '[[replies]]\ntext = "a b"\nfault = { kind = "stall", after = 1 }\n'
    run(tmp_path, stalled, stall, idle_timeout=0.02)
    slow = '[[replies]]\ntext = "a b"\nfault = { kind = "slow_head" }\n'
    run(tmp_path, headless, slow, head_timeout=0.02)


def test_letting_go_ends_a_wait_at_once_and_is_noted(tmp_path: Path) -> None:
    async def check(transport: ReplayTransport) -> None:
        reply = await transport.open(request(), stream=True)
        await reply.read()
        reading = asyncio.create_task(reply.read())
        await asyncio.sleep(0)
        reply.close()
        reply.close()
        with pytest.raises(UpstreamFault) as caught:
            await reading
        assert caught.value.kind is Kind.CANCELLED
        assert transport.received("case")[0].left is not None

    run(tmp_path, check, '[[replies]]\ntext = "a b"\nfault = { kind = "stall", after = 1 }\n')


def test_events_are_not_early(tmp_path: Path) -> None:
    async def check(transport: ReplayTransport) -> None:
        loop = asyncio.get_running_loop()
        asked = loop.time()
        reply = await transport.open(request(), stream=True)
        opened = loop.time()
        assert opened - asked >= 0.02
        await reply.read()
        assert loop.time() - opened >= 0.01
        await reply.read()
        assert loop.time() - opened >= 0.03

    run(tmp_path, check, 'pace = { head_ms = 21, first_ms = 11, event_ms = 20 }\n[[replies]]\ntext = "a b"\n')


def test_an_unknown_name_and_a_broken_file_are_told_apart(tmp_path: Path) -> None:
    async def check(transport: ReplayTransport) -> None:
        with pytest.raises(UpstreamFault, match="no scenario or recording 'nope'") as caught:
            await transport.open(request("nope"), stream=True)
        assert (caught.value.kind, caught.value.retryable) == (Kind.NOT_FOUND, False)
        with pytest.raises(UpstreamFault, match="txt is not a key here") as caught:
            await transport.open(request(), stream=True)
        assert (caught.value.kind, caught.value.retryable) == (Kind.INTERNAL, False)

    run(tmp_path, check, "[[replies]]\ntxt = 1\n")


def test_a_request_that_cannot_be_right_is_refused_in_the_dialects_words(tmp_path: Path) -> None:
    async def check(transport: ReplayTransport) -> None:
        reply = await transport.open(request(messages="hi"), stream=True)
        assert reply.status == 400
        assert "messages" in json.loads(await reply.read_all(10_000))["error"]["message"]

    run(tmp_path, check, '[[replies]]\ntext = "a"\n')


def test_a_scenario_starts_anew_when_its_file_changes(tmp_path: Path) -> None:
    async def check(transport: ReplayTransport) -> None:
        for text in ("first", "second one"):
            (tmp_path / "case.toml").write_text(f'[[replies]]\ntext = "{text}"\ntimes = 1\n')
            reply = await transport.open(request(), stream=True)
            assert content_of(await reply.read_all(100_000)) == text

    run(tmp_path, check)


def test_an_answer_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    async def check(transport: ReplayTransport) -> None:
        reply = await transport.open(request(), stream=True)
        with pytest.raises(UpstreamFault, match="longer than 1000 bytes"):
            await reply.read_all(1000)

    run(tmp_path, check, '[[replies]]\ntext = "word "\nrepeat = 100\n')


def test_gemini_names_its_model_in_the_path(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/case.toml").write_text('[[replies]]\ntext = "found"\n')
    body = json.dumps({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}).encode()

    async def ask(transport: ReplayTransport, method: str) -> ReplayReply:
        return await transport.open(UpstreamRequest(f"/models/deep/case:{method}", body), stream=True)

    async def main() -> None:
        transport = ReplayTransport(KNOWN["gemini"], tmp_path, KNOWN)
        streamed = await ask(transport, "streamGenerateContent?alt=sse")
        assert streamed.headers["content-type"] == "text/event-stream"
        assert b"found" in await streamed.read_all(10_000)
        array = await ask(transport, "streamGenerateContent")
        assert array.headers["content-type"] == "application/json"
        assert json.loads(await array.read_all(10_000))[0]["candidates"]
        whole = await ask(transport, "generateContent")
        assert json.loads(await whole.read_all(10_000))["candidates"]
        counted = await ask(transport, "countTokens")
        assert json.loads(await counted.read_all(10_000))["totalTokens"] > 0

    asyncio.run(main())


def test_counting_needs_no_scenario() -> None:
    body = json.dumps({"model": "none", "messages": [{"role": "user", "content": "hi"}]}).encode()

    async def main() -> None:
        transport = ReplayTransport(KNOWN["anthropic"], None, KNOWN)
        reply = await transport.open(UpstreamRequest("/v1/messages/count_tokens", body), stream=False)
        assert json.loads(await reply.read_all(1000))["input_tokens"] > 0
        await transport.aclose()
        assert transport.received("none") == []

    asyncio.run(main())
