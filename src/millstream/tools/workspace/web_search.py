"""WebSearch: one question to a search service, its answers as a list."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from millstream.tools.base import ToolOutcome
from millstream.tools.workspace.family import Arguments, ToolFault, WorkspaceTool
from millstream.tools.workspace.options import SearchBackend, WorkspaceOptions
from millstream.tools.workspace.web import MISSING

if TYPE_CHECKING:
    import httpx2

_MOST = 10
_LARGEST = 5 * 1024 * 1024
_BRAVE = "https://api.search.brave.com"
_TAVILY = "https://api.tavily.com"
_TAG = re.compile(r"<[^<>]*>")


class WebSearchArguments(Arguments):
    query: Annotated[str, Meta(min_length=2, description="What to look for")]
    allowed_domains: Annotated[tuple[str, ...], Meta(description="Only results from these domains")] = ()
    blocked_domains: Annotated[tuple[str, ...], Meta(description="No results from these domains")] = ()


class _Hit(msgspec.Struct):
    url: str
    title: str | None = None
    content: str | None = None
    description: str | None = None


class _Hits(msgspec.Struct):
    results: list[_Hit] = []


class _BraveReply(msgspec.Struct):
    web: _Hits = msgspec.field(default_factory=_Hits)


class WebSearch:
    """``tools`` is empty without a service to ask."""

    def __init__(self, options: WorkspaceOptions) -> None:
        self._backend = options.search
        self._timeout = options.timeout("WebSearch")

    def tools(self) -> list[WorkspaceTool]:
        backend = self._backend
        if backend is None:
            return []
        return [
            WorkspaceTool(
                "WebSearch",
                "Searches the web: titles, addresses and extracts. Read a page with WebFetch.",
                WebSearchArguments,
                lambda arguments, context: self._search(backend, arguments),
            )
        ]

    async def _search(self, backend: SearchBackend, arguments: WebSearchArguments) -> ToolOutcome:
        try:
            import httpx2
        except ImportError as error:
            raise ToolFault(MISSING) from error
        try:
            async with httpx2.AsyncClient(timeout=self._timeout) as client:
                hits = await _ASK[backend.kind](client, backend, arguments)
        except msgspec.DecodeError as error:
            raise ToolFault(f"the search service's answer is not what it documents: {error}") from error
        except httpx2.HTTPError as error:
            raise ToolFault(f"the search service cannot be reached: {str(error) or type(error).__name__}") from error
        wanted = [hit for hit in hits if _wanted(hit.url, arguments)][:_MOST]
        if not wanted:
            return ToolOutcome(f"Nothing was found for {arguments.query}.")
        return ToolOutcome("\n\n".join(_shown(number, hit) for number, hit in enumerate(wanted, 1)))


async def _brave(client: httpx2.AsyncClient, backend: SearchBackend, arguments: WebSearchArguments) -> list[_Hit]:
    """https://api-dashboard.search.brave.com/app/documentation/web-search/get-started"""
    request = client.build_request(
        "GET",
        f"{(backend.url or _BRAVE).rstrip('/')}/res/v1/web/search",
        params={"q": _with_domains(arguments), "count": str(2 * _MOST)},
        headers={"accept": "application/json", "x-subscription-token": backend.api_key or ""},
    )
    return msgspec.json.decode(await _answer(client, request), type=_BraveReply).web.results


async def _tavily(client: httpx2.AsyncClient, backend: SearchBackend, arguments: WebSearchArguments) -> list[_Hit]:
    """https://docs.tavily.com/documentation/api-reference/endpoint/search"""
    body: dict[str, Any] = {"query": arguments.query, "max_results": _MOST}
    if arguments.allowed_domains:
        body["include_domains"] = arguments.allowed_domains
    if arguments.blocked_domains:
        body["exclude_domains"] = arguments.blocked_domains
    url = f"{(backend.url or _TAVILY).rstrip('/')}/search"
    request = client.build_request("POST", url, json=body, headers={"authorization": f"Bearer {backend.api_key or ''}"})
    return msgspec.json.decode(await _answer(client, request), type=_Hits).results


async def _searxng(client: httpx2.AsyncClient, backend: SearchBackend, arguments: WebSearchArguments) -> list[_Hit]:
    """https://docs.searxng.org/dev/search_api.html; ``json`` must be among its ``search.formats``."""
    request = client.build_request(
        "GET",
        f"{(backend.url or '').rstrip('/')}/search",
        params={"q": _with_domains(arguments), "format": "json"},
        headers={"authorization": f"Bearer {backend.api_key}"} if backend.api_key else {},
    )
    return msgspec.json.decode(await _answer(client, request), type=_Hits).results


_ASK = {"brave": _brave, "tavily": _tavily, "searxng": _searxng}


async def _answer(client: httpx2.AsyncClient, request: httpx2.Request) -> bytes:
    response = await client.send(request, stream=True)
    try:
        body = bytearray()
        async for piece in response.aiter_bytes(64 * 1024):
            body += piece
            if len(body) > _LARGEST:
                raise ToolFault("the search service's answer is too large")
    finally:
        await response.aclose()
    if response.status_code != 200:
        said = bytes(body[:300]).decode(errors="replace")
        raise ToolFault(f"the search service answered {response.status_code}: {said}")
    return bytes(body)


def _with_domains(arguments: WebSearchArguments) -> str:
    only = " OR ".join(f"site:{domain}" for domain in arguments.allowed_domains)
    without = " ".join(f"-site:{domain}" for domain in arguments.blocked_domains)
    return " ".join(part for part in (arguments.query, only, without) if part)


def _wanted(url: str, arguments: WebSearchArguments) -> bool:
    try:
        host = (urlsplit(url).hostname or "").lower()
    except ValueError:
        return False

    def within(domains: tuple[str, ...]) -> bool:
        return any(host == domain.lower() or host.endswith(f".{domain.lower()}") for domain in domains)

    return not within(arguments.blocked_domains) and (
        not arguments.allowed_domains or within(arguments.allowed_domains)
    )


def _shown(number: int, hit: _Hit) -> str:
    extract = html.unescape(_TAG.sub("", hit.content or hit.description or "")).strip()
    return f"{number}. {html.unescape(_TAG.sub('', hit.title or hit.url))}\n   {hit.url}\n   {extract[:500]}".rstrip()
