"""A WebSocket from its handshake to its end: who gets one, what it bears, and what ends it."""

import asyncio
import contextlib
import json
import logging
import socket

import msgspec
import pytest
from gateway_site import Site, run
from raw_upstream import Call
from request_lines import lines_of
from responses_socket import MODEL, UPSTREAM, answer_to, ask, hear, says, socket_to, text_of
from websockets.exceptions import ConnectionClosed, InvalidStatus

from millstream.config import ResponsesConfig, ServerConfig
from millstream.testing.gateway import GatewayThread


def test_who_may_not_call_may_not_connect(site: Site) -> None:
    async def main() -> None:
        settings = msgspec.structs.replace(site.config(), server=ServerConfig(api_key="secret"))
        with GatewayThread(settings) as gateway:
            with pytest.raises(InvalidStatus) as refused:
                async with socket_to(gateway):
                    pass
            assert refused.value.response.status_code == 401
            assert json.loads(refused.value.response.body)["error"]["code"] == "invalid_api_key"
            async with socket_to(gateway, additional_headers={"authorization": "Bearer secret"}):
                pass
        with pytest.raises(InvalidStatus) as refused:
            async with socket_to(site.gateway(), origin="https://evil.example"):
                pass
        assert refused.value.response.status_code == 403
        async with socket_to(site.gateway(), origin="http://localhost:3000"):
            pass
        with pytest.raises(InvalidStatus) as refused:
            async with socket_to(site.gateway(), additional_headers={"host": "evil.example"}):
                pass
        assert refused.value.response.status_code in (400, 403)

    run(main())


def test_a_client_that_leaves_takes_its_upstream_with_it(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "millstream")

    async def main() -> None:
        gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()

        async def silent(call: Call) -> None:
            await call.head()
            await call.send(UPSTREAM.start() + UPSTREAM.text(0, "Hm", first=True))
            gone.set_result(await call.gone())

        gateway = site.gateway()
        async with site.upstream(silent):
            async with socket_to(gateway) as connection:
                await ask(connection, input="a")
                while json.loads(await connection.recv())["type"] != "response.output_text.delta":
                    pass
                connection.transport.abort()
            await gone
            (line,) = await lines_of(gateway, caplog, 1)
        assert (line.status, line.end, line.client, line.upstream) == (499, "cancelled", "openai_responses", MODEL)

    run(main())


def test_a_client_that_leaves_once_it_has_heard_the_end_has_cancelled_nothing(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "millstream")

    async def main() -> None:
        async def does_not_close(call: Call) -> None:
            await call.head()
            for piece in UPSTREAM.answer("Hm."):
                await call.send(piece)
            await call.gone()

        gateway = site.gateway()
        async with site.upstream(does_not_close):
            async with socket_to(gateway) as connection:
                await ask(connection, input="a")
                await hear(connection)
                connection.transport.abort()
            (line,) = await lines_of(gateway, caplog, 1)
        assert (line.status, line.end) == (200, "finished")

    run(main())


def test_a_reader_that_pauses_pauses_its_upstream_and_is_given_up_in_the_end(site: Site) -> None:
    async def main() -> None:
        gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        paused = asyncio.Event()

        async def endless(call: Call) -> None:
            await call.head()
            await call.send(UPSTREAM.start() + UPSTREAM.text(0, "x", first=True))
            leaving = asyncio.ensure_future(call.gone())
            batch = UPSTREAM.text(0, "x" * 1000) * 100
            with contextlib.suppress(ConnectionError):
                while not leaving.done():
                    try:
                        async with asyncio.timeout(0.3):
                            await call.send(batch)
                    except TimeoutError:
                        paused.set()
            gone.set_result(await leaving)

        async with site.upstream(endless):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
            gateway = site.gateway(send_timeout=1.0)
            sock.connect(gateway.address)
            async with socket_to(gateway, sock=sock, max_queue=1, compression=None) as connection:
                await ask(connection, input="a")
                await paused.wait()
                await gone
                with pytest.raises(ConnectionClosed):
                    while True:
                        await connection.recv()

    run(main())


def test_silence_is_filled_once_the_reply_has_begun(site: Site) -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def slow(call: Call) -> None:
            await call.head()
            await call.send(UPSTREAM.start() + UPSTREAM.text(0, "Hm", first=True))
            await go_on.wait()
            await call.send(UPSTREAM.close(0) + UPSTREAM.end())
            await call.end()

        async with site.upstream(slow), socket_to(site.gateway(heartbeat=0.1)) as connection:
            await ask(connection, input="a")
            kinds: list[str] = []
            while kinds.count("response.in_progress") < 3:
                kinds.append(json.loads(await connection.recv())["type"])
            go_on.set()
            assert text_of((await hear(connection))[-1]["response"]) == "Hm"

    run(main())


def test_a_message_too_large_ends_the_connection_with_a_reason(site: Site) -> None:
    async def main() -> None:
        async with socket_to(site.gateway(max_body=2000), compression=None) as connection:
            await ask(connection, input="x" * 3000)
            with pytest.raises(ConnectionClosed) as closed:
                await connection.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009

    run(main())


def test_a_conversation_too_large_is_refused(site: Site) -> None:
    async def main() -> None:
        async with site.upstream(says), socket_to(site.gateway(max_body=2000)) as connection:
            first = await answer_to(connection, input="x" * 1200)
            await ask(connection, input="y" * 1200, previous_response_id=first["id"])
            (refused,) = await hear(connection)
            assert refused["status"] == 413

    run(main())


def test_a_connection_ends_after_its_time_but_not_within_an_answer(site: Site) -> None:
    async def main() -> None:
        settings = msgspec.structs.replace(site.config(), responses=ResponsesConfig(connection_limit=0.2))
        go_on = asyncio.Event()

        async def slow(call: Call) -> None:
            await go_on.wait()
            await says(call)

        with GatewayThread(settings) as gateway:
            async with site.upstream(slow), socket_to(gateway) as connection:
                await ask(connection, input="a")
                while True:
                    await ask(connection, input="b", stream_id="late")
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.1):
                            refused = json.loads(await connection.recv())
                            break
                assert refused["error"]["code"] == "websocket_connection_limit_reached"
                go_on.set()
                texts = []
                with pytest.raises(ConnectionClosed) as closed:
                    while True:
                        event = json.loads(await connection.recv())
                        if event["type"] == "response.completed":
                            texts.append(text_of(event["response"]))
                assert "1: a" in texts
                assert event["error"]["code"] == "websocket_connection_limit_reached"
                assert event["status"] == 400
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1000

    run(main())


@pytest.mark.parametrize("drain", [30.0, 0.1], ids=["within-the-drain", "beyond-it"])
def test_an_answer_under_way_gets_the_drain_when_the_gateway_stops(site: Site, drain: float) -> None:
    async def main() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slow(call: Call) -> None:
            await call.head()
            await call.send(UPSTREAM.start() + UPSTREAM.text(0, "Still", first=True))
            begun.set()
            await go_on.wait()
            await call.send(UPSTREAM.text(0, " here") + UPSTREAM.close(0) + UPSTREAM.end())
            await call.end()

        settings = msgspec.structs.replace(site.config(), server=ServerConfig(drain=drain))
        async with site.upstream(slow):
            with GatewayThread(settings) as gateway:
                async with socket_to(gateway) as connection, socket_to(gateway) as idle:
                    await ask(connection, input="a")
                    await begun.wait()
                    while json.loads(await connection.recv())["type"] != "response.output_text.delta":
                        pass
                    gateway.stop()
                    with pytest.raises(ConnectionClosed):
                        await idle.recv()
                    await ask(connection, input="b")
                    (refused,) = await hear(connection)
                    assert refused["status"] == 503
                    if drain > 1:
                        go_on.set()
                        assert text_of((await hear(connection))[-1]["response"]) == "Still here"
                    else:
                        (said,) = await hear(connection)
                        assert "shutting down" in said["error"]["message"]
                        assert (await hear(connection))[-1]["response"]["status"] == "failed"
                    with pytest.raises(ConnectionClosed):
                        await connection.recv()
                    await asyncio.to_thread(gateway.join)

    run(main())


def test_each_turn_has_its_line_in_the_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "millstream")

    async def main() -> None:
        gateway = site.gateway()
        async with site.upstream(says), socket_to(gateway) as connection:
            await answer_to(connection, input="a")
            await ask(connection, input="a", previous_response_id="resp_nobodys")
            await hear(connection)
            good, bad = await lines_of(gateway, caplog, 2)
        assert (good.status, good.end, good.upstream, good.output_tokens) == (200, "finished", MODEL, 5)
        assert good.first_content_ms is not None
        assert (bad.status, bad.end) == (400, "failed")
        assert "resp_nobodys" in (bad.error or "")

    run(main())
