"""What tests in a browser share."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page

Visit = Callable[..., Page]
"""Opens the page of the gateway, or of another at ``url``; see the fixture ``visit``."""
