"""Every client API on every upstream API, with a tool that runs here in between, read by the official SDKs."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import pytest
from played import DIALECTS, PlayedTransport, limited, played, scenario
from sdk_readers import READERS
from tools import Tools, says

from millstream.agent.exchange import PACE_HEADER, TOOLS_HEADER, Agent
from millstream.agent.loop import MARK
from millstream.agent.progress import Style
from millstream.agent.run import AgentOptions
from millstream.agent.toolbox import Toolbox
from millstream.core.assemble import Assembler
from millstream.core.errors import ClientFault, UpstreamFault
from millstream.core.messages import Message, ReasoningPart, TextPart
from millstream.core.repeats import Repeats
from millstream.dialects.base import ClientCall
from millstream.pipeline import Exchange, Gateway, Record
from millstream.providers.replay.scenario import Scenario
from millstream.tools.base import ToolContext

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CALL = {"name": "weather", "arguments": {"city": "Rome"}}
LOOP = scenario(
    {"when": {"last_role": "tool"}, "text": "It says {{result}}.", "usage": {"input_tokens": 30, "output_tokens": 5}},
    {"text": "Let me look.", "tool_calls": [CALL], "usage": {"input_tokens": 10, "output_tokens": 7}},
)
LINES = ["Starting", "Thinking (step 1)", "Running weather", "weather (1/1)", "Thinking (step 2)"]


class Screen:
    """Implements ``pipeline.Client``: what leaves, piece by piece."""

    def __init__(self) -> None:
        self.started = False
        self.ended = False
        self.pieces: list[bytes] = []
        self.news = asyncio.Event()

    async def start(self) -> None:
        self.started = True
        self.news.set()

    def write(self, data: bytes) -> None:
        self.pieces.append(data)
        self.news.set()

    def shortcut(self, repeats: Repeats) -> None:
        return

    async def end(self) -> None:
        self.ended = True


def call_in(dialect: str, model: str, *, stream: bool, header: str | None = "gateway", **fields: Any) -> ClientCall:
    messages = [{"role": "user", "content": "Weather?"}]
    bodies: dict[str, dict[str, Any]] = {
        "anthropic": {"max_tokens": 100, "messages": messages},
        "openai_chat": {"messages": messages, "stream_options": {"include_usage": True}},
        "openai_responses": {"input": messages},
        "gemini": {"contents": [{"role": "user", "parts": [{"text": "Weather?"}]}]},
    }
    headers = {} if header is None else {TOOLS_HEADER: header}
    if dialect == "gemini":
        return ClientCall(json.dumps({**bodies[dialect], **fields}).encode(), headers, model, stream, {"alt": "sse"})
    if not stream:
        bodies["openai_chat"].pop("stream_options")
    return ClientCall(json.dumps({"model": model, "stream": stream, **bodies[dialect], **fields}).encode(), headers)


def exchange(
    script: Scenario,
    client: str,
    upstream: str,
    tools: Tools,
    *,
    stream: bool = True,
    progress: Style = "thinking",
    **fields: Any,
) -> tuple[Exchange, PlayedTransport]:
    gateway, transports = played(script, upstream)
    agent = Agent(Toolbox([tools]), AgentOptions(max_iterations=4), progress=progress)
    call = call_in(client, f"{upstream}/m", stream=stream, **fields)
    found = agent.exchange(gateway, gateway.dialects[client], call, Record("run1", client))
    assert found is not None
    return found, transports[upstream]


def weather() -> Tools:
    return Tools().add("weather", says("sun"), CITY)


@pytest.mark.parametrize("upstream", DIALECTS)
@pytest.mark.parametrize("client", DIALECTS)
@pytest.mark.parametrize("progress", ["thinking", "text", "off"])
def test_a_streamed_reply_is_one_to_the_clients_own_sdk(client: str, upstream: str, progress: Style) -> None:
    async def main() -> list[bytes]:
        made, _ = exchange(LOOP, client, upstream, weather(), progress=progress)
        screen = Screen()
        await made.stream(screen)
        assert screen.ended
        return screen.pieces

    seen = READERS[client](limited(main()))
    lines = [f"{MARK}{line}" for line in LINES]
    if progress == "text":
        said = [line[line.index(MARK) :] for line in seen.text.split("\n") if MARK in line]
        assert said == lines
        assert "Let me look." in seen.text
        assert seen.text.endswith("It says sun.")
    elif progress == "thinking":
        assert [line for line in seen.reasoning.split("\n") if line] == lines
        assert seen.text.replace("\n", "") == "Let me look.It says sun."
    else:
        assert seen.reasoning == ""
        assert seen.text.replace("\n", "") == "Let me look.It says sun."
    assert not seen.calls
    assert seen.stop == "stop"
    assert (seen.input_tokens, seen.output_tokens) == (40, 12)


@pytest.mark.parametrize("upstream", DIALECTS)
@pytest.mark.parametrize("client", DIALECTS)
def test_a_whole_reply_has_every_turns_text_and_no_progress(client: str, upstream: str) -> None:
    async def main() -> None:
        made, _ = exchange(LOOP, client, upstream, weather(), stream=False)
        body = await made.whole()
        assembler = Assembler()
        assembler.add(played(LOOP, upstream)[0].dialects[client].parse_reply(body))
        reply = assembler.reply()
        texts = [part.text for part in reply.choices[0].parts if isinstance(part, TextPart)]
        assert "".join(texts).replace("\n", "") == "Let me look.It says sun."
        assert not any(isinstance(part, ReasoningPart) for part in reply.choices[0].parts)
        assert reply.choices[0].finish_reason == "stop"
        assert reply.usage is not None
        assert (reply.usage.input_tokens, reply.usage.output_tokens) == (40, 12)

    limited(main())


def test_head_and_first_line_leave_before_the_upstream_has_answered() -> None:
    async def main() -> None:
        script = scenario({"text": "Hi.", "fault": {"kind": "slow_head"}})
        made, _ = exchange(script, "anthropic", "openai_chat", weather())
        screen = Screen()
        task = asyncio.create_task(made.stream(screen))
        async with asyncio.timeout(10):
            while b"Thinking" not in b"".join(screen.pieces):
                screen.news.clear()
                await screen.news.wait()
        assert screen.started
        assert b"Starting" in screen.pieces[0]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    limited(main())


def test_without_progress_an_upstreams_refusal_is_still_an_error_of_its_own() -> None:
    async def main() -> None:
        script = scenario({"fault": {"kind": "status", "status": 401}})
        made, _ = exchange(script, "anthropic", "openai_chat", weather(), progress="off")
        screen = Screen()
        with pytest.raises(UpstreamFault) as refused:
            await made.stream(screen)
        assert refused.value.status == 401
        assert not screen.started

    limited(main())


@pytest.mark.parametrize("client", DIALECTS)
def test_with_progress_a_refusal_is_the_reply_s_last_event(client: str) -> None:
    async def main() -> list[bytes]:
        script = scenario({"fault": {"kind": "status", "status": 401}})
        made, _ = exchange(script, client, "openai_chat", weather())
        screen = Screen()
        await made.stream(screen)
        assert screen.ended
        assert made.record.error is not None
        return screen.pieces

    pieces = limited(main())
    assert b"error" in pieces[-1]
    with pytest.raises(Exception, match=r".+"):
        READERS[client](pieces)


def test_a_broken_call_costs_one_more_round() -> None:
    async def main() -> list[bytes]:
        async def work(arguments: Mapping[str, Any], _: ToolContext) -> str:
            return str(arguments["city"])

        script = scenario(
            {"when": {"turn": 1}, "tool_calls": [{"name": "weather", "arguments": '{"city'}]},
            {"when": {"turn": 2}, "tool_calls": [CALL]},
            {"text": "{{result}}"},
        )
        made, _ = exchange(script, "openai_chat", "anthropic", Tools().add("weather", work, CITY))
        screen = Screen()
        await made.stream(screen)
        return screen.pieces

    seen = READERS["openai_chat"](limited(main()))
    assert seen.text == "Rome"
    assert "weather failed (1/1)" in seen.reasoning


def test_lines_of_progress_that_come_back_are_not_shown_to_the_model() -> None:
    async def main() -> PlayedTransport:
        script = scenario({"text": "Hi."})
        said = f"{MARK}Starting\n{MARK}Thinking (step 1)\nHello.\n{MARK}weather (1/1)\nDone."
        messages = [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": said},
            {"role": "user", "content": "b"},
        ]
        made, transport = exchange(script, "openai_chat", "anthropic", weather(), messages=messages)
        await made.stream(Screen())
        return transport

    transport = limited(main())
    sent: tuple[Message, ...] = transport.requests[0].messages
    assert [part.text for part in sent[1].parts if isinstance(part, TextPart)] == ["Hello.\nDone."]


def test_thinking_that_was_progress_comes_back_from_an_anthropic_client_and_is_left_out() -> None:
    async def main() -> PlayedTransport:
        made, _ = exchange(LOOP, "anthropic", "openai_chat", weather())
        screen = Screen()
        await made.stream(screen)
        assembler = Assembler()
        parser = made._dialect.parser()  # what the client has, it gives back
        assembler.add([*parser.feed(b"".join(screen.pieces)), *parser.finish()])
        blocks: list[dict[str, Any]] = []
        for part in assembler.reply().choices[0].parts:
            if isinstance(part, ReasoningPart):
                assert part.signature is not None
                blocks.append({"type": "thinking", "thinking": part.text, "signature": part.signature.value})
            elif isinstance(part, TextPart):
                blocks.append({"type": "text", "text": part.text})
        assert [block["type"] for block in blocks] == ["thinking", "text", "thinking", "text"]
        messages = [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": blocks},
            {"role": "user", "content": "b"},
        ]
        again, transport = exchange(scenario({"text": "Hi."}), "anthropic", "anthropic", weather(), messages=messages)
        await again.stream(Screen())
        return transport

    sent = limited(main()).requests[0].messages
    assert [type(part).__name__ for part in sent[1].parts] == ["TextPart", "TextPart"]


def gateway_only() -> Gateway:
    return played(LOOP, "openai_chat")[0]


@pytest.mark.parametrize(
    ("by_default", "header", "here"),
    [(False, None, False), (True, None, True), (True, "client", False), (False, "gateway", True)],
)
def test_a_header_says_who_runs_tools(by_default: bool, header: str | None, here: bool) -> None:
    gateway = gateway_only()
    agent = Agent(Toolbox([weather()]), by_default=by_default)
    call = call_in("openai_chat", "openai_chat/m", stream=True, header=header)
    found = agent.exchange(gateway, gateway.dialects["openai_chat"], call, Record("r", "openai_chat"))
    assert (found is not None) == here


def test_a_header_that_says_something_else_is_refused() -> None:
    gateway = gateway_only()
    call = call_in("openai_chat", "openai_chat/m", stream=True, header="server")
    with pytest.raises(ClientFault, match="neither client nor gateway"):
        Agent(Toolbox([weather()])).exchange(gateway, gateway.dialects["openai_chat"], call, Record("r", "x"))


@pytest.mark.parametrize("client", DIALECTS)
def test_a_burst_leaves_word_by_word_where_that_is_asked_for(client: str) -> None:
    """The client has no tool that runs here; the whole answer comes in one read."""
    sentence = "Seven small boats go down the river."
    script = scenario({"text": sentence, "words": 100})

    async def main() -> list[bytes]:
        gateway, _ = played(script, "openai_chat")
        call = call_in(client, "openai_chat/m", stream=True, header=None)
        assert Agent().exchange(gateway, gateway.dialects[client], call, Record("run1", client)) is None
        call = dataclasses.replace(call, headers={PACE_HEADER: "word"})
        made = Agent().exchange(gateway, gateway.dialects[client], call, Record("run1", client))
        assert made is not None
        screen = Screen()
        await made.stream(screen)
        assert screen.ended
        return screen.pieces

    pieces = limited(main())
    assert READERS[client](pieces).text == sentence
    assert sum(any(word.encode() in piece for word in sentence.split()) for piece in pieces) >= len(sentence.split())


def test_a_pace_that_does_not_exist_is_named() -> None:
    gateway, _ = played(LOOP, "openai_chat")
    call = call_in("anthropic", "openai_chat/m", stream=True, header=None)
    call = dataclasses.replace(call, headers={PACE_HEADER: "slowly"})
    with pytest.raises(ClientFault, match="x-millstream-pace: 'slowly' is none of off, word and char"):
        Agent().exchange(gateway, gateway.dialects["anthropic"], call, Record("run1", "anthropic"))
