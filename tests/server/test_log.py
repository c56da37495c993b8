"""One line per request, when it has ended, that tells how; never a key, never a prompt."""

import asyncio
import logging

import msgspec
import pytest
from gateway_site import Site, model_of, run
from raw_client import RawClient
from raw_upstream import Call
from request_lines import lines_of
from wires import Wire

SECRET = "sk-never-to-be-seen"
LAST = {"anthropic": b"event: message_stop", "openai_chat": b"data: [DONE]\n\n"}


@pytest.fixture(autouse=True)
def logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "millstream")


def test_a_finished_stream(site: Site, client: Wire, upstream: Wire, caplog: pytest.LogCaptureFixture) -> None:
    async def fails(call: Call) -> None:
        await call.answer(503, upstream.refusal("overloaded", "later"))

    async def answer(call: Call) -> None:
        await call.stream(*upstream.answer("Hello."))

    async def main() -> None:
        async with site.upstream(fails, answer), site.client() as sender:
            key = {"x-api-key": SECRET}
            await sender.ask("POST", client.path, client.request(model=model_of(upstream)), key)
            (line,) = await lines_of(site.gateway(), caplog, 1)
            assert line.id == sender.headers["x-millstream-id"]
            assert (line.client, line.model, line.upstream) == (client.name, model_of(upstream), model_of(upstream))
            assert (line.status, line.end, line.error) == (200, "finished", None)
            assert (line.input_tokens, line.output_tokens, line.finish_reason) == (9, 5, "stop")
            assert line.tries == 2
            assert line.first_content_ms is not None
            assert 0 <= line.first_content_ms <= line.duration_ms
            told = msgspec.json.encode(line).decode()
            assert SECRET not in told
            assert "Say hello" not in told

    run(main())


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_finished_stream_whose_upstream_ends_late(
    site: Site, client: Wire, upstream: Wire, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The client has all of it, so that nothing is cancelled; and the upstream's connection is used again."""
    if not stream and client.name == upstream.name:
        return

    async def main() -> None:
        has_all = asyncio.Event()

        async def answer(call: Call) -> None:
            await call.head()
            for piece in upstream.answer("Hello."):
                await call.send(piece)
            if stream and client.name != upstream.name:
                await has_all.wait()
            await call.end()

        async with site.upstream(answer) as asked, site.client() as sender:
            for number in (1, 2):
                has_all.clear()
                await sender.ask("POST", client.path, client.request(model=model_of(upstream), stream=stream))
                has_all.set()
                lines = await lines_of(site.gateway(), caplog, number)
                assert [(line.end, line.status) for line in lines] == [("finished", 200)] * number
            assert asked.connections == 1

    run(main())


def test_a_stream_whose_client_leaves(
    site: Site, client: Wire, upstream: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    async def one_word(call: Call) -> None:
        await call.head()
        await call.send(upstream.start() + upstream.text(0, "Hm", first=True))
        await call.gone()

    async def main() -> None:
        gateway = site.gateway()
        async with site.upstream(one_word):
            async with RawClient(gateway.address) as sender:
                await sender.send("POST", client.path, client.request(model=model_of(upstream)))
                await sender.head()
                await sender.body.until(b"Hm")
            (line,) = await lines_of(gateway, caplog, 1)
            assert (line.status, line.end, line.error) == (499, "cancelled", None)
            assert line.first_content_ms is not None

    run(main())


def test_a_client_that_leaves_once_it_has_heard_the_end(
    site: Site, client: Wire, upstream: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    """However long the upstream takes to close: nothing was cancelled."""

    async def main() -> None:
        gateway = site.gateway()

        async def answer(call: Call) -> None:
            await call.head()
            for piece in upstream.answer("Hello."):
                await call.send(piece)
            await call.gone()

        async with site.upstream(answer):
            async with RawClient(gateway.address) as sender:
                await sender.send("POST", client.path, client.request(model=model_of(upstream)))
                await sender.head()
                await sender.body.until(LAST[client.name])
            (line,) = await lines_of(gateway, caplog, 1)
            assert (line.end, line.status) == ("finished", 200)
            assert line.output_tokens is not None

    run(main())


@pytest.mark.parametrize("late", [True, False], ids=["within-the-stream", "before-it"])
def test_a_failed_stream(
    site: Site, client: Wire, upstream: Wire, late: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(call: Call) -> None:
        if late:
            await call.head()
            await call.send(upstream.start() + upstream.text(0, "Hm", first=True))
            call.cut()
        else:
            await call.answer(400, upstream.refusal("invalid", "Not like that."))

    async def main() -> None:
        async with site.upstream(fails), site.client() as sender:
            await sender.ask("POST", client.path, client.request(model=model_of(upstream)))
            (line,) = await lines_of(site.gateway(), caplog, 1)
            assert (line.status, line.end) == (200 if late else 400, "failed")
            assert line.error is not None
            assert line.error.startswith("truncated: " if late else "invalid_request: Not like that.")

    run(main())


def test_a_request_that_cannot_be_read(site: Site, client: Wire, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with site.client() as sender:
            await sender.ask("POST", client.path, b"{")
            (line,) = await lines_of(site.gateway(), caplog, 1)
            assert (line.status, line.end, line.model, line.upstream) == (400, "failed", "", "")
            assert line.id == sender.headers["x-request-id"]

    run(main())
