from __future__ import annotations

from collections.abc import Generator

import pytest
from gateway_site import WIRES, Site
from responses_site import config
from wires import Wire

from millstream.config import SessionsConfig
from millstream.testing.gateway import GatewayThread


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


@pytest.fixture(scope="module", params=["memory", "sqlite"])
def gateway(
    request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory
) -> Generator[GatewayThread]:
    """One that keeps replies, in each of the stores in turn."""
    path = str(tmp_path_factory.mktemp("sessions") / "s.db")
    sessions = SessionsConfig(store="sqlite", path=path) if request.param == "sqlite" else None
    with GatewayThread(config(site, sessions)) as found:
        yield found
