"""However an upstream fails within its answer, the client is told so exactly once, and nothing is asked twice."""

from collections.abc import Awaitable, Callable

import pytest
from gateway_site import Site, model_of, run
from raw_upstream import Call
from wires import AnthropicWire, ChatWire, Wire

SAID = "Half a sent"
IDLE_S = 0.1
Failure = Callable[[Call, Wire], Awaitable[None]]


async def _opening(call: Call, wire: Wire) -> None:
    await call.head()
    await call.send(wire.start() + wire.text(0, "Half", first=True) + wire.text(0, " a sent"))


async def cut_in_a_text(call: Call, wire: Wire) -> None:
    await _opening(call, wire)
    call.cut()


async def reset_in_a_text(call: Call, wire: Wire) -> None:
    await _opening(call, wire)
    await call.send(wire.text(0, "ence"))
    call.reset()


async def cut_in_a_frame(call: Call, wire: Wire) -> None:
    await _opening(call, wire)
    await call.send(wire.text(0, "ence")[:-9])
    call.cut()


async def cut_in_a_tool_call(call: Call, wire: Wire) -> None:
    await _opening(call, wire)
    await call.send(wire.close(0) + wire.tool(1, "call_1", "Bash") + wire.arguments(1, '{"comm'))
    call.cut()


async def clean_end_in_a_text(call: Call, wire: Wire) -> None:
    await _opening(call, wire)
    await call.end()


async def clean_end_in_a_frame(call: Call, wire: Wire) -> None:
    await _opening(call, wire)
    await call.send(wire.text(0, "ence")[:-9])
    await call.end()


async def clean_end_in_a_tool_call(call: Call, wire: Wire) -> None:
    await _opening(call, wire)
    await call.send(wire.close(0) + wire.tool(1, "call_1", "Bash") + wire.arguments(1, '{"comm'))
    await call.end()


async def silence(call: Call, wire: Wire) -> None:
    await _opening(call, wire)
    await call.gone()


async def a_frame_that_is_no_json(call: Call, wire: Wire) -> None:
    await _opening(call, wire)
    frame = wire.text(0, "ence")
    await call.send(frame[:-10] + b"\n\n")
    await call.send(wire.close(0) + wire.end())
    await call.end()


async def an_error_event(call: Call, wire: Wire) -> None:
    await _opening(call, wire)
    await call.send(wire.error("overloaded", "Overloaded"))
    await call.end()


async def an_error_event_and_then_more(call: Call, wire: Wire) -> None:
    await _opening(call, wire)
    await call.send(wire.error("internal", "It broke."))
    await call.send(wire.text(0, "ence") + wire.close(0) + wire.end())
    await call.end()


FAILURES: list[tuple[Failure, str]] = [
    (cut_in_a_text, "broke off"),
    (reset_in_a_text, "broke off"),
    (cut_in_a_frame, "broke off"),
    (cut_in_a_tool_call, "broke off"),
    (clean_end_in_a_text, "cut off"),
    (clean_end_in_a_frame, ""),
    (clean_end_in_a_tool_call, "cut off"),
    (silence, "sent nothing for 0.1 s"),
    (a_frame_that_is_no_json, "the upstream sent"),
    (an_error_event, "Overloaded"),
    (an_error_event_and_then_more, "It broke."),
]
"""What goes wrong, and a part of the words in which the client hears of it."""


@pytest.mark.parametrize(("failure", "words"), FAILURES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_failure_after_content_ends_the_stream_with_one_error(
    site: Site, client: Wire, upstream: Wire, failure: Failure, words: str
) -> None:
    async def answer(call: Call) -> None:
        await failure(call, upstream)

    async def main() -> None:
        async with site.upstream(answer) as asked, site.client(idle_timeout=IDLE_S) as sender:
            body = client.request(model=model_of(upstream))
            status, stream = await sender.ask("POST", client.path, body)
            heard = client.hear(stream)
            assert status == 200
            assert (heard.starts, heard.ends, len(heard.errors)) == (1, 0, 1)
            assert heard.text in (SAID, SAID + "ence") if failure is reset_in_a_text else heard.text == SAID
            assert words in heard.errors[0]["message"]
            assert len(asked.calls) == 1
            # The connection to the client is in order, and serves its next request.
            assert (await sender.ask("GET", "/health"))[0] == 200

    run(main())


@pytest.mark.parametrize(
    "failure",
    [cut_in_a_text, cut_in_a_frame, cut_in_a_tool_call, clean_end_in_a_text, silence, an_error_event],
    ids=lambda failure: failure.__name__,
)
def test_a_whole_reply_of_another_dialect_that_breaks_is_an_error_and_never_a_part(
    site: Site, client: Wire, failure: Failure
) -> None:
    upstream = _other(client)

    async def answer(call: Call) -> None:
        await failure(call, upstream)

    async def main() -> None:
        async with site.upstream(answer), site.client(idle_timeout=IDLE_S) as sender:
            body = client.request(model=model_of(upstream), stream=False)
            status, reply = await sender.ask("POST", client.path, body)
            assert status >= 500
            kind, message = client.problem_in(reply)
            assert kind
            assert message
            assert SAID not in reply.decode()

    run(main())


def test_a_whole_reply_that_is_cut_is_an_error_and_never_a_part(site: Site, client: Wire) -> None:
    reply = client.reply(SAID)

    async def answer(call: Call) -> None:
        await call.head(headers={"content-type": "application/json"})
        await call.send(reply[:-20])
        call.cut()

    async def main() -> None:
        async with site.upstream(answer) as asked, site.client(retries=1) as sender:
            status, body = await sender.ask("POST", client.path, client.request(model=model_of(client), stream=False))
            assert status == 502
            assert "broke off" in client.problem_in(body)[1]
            assert len(asked.calls) == 2, "nothing of it had left, so that it may be asked again"

    run(main())


def test_a_reply_that_ended_well_is_whole_though_the_connection_then_breaks(
    site: Site, client: Wire, upstream: Wire
) -> None:
    async def answer(call: Call) -> None:
        await call.head()
        for piece in upstream.answer("All of it."):
            await call.send(piece)
        call.cut()

    async def main() -> None:
        async with site.upstream(answer), site.client() as sender:
            _, stream = await sender.ask("POST", client.path, client.request(model=model_of(upstream)))
            heard = client.hear(stream)
            assert (heard.text, heard.ends, heard.errors) == ("All of it.", 1, [])

    run(main())


def test_a_last_frame_without_its_blank_line_still_counts(site: Site, client: Wire, upstream: Wire) -> None:
    async def answer(call: Call) -> None:
        await call.head()
        await call.send(b"".join(upstream.answer("To the end."))[:-1])
        await call.end()

    async def main() -> None:
        async with site.upstream(answer), site.client() as sender:
            _, stream = await sender.ask("POST", client.path, client.request(model=model_of(upstream)))
            if client.name == upstream.name:
                stream += b"\n"
            heard = client.hear(stream)
            assert (heard.text, heard.ends, heard.errors) == ("To the end.", 1, [])

    run(main())


def _other(wire: Wire) -> Wire:
    return ChatWire() if isinstance(wire, AnthropicWire) else AnthropicWire()
