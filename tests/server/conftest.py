from __future__ import annotations

from collections.abc import Generator

import pytest
from gateway_site import WIRES, Site
from wires import Wire


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest) -> Generator[Site]:
    """Parametrized indirectly with ``False``: behind a server that is not our own."""
    found = Site(direct=getattr(request, "param", True))
    try:
        yield found
    finally:
        found.close()


@pytest.fixture(params=WIRES, ids=lambda wire: f"client-{wire.name}")
def client(request: pytest.FixtureRequest) -> Wire:
    """Each dialect in turn, as the client's."""
    wire: Wire = request.param()
    return wire


@pytest.fixture(params=WIRES, ids=lambda wire: f"upstream-{wire.name}")
def upstream(request: pytest.FixtureRequest) -> Wire:
    """Each dialect in turn, as the upstream's."""
    wire: Wire = request.param()
    return wire
