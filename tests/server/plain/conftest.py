from __future__ import annotations

from collections.abc import Generator

import pytest
from gateway_site import Site
from plain_site import PlainSite


@pytest.fixture(scope="module")
def plain() -> Generator[PlainSite]:
    site = Site()
    found = PlainSite(site)
    try:
        yield found
    finally:
        found.close()
        site.close()
