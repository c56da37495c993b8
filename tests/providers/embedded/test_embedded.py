"""The real model, in its real process: what it answers, and what becomes of it when it is not let finish."""

import asyncio
import json
import os
import signal
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from millstream.core.errors import Kind, UpstreamFault
from millstream.dialects.base import UpstreamRequest
from millstream.providers.embedded import EmbeddedOptions, EmbeddedTransport
from millstream.providers.embedded.transport import EmbeddedReply

LIMIT_S = 120
"""For a machine that does many other things at once; nothing here waits for it to pass."""

LONG_PROMPT = "word and " * 2000


def request(prompt: str = "Tell me about rivers.", **fields: Any) -> UpstreamRequest:
    body = {"messages": [{"role": "user", "content": prompt}], "max_tokens": 24, "temperature": 0, **fields}
    return UpstreamRequest("/chat/completions", json.dumps(body).encode())


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    """One event loop for all tests here: they share a loaded model."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def embedded(model: Path, loop: asyncio.Runner) -> Iterator[EmbeddedTransport]:
    transport = EmbeddedTransport(EmbeddedOptions(slots=2, queue=1))
    loop.run(transport.load())
    yield transport
    loop.run(transport.aclose())


@asynccontextmanager
async def opened(transport: EmbeddedTransport, asked: UpstreamRequest, stream: bool) -> AsyncIterator[EmbeddedReply]:
    async with asyncio.timeout(LIMIT_S):
        reply = await transport.open(asked, stream=stream)
        try:
            yield reply
        finally:
            reply.close()


async def whole(transport: EmbeddedTransport, asked: UpstreamRequest) -> dict[str, Any]:
    async with opened(transport, asked, False) as reply:
        result: dict[str, Any] = json.loads(await reply.read_all(10**6))
        return result


def chunks(stream: bytes) -> list[dict[str, Any]]:
    lines = [line[6:] for line in stream.splitlines() if line.startswith(b"data: ")]
    assert lines.pop() == b"[DONE]"
    return [json.loads(line) for line in lines]


def busy_slots(transport: EmbeddedTransport) -> int:
    """What llama.cpp itself says it is working on."""
    process = transport._process
    assert process is not None
    asked = urllib.request.Request(f"{process.address}/slots", headers={"authorization": f"Bearer {process.key}"})
    with urllib.request.urlopen(asked, timeout=LIMIT_S) as answer:
        return sum(slot["is_processing"] for slot in json.load(answer))


async def idle(transport: EmbeddedTransport) -> None:
    async with asyncio.timeout(LIMIT_S):
        while await asyncio.to_thread(busy_slots, transport):
            pass


def pid_of(transport: EmbeddedTransport) -> int:
    assert transport._process is not None
    assert transport._process._process is not None
    return transport._process._process.pid


def test_a_stream_brings_its_tokens_one_by_one_and_their_usage(
    embedded: EmbeddedTransport, loop: asyncio.Runner
) -> None:
    async def main() -> tuple[bytes, int]:
        asked = request(stream=True, stream_options={"include_usage": True})
        async with opened(embedded, asked, True) as reply:
            assert reply.status == 200
            assert reply.headers["content-type"] == "text/event-stream"
            pieces = []
            while data := await reply.read():
                pieces.append(data)
            return b"".join(pieces), len(pieces)

    stream, reads = loop.run(main())
    assert b"prompt_progress" not in stream
    found = chunks(stream)
    deltas = [chunk["choices"][0]["delta"] for chunk in found if chunk["choices"]]
    assert [delta["role"] for delta in deltas if "role" in delta] == ["assistant"]
    text = "".join(delta.get("content") or "" for delta in deltas)
    assert "river" in text.lower()
    assert found[-1]["usage"]["completion_tokens"] == 24
    assert found[-1]["usage"]["prompt_tokens"] == 35
    assert {chunk["model"] for chunk in found} == {"smollm2-135m-instruct"}
    assert reads > 12, "tokens came in heaps"


def test_a_whole_answer_comes_as_json(embedded: EmbeddedTransport, loop: asyncio.Runner) -> None:
    reply = loop.run(whole(embedded, request()))
    assert reply["choices"][0]["finish_reason"] == "length"
    assert "river" in reply["choices"][0]["message"]["content"].lower()


def test_a_schema_binds_the_answer(embedded: EmbeddedTransport, loop: asyncio.Runner) -> None:
    schema = {
        "type": "object",
        "properties": {"river": {"type": "string", "maxLength": 12}, "long": {"type": "boolean"}},
        "required": ["river", "long"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "river", "schema": schema}}
    reply = loop.run(whole(embedded, request(response_format=wanted, max_tokens=80)))
    assert set(json.loads(reply["choices"][0]["message"]["content"])) == {"river", "long"}


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_forced_tool_is_called_once_with_arguments_of_its_schema(
    embedded: EmbeddedTransport, loop: asyncio.Runner, choice: object
) -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = {"name": "get_weather", "description": "Weather of a city", "parameters": parameters}
    asked = request(
        "What is the weather in Paris?",
        tools=[{"type": "function", "function": tool}],
        tool_choice=choice,
        max_tokens=100,
    )
    choice_made = loop.run(whole(embedded, asked))["choices"][0]
    assert choice_made["finish_reason"] == "tool_calls"
    (call,) = choice_made["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert set(json.loads(call["function"]["arguments"])) == {"city"}


def test_a_prompt_beyond_the_context_is_refused_with_its_length(
    embedded: EmbeddedTransport, loop: asyncio.Runner
) -> None:
    with pytest.raises(UpstreamFault) as caught:
        loop.run(embedded.open(request("word and " * 9000), stream=True))
    assert caught.value.kind is Kind.CONTEXT_LENGTH
    assert "18031 tokens > 8192 maximum" in caught.value.message


def test_an_image_is_refused_in_plain_words(embedded: EmbeddedTransport, loop: asyncio.Runner) -> None:
    parts = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    body = json.dumps({"messages": [{"role": "user", "content": parts}]}).encode()
    with pytest.raises(UpstreamFault, match="reads text only") as caught:
        loop.run(embedded.open(UpstreamRequest("/chat/completions", body), stream=True))
    assert caught.value.kind is Kind.INVALID_REQUEST
    assert not caught.value.retryable


def test_tokens_are_counted_by_the_models_own_tokenizer(embedded: EmbeddedTransport, loop: asyncio.Runner) -> None:
    assert loop.run(embedded.count_tokens("hello world")) == 2
    counted = loop.run(embedded.count_tokens(request().body))
    assert counted == loop.run(whole(embedded, request()))["usage"]["prompt_tokens"]


def test_closing_a_reply_ends_its_generation(embedded: EmbeddedTransport, loop: asyncio.Runner) -> None:
    async def main() -> None:
        async with opened(embedded, request(max_tokens=8000, stream=True, ignore_eos=True), True) as reply:
            await reply.read()
            assert await asyncio.to_thread(busy_slots, embedded) == 1
            reply.close()
            reply.close()
        await idle(embedded)  # 8000 tokens would take longer than the limit

    loop.run(main())


def test_closing_a_reply_while_its_prompt_is_read_ends_that_beside_another_stream(
    embedded: EmbeddedTransport, loop: asyncio.Runner
) -> None:
    async def main() -> None:
        async with (
            opened(embedded, request(max_tokens=8000, stream=True, ignore_eos=True), True) as other,
            opened(embedded, request(LONG_PROMPT, stream=True), True) as reply,
        ):
            assert b"assistant" in await reply.read()
            reply.close()
            async with asyncio.timeout(LIMIT_S):
                while await asyncio.to_thread(busy_slots, embedded) > 1:
                    assert await other.read()
        await idle(embedded)

    loop.run(main())


def test_cancelling_a_request_that_waits_frees_its_place(embedded: EmbeddedTransport, loop: asyncio.Runner) -> None:
    async def main() -> None:
        long = request(max_tokens=8000, stream=True, ignore_eos=True)
        async with opened(embedded, long, True), opened(embedded, long, True):
            waiting = asyncio.create_task(embedded.open(request(), stream=False))
            while not embedded._waiting:  # noqa: ASYNC110  # the test looks at what has no event of its own
                await asyncio.sleep(0)
            with pytest.raises(UpstreamFault, match="2 answers under way, 1 requests waiting") as caught:
                await embedded.open(request(), stream=False)
            assert caught.value.kind is Kind.OVERLOADED
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert embedded._waiting == 0
        assert (await whole(embedded, request()))["choices"]

    loop.run(main())


async def counting(work: Awaitable[None]) -> int:
    """How often the event loop went round while ``work`` ran."""
    rounds = 0
    task = asyncio.ensure_future(work)
    async with asyncio.timeout(LIMIT_S):
        while not task.done():
            rounds += 1
            await asyncio.sleep(0)
    await task
    return rounds


def test_the_event_loop_goes_on_while_a_model_loads_and_answers(model: Path) -> None:
    async def answer(transport: EmbeddedTransport, seen: Callable[[], None]) -> None:
        async with opened(transport, request(stream=True), True) as reply:
            while await reply.read():
                seen()

    async def main() -> tuple[int, int, int]:
        transport = EmbeddedTransport(EmbeddedOptions(slots=1, context=512))
        reads = 0

        def seen() -> None:
            nonlocal reads
            reads += 1

        loading = await counting(transport.load())
        answering = await counting(answer(transport, seen))
        await transport.aclose()
        return loading, answering, reads

    loading, answering, reads = asyncio.run(main())
    # A loop that was blocked by each load and by each token would have gone round about once for each.
    assert loading > 50
    assert answering > 20 * reads


def test_closing_ends_the_process_at_once_also_while_it_generates(model: Path) -> None:
    async def main() -> None:
        transport = EmbeddedTransport(EmbeddedOptions(slots=1, context=4096))
        async with opened(transport, request(LONG_PROMPT[:9000], stream=True), True) as reply:
            pid = pid_of(transport)
            await transport.aclose()
            with pytest.raises(UpstreamFault):
                await reply.read_all(10**6)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    asyncio.run(main())


def test_a_crash_ends_its_answers_with_a_fault_and_the_next_request_loads_anew(model: Path) -> None:
    async def main() -> None:
        transport = EmbeddedTransport(EmbeddedOptions(slots=1, context=512))
        async with opened(transport, request(max_tokens=400, stream=True), True) as reply:
            await reply.read()
            os.kill(pid_of(transport), signal.SIGKILL)
            with pytest.raises(UpstreamFault, match=r"process ended while it answered \(signal 9\)") as caught:
                await reply.read_all(10**6)
            assert caught.value.kind is Kind.TRUNCATED
        assert (await whole(transport, request(max_tokens=2)))["choices"]
        await transport.aclose()

    asyncio.run(main())


def test_requests_without_the_key_are_turned_away(embedded: EmbeddedTransport) -> None:
    assert embedded._process is not None
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{embedded._process.address}/slots", timeout=LIMIT_S)
    assert caught.value.code == 401
    caught.value.close()


def test_nothing_is_said_on_standard_error_unless_asked(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async def main(debug: bool) -> None:
        transport = EmbeddedTransport(EmbeddedOptions(slots=1, context=512, debug=debug))
        await transport.load()
        await transport.aclose()

    asyncio.run(main(False))
    assert capfd.readouterr() == ("", "")
    asyncio.run(main(True))
    assert "loading model" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file"), (b"hello", "is not a GGUF file"), (b"GGUF", "cut off or damaged")]
)
def test_a_model_that_cannot_be_loaded_is_named_with_the_reason(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "own.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UpstreamFault, match=said) as caught:
        asyncio.run(EmbeddedTransport(EmbeddedOptions(model=path)).load())
    assert str(path) in caught.value.message
    assert not caught.value.retryable


def test_what_llama_cpp_says_of_a_damaged_model_is_passed_on(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "own.gguf"
    with model.open("rb") as file:
        path.write_bytes(file.read(4_000_000))
    with pytest.raises(UpstreamFault, match=r"own\.gguf could not be loaded: .*(tensor|model|data)"):
        asyncio.run(EmbeddedTransport(EmbeddedOptions(model=path)).load())


def test_closing_ends_a_load_that_is_under_way(model: Path) -> None:
    async def main() -> None:
        transport = EmbeddedTransport(EmbeddedOptions(slots=1, context=512))
        loading = asyncio.create_task(transport.load())
        async with asyncio.timeout(LIMIT_S):
            while transport._process is None:  # noqa: ASYNC110  # the test looks at what has no event of its own
                await asyncio.sleep(0)
            await transport.aclose()
        with pytest.raises(UpstreamFault):
            await loading
        assert transport._process is None

    asyncio.run(main())


def test_a_llama_cpp_that_cannot_be_loaded_is_named_with_the_fix(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "xllamacpp.py").write_text("raise ImportError('no libgomp here')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(UpstreamFault, match=r"no libgomp here\): pip install 'millstream\[embedded\]'"):
        asyncio.run(EmbeddedTransport(EmbeddedOptions()).load())


def test_a_process_that_dies_while_it_loads_is_told(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "xllamacpp.py").write_text("import os\nos.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(UpstreamFault, match=r"its process ended \(signal 6\)"):
        asyncio.run(EmbeddedTransport(EmbeddedOptions()).load())


def test_threads_are_half_of_the_processors_unless_told() -> None:
    assert EmbeddedOptions(threads=3).thread_count == 3
    assert 1 <= EmbeddedOptions().thread_count <= max(1, (os.cpu_count() or 1) // 2)
