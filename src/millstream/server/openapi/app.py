"""``/openapi.json`` and ``/docs``, for the application. What they are made of is loaded when somebody asks."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route


def routes() -> list[BaseRoute]:
    return [Route("/openapi.json", _document, methods=["GET"]), Route("/docs", _docs, methods=["GET"])]


async def _document(request: Request) -> Response:
    return Response(msgspec.json.encode(_said(_mount(request))), media_type="application/json")


async def _docs(request: Request) -> Response:
    from millstream.server.openapi.page import HEADERS, page

    at = _mount(request)
    base = f"{request.url.scheme}://{request.url.netloc}{at}"
    return HTMLResponse(page(_said(at), base), headers=HEADERS)


def _said(at: str) -> dict[str, Any]:
    from millstream.server.openapi.document import document
    from millstream.server.openapi.operations import OPERATIONS

    return document(OPERATIONS, at)


def _mount(request: Request) -> str:
    """What requests of clients begin with, where this application is mounted in another."""
    at: str = request.scope.get("app_root_path", "")
    return at
