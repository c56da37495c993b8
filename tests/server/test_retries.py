"""What is asked again, how often and when: everything that may be, as long as no content has come, and never after."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping

import pytest
from gateway_site import Site, model_of, run
from raw_client import RawClient
from raw_upstream import JSON, Call
from wires import Wire

from millstream.config import Config, ProviderConfig, UpstreamConfig
from millstream.testing.gateway import GatewayThread

SOON = 0.03
Failure = Callable[[Call, Wire], Awaitable[None]]


def refusing(status: int, kind: str = "internal", headers: Mapping[str, str] | None = None) -> Failure:
    async def fail(call: Call, wire: Wire) -> None:
        await call.answer(status, wire.refusal(kind, "not now"), {**JSON, **(headers or {})})

    fail.__name__ = f"status_{status}"
    return fail


async def closing_before_a_head(call: Call, wire: Wire) -> None:
    call.cut()


async def cut_after_the_head(call: Call, wire: Wire) -> None:
    await call.head()
    call.cut()


async def cut_after_the_start(call: Call, wire: Wire) -> None:
    await call.head()
    await call.send(wire.start())
    call.cut()


async def clean_end_after_the_start(call: Call, wire: Wire) -> None:
    await call.stream(wire.start())


async def nothing_at_all(call: Call, wire: Wire) -> None:
    await call.stream()


async def silence_after_the_start(call: Call, wire: Wire) -> None:
    await call.head()
    await call.send(wire.start())
    await call.gone()


async def an_error_event(call: Call, wire: Wire) -> None:
    await call.stream(wire.error("overloaded", "Overloaded"))


async def an_error_event_after_the_start(call: Call, wire: Wire) -> None:
    await call.stream(wire.start() + wire.error("overloaded", "Overloaded"))


async def no_json_before_content(call: Call, wire: Wire) -> None:
    await call.stream(wire.start(), wire.text(0, "x")[:-12] + b"\n\n")


TEMPORARY: list[Failure] = [
    refusing(429, "rate"),
    refusing(500),
    refusing(502),
    refusing(503, "overloaded"),
    refusing(529, "overloaded"),
    closing_before_a_head,
    cut_after_the_head,
    cut_after_the_start,
    clean_end_after_the_start,
    nothing_at_all,
    silence_after_the_start,
    an_error_event,
    an_error_event_after_the_start,
    no_json_before_content,
]
named = pytest.mark.parametrize("failure", TEMPORARY, ids=lambda failure: failure.__name__)


@named
def test_a_failure_before_content_is_not_seen_if_the_next_try_succeeds(
    site: Site, client: Wire, upstream: Wire, failure: Failure
) -> None:
    async def fails(call: Call) -> None:
        await failure(call, upstream)

    async def succeeds(call: Call) -> None:
        await call.stream(*upstream.answer("The second time."))

    async def main() -> None:
        async with site.upstream(fails, succeeds) as asked, site.client(idle_timeout=0.1) as sender:
            status, stream = await sender.ask("POST", client.path, client.request(model=model_of(upstream)))
            heard = client.hear(stream)
            assert (status, heard.text) == (200, "The second time.")
            assert (heard.starts, heard.ends, heard.errors) == (1, 1, [])
            assert len(asked.calls) == 2
            assert asked.calls[0].body == asked.calls[1].body

    run(main())


@named
def test_a_failure_before_content_is_tried_again_for_whole_replies(
    site: Site, client: Wire, upstream: Wire, failure: Failure
) -> None:
    async def fails(call: Call) -> None:
        await failure(call, upstream)

    async def succeeds(call: Call) -> None:
        if client.name == upstream.name:
            await call.answer(200, upstream.reply("The second time."))
        else:
            await call.stream(*upstream.answer("The second time."))

    async def main() -> None:
        async with site.upstream(fails, succeeds) as asked, site.client(idle_timeout=0.1) as sender:
            body = client.request(model=model_of(upstream), stream=False)
            status, reply = await sender.ask("POST", client.path, body)
            assert (status, client.said_in(reply)) == (200, "The second time.")
            assert len(asked.calls) == 2

    run(main())


@pytest.mark.parametrize("second", [True, False], ids=["and-then-it-succeeds", "and-then-it-fails"])
def test_a_client_that_has_the_start_of_a_reply_gets_no_second_one(
    site: Site, client: Wire, upstream: Wire, second: bool
) -> None:
    has_start = asyncio.Event()

    async def fails(call: Call) -> None:
        await call.head()
        await call.send(upstream.start("first"))
        await has_start.wait()
        call.cut()

    async def succeeds(call: Call) -> None:
        await call.stream(upstream.start("second"), *upstream.answer("Hello.")[1:])

    async def main() -> None:
        answers = (fails, succeeds) if second else (fails,)
        async with site.upstream(*answers) as asked, site.client() as sender:
            await sender.send("POST", client.path, client.request(model=model_of(upstream)))
            await sender.head()
            start = await sender.body.until(b"first")
            has_start.set()
            heard = client.hear(start + await sender.body.rest())
            assert heard.starts == 1
            assert heard.id.endswith("first")
            if second:
                assert (heard.text, heard.ends, heard.errors) == ("Hello.", 1, [])
                assert len(asked.calls) == 2
            else:
                assert (heard.text, heard.ends, len(heard.errors)) == ("", 0, 1)
                assert len(asked.calls) == 3

    run(main())


@pytest.mark.parametrize(("status", "kind"), [(400, "invalid"), (401, "invalid"), (403, "invalid"), (404, "invalid")])
def test_what_another_try_would_not_change_is_asked_once(
    site: Site, client: Wire, upstream: Wire, status: int, kind: str
) -> None:
    async def fails(call: Call) -> None:
        await call.answer(status, upstream.refusal(kind, "never"))

    async def main() -> None:
        async with site.upstream(fails) as asked, site.client() as sender:
            found, body = await sender.ask("POST", client.path, client.request(model=model_of(upstream)))
            assert 400 <= found < 500
            assert client.problem_in(body)[1] == "never"
            assert len(asked.calls) == 1

    run(main())


def test_after_the_last_try_the_upstreams_answer_is_the_clients(site: Site, client: Wire, upstream: Wire) -> None:
    async def fails(call: Call) -> None:
        await call.answer(500, upstream.refusal("internal", "It is broken."))

    async def main() -> None:
        async with site.upstream(fails) as asked, site.client(retries=2) as sender:
            status, body = await sender.ask("POST", client.path, client.request(model=model_of(upstream)))
            assert status == 500
            assert client.problem_in(body)[1] == "It is broken."
            assert len(asked.calls) == 3

    run(main())


def test_no_tries_are_made_where_the_configuration_wants_none(site: Site, client: Wire, upstream: Wire) -> None:
    async def fails(call: Call) -> None:
        await call.answer(500, upstream.refusal("internal", "It is broken."))

    async def main() -> None:
        async with site.upstream(fails) as asked, site.client(retries=0) as sender:
            assert (await sender.ask("POST", client.path, client.request(model=model_of(upstream))))[0] == 500
            assert len(asked.calls) == 1

    run(main())


@pytest.mark.parametrize(
    "header", [{"retry-after": "0.3"}, {"retry-after-ms": "300"}], ids=lambda header: next(iter(header))
)
def test_the_upstreams_wish_to_wait_is_obeyed(site: Site, client: Wire, upstream: Wire, header: dict[str, str]) -> None:
    async def fails(call: Call) -> None:
        await call.answer(429, upstream.refusal("rate", "later"), {**JSON, **header})

    async def succeeds(call: Call) -> None:
        await call.stream(*upstream.answer("Now."))

    async def main() -> None:
        async with site.upstream(fails, succeeds) as asked, site.client() as sender:
            _, stream = await sender.ask("POST", client.path, client.request(model=model_of(upstream)))
            assert client.hear(stream).text == "Now."
            first, second = asked.calls
            assert second.at - first.at >= 0.3

    run(main())


def test_a_wish_to_wait_for_long_is_handed_to_the_client_at_once(site: Site, client: Wire, upstream: Wire) -> None:
    async def fails(call: Call) -> None:
        await call.answer(429, upstream.refusal("rate", "much later"), {**JSON, "retry-after": "37"})

    async def main() -> None:
        async with site.upstream(fails) as asked, site.client(max_retry_wait=36.0) as sender:
            status, body = await sender.ask("POST", client.path, client.request(model=model_of(upstream)))
            assert status == 429
            assert client.problem_in(body)[1] == "much later"
            assert sender.headers["retry-after"] == "37"
            assert len(asked.calls) == 1

    run(main())


@pytest.mark.parametrize("succeeds_at_last", [True, False])
def test_tries_go_on_after_the_head_has_left_early(
    site: Site, client: Wire, upstream: Wire, succeeds_at_last: bool
) -> None:
    has_head = asyncio.Event()

    async def late_refusal(call: Call) -> None:
        await has_head.wait()
        await call.answer(529, upstream.refusal("overloaded", "Overloaded"))

    async def answer(call: Call) -> None:
        await call.stream(*upstream.answer("Finally."))

    async def main() -> None:
        answers = (late_refusal, answer) if succeeds_at_last else (late_refusal,)
        async with site.upstream(*answers) as asked, site.client(eager_after=SOON) as sender:
            await sender.send("POST", client.path, client.request(model=model_of(upstream)))
            assert await sender.head() == 200
            has_head.set()
            heard = client.hear(await sender.body.rest())
            if succeeds_at_last:
                assert (heard.text, heard.starts, heard.ends, heard.errors) == ("Finally.", 1, 1, [])
            else:
                assert (heard.text, heard.ends, [error["message"] for error in heard.errors]) == ("", 0, ["Overloaded"])
                assert len(asked.calls) == 3

    run(main())


def test_an_upstream_that_is_not_there_is_a_502_that_names_it(client: Wire, upstream: Wire) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    provider = ProviderConfig(dialect=upstream.name, base_url=f"http://127.0.0.1:{port}{upstream.base}")
    config = Config(providers={"gone": provider}, upstream=UpstreamConfig(backoff=0.01, retries=1))

    async def main(gateway: GatewayThread) -> None:
        async with RawClient(gateway.address) as sender:
            status, body = await sender.ask("POST", client.path, client.request(model="gone/m"))
            kind, message = client.problem_in(body)
            assert status == 502
            assert kind in ("api_error", "server_error")
            assert message.startswith(f"could not reach gone at http://127.0.0.1:{port}")
            assert "refused" in message

    with GatewayThread(config) as gateway:
        run(main(gateway))


def test_an_upstream_that_gives_no_head_in_time_is_a_504_after_its_tries(
    site: Site, client: Wire, upstream: Wire
) -> None:
    async def silent(call: Call) -> None:
        await call.gone()

    async def main() -> None:
        async with site.upstream(silent) as asked, site.client(head_timeout=0.3, retries=1) as sender:
            status, body = await sender.ask("POST", client.path, client.request(model=model_of(upstream)))
            assert status == 504
            assert "did not answer within 0.3 s" in client.problem_in(body)[1]
            assert len(asked.calls) == 2

    run(main())
