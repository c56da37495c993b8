"""Client and upstream of one dialect: what passes is what came, to the byte, in both directions."""

import asyncio
import json

import pytest
from gateway_site import Site, model_of, run
from raw_upstream import Call
from wires import AnthropicWire, ChatWire, Wire

ANTHROPIC_STREAM = (
    b": a comment before everything\n\n"
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",'
    b'"model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":1,'
    b'"new_counter":3}}   }\n\n'
    b'event: ping\ndata: {"type": "ping"}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":'
    b'""}        }\n\n'
    b": keepalive\n: of two lines\n\n"
    b'event: brand_new_event\ndata: {"type":"brand_new_event","nested":{"a":[1.0,1e3,"\\u00e9"]}}\n\n'
    b'event: content_block_delta\nid: 17\nretry: 5\ndata: {"type":"content_block_delta","index":0,"delta":{"type":'
    b'"text_delta","text":"h\\u00e9 \xc3\xa9"}}\n\n'
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0     }\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"brand_new_reason",'
    b'"stop_sequence":null,"safeguard_results":[{"type":"x"}]},"usage":{"output_tokens":5}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop","amazon-bedrock-invocationMetrics":{}}\n\n'
    b"data: [DONE]\n\n"
)
CHAT_STREAM = (
    b": OPENROUTER PROCESSING\n\n"
    b'data: {"id":"gen-1","provider":"X","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":'
    b'0,"delta":{"role":"assistant","content":"","refusal":null,"brand_new":[1.0]},"finish_reason":null}],"p":"abcdef"}\n\n'
    b'data:{"id":"gen-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
    b'{"content":"h\\u00e9 \xc3\xa9"},"finish_reason":null,"native_finish_reason":null}]}\n\n'
    b'data: {"id":"gen-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},'
    b'"finish_reason":"stop"}]}\n\n'
    b": late comment\n\n"
    b'data: {"id":"gen-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{'
    b'"prompt_tokens":9,"completion_tokens":5,"total_tokens":14,"cost":0.00012}}\n\n'
    b"data: [DONE]\n\n"
)
STREAMS = [(AnthropicWire(), ANTHROPIC_STREAM), (ChatWire(), CHAT_STREAM)]
both = pytest.mark.parametrize(("wire", "stream"), STREAMS, ids=["anthropic", "openai_chat"])


def passed(site: Site, wire: Wire, pieces: list[bytes]) -> bytes:
    async def answer(call: Call) -> None:
        await call.stream(*pieces)

    async def main() -> bytes:
        async with site.upstream(answer), site.client() as sender:
            status, got = await sender.ask("POST", wire.path, wire.request(model=model_of(wire)))
            assert status == 200
            return got

    return run(main())


@both
@pytest.mark.parametrize("size", [10_000, 301, 64, 7], ids=lambda size: f"pieces-of-{size}")
def test_a_stream_passes_as_it_came_however_it_is_cut(site: Site, wire: Wire, stream: bytes, size: int) -> None:
    pieces = [stream[place : place + size] for place in range(0, len(stream), size)]
    assert passed(site, wire, pieces) == stream


@both
def test_lines_that_end_in_carriage_returns_stay_so(site: Site, wire: Wire, stream: bytes) -> None:
    crlf = stream.replace(b"\n", b"\r\n")
    assert passed(site, wire, [crlf]) == crlf
    # Also where a read ends between the two, and between the two line ends of a frame's end.
    places = [at for at in range(len(crlf)) if crlf[at : at + 1] == b"\n"]
    pieces = [crlf[a:b] for a, b in zip([0, *places], [*places, len(crlf)], strict=True) if a < b]
    assert passed(site, wire, pieces) == crlf


@both
def test_after_the_end_nothing_is_said_but_what_the_upstream_says_and_it_is_not_waited_for(
    site: Site, wire: Wire, stream: bytes
) -> None:
    async def main() -> None:
        left = asyncio.Event()

        async def answer(call: Call) -> None:
            await call.head()
            for piece in (stream, b"data: [D", b"ONE]\n", b"\n"):
                await call.send(piece)
            await call.gone()  # it never closes of its own accord
            left.set()

        async with site.upstream(answer), site.client(heartbeat=0.03) as sender:
            await sender.send("POST", wire.path, wire.request(model=model_of(wire)))
            await sender.head()
            assert await sender.body.rest() == stream + b"data: [DONE]\n\n"
            await left.wait()

    run(main())


@both
def test_a_whole_reply_passes_as_it_came(site: Site, wire: Wire, stream: bytes) -> None:
    reply = b"  " + wire.reply("h\u00e9").replace(b":", b" :  ", 3) + b"\n\n"

    async def answer(call: Call) -> None:
        assert json.loads(call.body)["stream"] is False
        await call.answer(200, reply)

    async def main() -> None:
        async with site.upstream(answer), site.client() as sender:
            body = wire.request(model=model_of(wire), stream=False)
            assert await sender.ask("POST", wire.path, body) == (200, reply)

    run(main())


@both
def test_a_request_passes_as_it_came_but_for_the_model(site: Site, wire: Wire, stream: bytes) -> None:
    """Key order, numbers as they were written, escapes, fields of tomorrow: prompt caches live on equal bytes."""
    own = f'"model":"{model_of(wire)}"'
    fields = (
        '"brand_new":{"model":"inner","a":[1.0,1e3,-0,12345678901234567890]},"stream":true,'
        + own
        + ',"max_tokens":10,"messages":[{"role":"user","content":"h\\u00e9 \u00e9 \\ud83d\\ude00 \\/"}],"null":null'
    )
    sent = "{" + fields + "}"

    async def answer(call: Call) -> None:
        await call.stream(stream)

    async def main() -> None:
        async with site.upstream(answer) as asked, site.client() as sender:
            await sender.ask("POST", wire.path, sent.encode())
            assert asked.calls[0].body.decode() == sent.replace(own, '"model":"m"')

    run(main())


def test_anthropics_headers_pass_and_credentials_do_not(site: Site) -> None:
    wire = AnthropicWire()
    sent = {
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "one-2026-01-01,two-2026-02-02",
        "x-api-key": "the-clients-own",
        "authorization": "Bearer the-clients-own",
        "cookie": "the-clients-own",
        "user-agent": "somebody/1.0",
    }

    async def answer(call: Call) -> None:
        await call.stream(ANTHROPIC_STREAM, headers={"content-type": "text/event-stream", "request-id": "req_9"})

    async def main() -> None:
        async with site.upstream(answer) as asked, site.client() as sender:
            await sender.ask("POST", wire.path + "?beta=true", wire.request(model=model_of(wire)), sent)
            headers = asked.calls[0].headers
            assert asked.calls[0].path.partition("?")[0] == "/v1/messages"
            assert headers["anthropic-version"] == "2023-06-01"
            assert headers["anthropic-beta"] == "one-2026-01-01,two-2026-02-02"
            assert "the-clients-own" not in str(headers)
            assert headers["accept-encoding"] == "identity"
            assert sender.headers["request-id"] == "req_9"
            assert sender.headers["x-millstream-id"].startswith("ms_")

    run(main())


@both
def test_what_follows_the_end_in_the_same_dialect_is_read_to_its_end(site: Site, wire: Wire, stream: bytes) -> None:
    """The upstream's connection serves the next request, and the client hears the last comment too."""
    trailing = stream + b": bye\n\n"

    async def answer(call: Call) -> None:
        await call.stream(trailing)

    async def main() -> None:
        async with site.upstream(answer) as asked, site.client() as sender:
            before = asked.connections
            for _ in range(3):
                _, got = await sender.ask("POST", wire.path, wire.request(model=model_of(wire)))
                assert got == trailing
            assert asked.connections - before == 1

    run(main())
