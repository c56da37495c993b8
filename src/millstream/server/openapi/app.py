"""``/openapi.json`` and ``/docs``, for the application."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from millstream.server.openapi.document import document
from millstream.server.openapi.operations import OPERATIONS


def routes() -> list[BaseRoute]:
    return [Route("/openapi.json", _document, methods=["GET"]), Route("/docs", _docs, methods=["GET"])]


async def _document(request: Request) -> Response:
    said = document(OPERATIONS, _mount(request))
    return Response(msgspec.json.encode(said), media_type="application/json")


async def _docs(request: Request) -> Response:
    from millstream.server.openapi.page import HEADERS, page

    at = _mount(request)
    base = f"{request.url.scheme}://{request.url.netloc}{at}"
    return HTMLResponse(page(document(OPERATIONS, at), base), headers=HEADERS)


def _mount(request: Request) -> str:
    """What requests of clients begin with, where this application is mounted in another."""
    at: str = request.scope.get("app_root_path", "")
    return at
