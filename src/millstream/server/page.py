"""The page at ``/`` and the files it is made of (``millstream/web``): public, since no data is in them.

What the page shows it asks of the endpoints that every client uses, with the key that its user types in. Its policy
lets scripts come from here alone and lets none be made of text, so that nothing a model says can ever run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from functools import cached_property
from importlib.resources import files
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-cache",
}
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HOME = "index.html"
Handler = Callable[[Request], Awaitable[Response]]


class _File(NamedTuple):
    body: bytes
    media_type: str
    etag: str


class Page:
    """Handlers of Starlette. ``plain_home`` answers at ``/`` for programs that want no HTML."""

    def __init__(self, plain_home: Handler) -> None:
        self._plain_home = plain_home

    @cached_property
    def _files(self) -> dict[str, _File]:
        """All there are, by name. A path is only ever looked up here: it never becomes one of the file system."""
        found: dict[str, _File] = {}
        for entry in files("millstream").joinpath("web").iterdir():
            _, dot, suffix = entry.name.rpartition(".")
            if media_type := _TYPES.get(dot + suffix):
                body = entry.read_bytes()
                found[entry.name] = _File(body, media_type, f'"{hashlib.sha256(body).hexdigest()[:20]}"')
        return found

    async def home(self, request: Request) -> Response:
        if wants_html(request.headers.get("accept", "")):
            response = self._send(request, self._files[_HOME])
        else:
            response = await self._plain_home(request)
        response.headers["vary"] = "accept"
        return response

    async def file(self, request: Request) -> Response:
        found = self._files.get(request.path_params["name"])
        if found is None:
            return Response("there is no such file\n", 404, _HEADERS, "text/plain")
        return self._send(request, found)

    def _send(self, request: Request, file: _File) -> Response:
        headers = {**_HEADERS, "etag": file.etag}
        if _matches(request.headers.get("if-none-match", ""), file.etag):
            return Response(None, 304, headers)
        return Response(file.body, 200, headers, file.media_type)


def wants_html(accept: str) -> bool:
    """Whether a browser asks. Programs that take anything say ``*/*``, or nothing."""
    return any(part.partition(";")[0].strip().lower() == "text/html" for part in accept.split(","))


def _matches(asked: str, etag: str) -> bool:
    """https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2, which compares weakly"""
    return any(one.strip().removeprefix("W/") in (etag, "*") for one in asked.split(","))
