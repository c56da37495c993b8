"""What went wrong with a server, in one line for people and models."""

from __future__ import annotations

import httpx2
from mcp.client.auth.exceptions import OAuthFlowError
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

_MOST = 500


class Lost(Exception):
    """The connection is of no use any more; one line that says why."""


def explained(error: BaseException) -> str:
    """The innermost cause counts: the SDK's task groups wrap it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return " ".join(_said(error).split())[:_MOST]


def _said(error: BaseException) -> str:
    if isinstance(error, MCPError):
        return error.message
    if isinstance(error, ValidationError):
        return f"it answered with something that is not MCP ({error.error_count()} faults in {error.title})"
    if isinstance(error, httpx2.HTTPStatusError):
        status = error.response.status_code
        hint = ": it wants a token (headers) or a login (oauth)" if status in (401, 403) else ""
        return f"it answered with status {status}{hint}"
    if isinstance(error, httpx2.TransportError):
        return f"it cannot be reached ({str(error) or type(error).__name__})"
    if isinstance(error, Lost | OAuthFlowError | OSError):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
