from __future__ import annotations

from collections.abc import Generator

import pytest
from gateway_site import WIRES, Site
from wires import Wire


@pytest.fixture(scope="module")
def site() -> Generator[Site]:
    found = Site()
    try:
        yield found
    finally:
        found.close()


@pytest.fixture(params=WIRES, ids=lambda wire: f"upstream-{wire.name}")
def upstream(request: pytest.FixtureRequest) -> Wire:
    """Each dialect in turn, as the upstream's."""
    wire: Wire = request.param()
    return wire
