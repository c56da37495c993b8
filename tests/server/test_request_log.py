"""Requests that have ended are told of together: soon, and before anybody looks or the gateway ends."""

import asyncio
import logging
from dataclasses import replace

import pytest
from request_lines import lines_in

from millstream.config import Config
from millstream.pipeline import Gateway, Record
from millstream.server.app import Application, build
from millstream.server.request_log import log_request, tell

AT = 1_700_000_000.0


@pytest.fixture
def app() -> Application:
    return build(Config(), {})


@pytest.fixture
def gateway(app: Application, caplog: pytest.LogCaptureFixture) -> Gateway:
    caplog.set_level(logging.INFO, "millstream")
    return replace(app.gateway, now=lambda: AT)


def end(gateway: Gateway, name: str = "ms_1") -> None:
    log_request(gateway, Record(name, "openai_chat", "m"), 200, "finished", AT - 1)


def observed(gateway: Gateway) -> asyncio.Event:
    """Set once an observer has been told."""
    told = asyncio.Event()
    gateway.observers.append(lambda *_: told.set())
    return told


def test_they_are_told_within_a_moment_in_their_order(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        told = observed(gateway)
        end(gateway, "ms_1")
        end(gateway, "ms_2")
        assert lines_in(caplog) == []
        await told.wait()

    asyncio.run(main())
    assert [(line.id, line.duration_ms) for line in lines_in(caplog)] == [("ms_1", 1000), ("ms_2", 1000)]
    assert {record.created for record in caplog.records} == {AT}, "when they ended, not when it was told"


def test_whoever_looks_at_figures_finds_them(app: Application, gateway: Gateway) -> None:
    async def main() -> None:
        end(gateway)
        assert app.figured.mine(False).tally.ends.finished == 1

    asyncio.run(main())


def test_they_are_told_when_the_gateway_ends(
    app: Application, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with app.lifespan(None):
            end(gateway)
        assert len(lines_in(caplog)) == 1
        tell(gateway)
        assert len(lines_in(caplog)) == 1, "once"

    asyncio.run(main())


def test_very_many_do_not_wait(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        for _ in range(1000):
            end(gateway)
        assert len(lines_in(caplog)) == 1000

    asyncio.run(main())


def test_a_loop_that_has_ended_before_keeps_none_back(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    later = replace(gateway, now=lambda: AT + 60)

    async def first() -> None:
        end(gateway)

    async def second() -> None:
        told = observed(gateway)
        end(later)
        await told.wait()

    asyncio.run(first())
    asyncio.run(second())
    assert len(lines_in(caplog)) == 2
