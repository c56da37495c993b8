"""What the log tells of requests."""

from __future__ import annotations

import pytest
from raw_client import RawClient

from millstream.telemetry.logs import RequestLine
from millstream.testing.gateway import GatewayThread


async def lines_of(gateway: GatewayThread, caplog: pytest.LogCaptureFixture, number: int) -> list[RequestLine]:
    """The lines logged so far, once there are ``number`` of them and no request is open."""
    async with RawClient(gateway.address) as other:
        while gateway.open_streams or len(lines_in(caplog)) < number:
            await other.ask("GET", "/health")
    return lines_in(caplog)


def lines_in(caplog: pytest.LogCaptureFixture) -> list[RequestLine]:
    return [record.line for record in caplog.records if hasattr(record, "line")]
