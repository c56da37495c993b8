"""WebFetch: a page of the public web as markdown.

Names are looked up here, every address is checked, and the connection goes to an address that was checked: what a name
means a moment later does not matter. The same is done again for each redirect.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from millstream.tools.base import ToolContext, ToolOutcome
from millstream.tools.workspace.family import Arguments, ToolFault, WorkspaceTool, bounded, in_thread
from millstream.tools.workspace.options import WorkspaceOptions

if TYPE_CHECKING:
    import httpx2

MISSING = "WebFetch and WebSearch need more packages: pip install 'millstream[workspace]'"
_LARGEST = 5 * 1024 * 1024
_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_NAT64 = IPv6Network("64:ff9b::/96")
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_TEXT = re.compile(r"text/|application/(.*\+)?(json|xml|javascript|yaml|toml|ld\+json)|image/svg", re.IGNORECASE)
_HTML = ("text/html", "application/xhtml+xml")

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name."""


class WebFetchArguments(Arguments):
    url: Annotated[str, Meta(description="The page's address: http or https")]
    prompt: Annotated[str | None, Meta(description="What you are looking for in it")] = None


def is_public(address: str) -> bool:
    """Whether ``address`` is one of the public internet, also inside the forms that carry an IPv4 address in IPv6."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        embedded: list[IPv4Address | None] = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        if ip in _NAT64:
            embedded.append(IPv4Address(int(ip) & 0xFFFFFFFF))
        if any(inner is not None and not is_public(str(inner)) for inner in embedded):
            return False
        if ip.ipv4_mapped is not None:
            return True
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


async def resolve(host: str, port: int) -> Sequence[str]:
    """Asks the system. Raises ``OSError``."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


class Web:
    def __init__(self, options: WorkspaceOptions, resolve: Resolve = resolve) -> None:
        self._options = options
        self._resolve = resolve

    def tools(self) -> list[WorkspaceTool]:
        return [
            WorkspaceTool(
                "WebFetch",
                "Fetches a page of the public web and gives its text, HTML as markdown. Local addresses are refused.",
                WebFetchArguments,
                self._fetch,
            )
        ]

    async def _fetch(self, arguments: WebFetchArguments, context: ToolContext) -> ToolOutcome:
        try:
            import httpx2
        except ImportError as error:
            raise ToolFault(MISSING) from error
        timeout = self._options.timeout("WebFetch")
        try:
            url = httpx2.URL(arguments.url)
            async with httpx2.AsyncClient(timeout=timeout, trust_env=False, follow_redirects=False) as client:
                response, body, url = await self._follow(client, url)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ToolFault(f"{arguments.url} could not be fetched: {str(error) or type(error).__name__}") from error
        text = await in_thread(lambda stop: _text(response.headers.get("content-type", ""), body))
        head = f"{url} ({response.status_code})"
        if arguments.prompt:
            head += f"\nAsked for: {arguments.prompt}"
        told = bounded(f"{head}\n\n{text}", self._options.output_limit, "A more particular page may say it shorter.")
        return ToolOutcome(told, is_error=response.status_code >= 400)

    async def _follow(self, client: httpx2.AsyncClient, url: httpx2.URL) -> tuple[httpx2.Response, bytes, httpx2.URL]:
        for _ in range(_MOST_REDIRECTS + 1):
            response = await self._get(client, url)
            try:
                target = response.headers.get("location")
                if response.status_code not in _REDIRECTS or not target:
                    return response, await _body(response), url
            finally:
                await response.aclose()
            url = url.join(target)
        raise ToolFault(f"more than {_MOST_REDIRECTS} redirects, the last to {url}")

    async def _get(self, client: httpx2.AsyncClient, url: httpx2.URL) -> httpx2.Response:
        """The response's head, from the first of the checked addresses that takes a connection."""
        import httpx2

        if url.scheme not in ("http", "https") or not url.host:
            raise ToolFault(f"{url} is not an http or https address")
        if url.userinfo:
            raise ToolFault("an address with a user name or password in it is not fetched")
        last: httpx2.TransportError | None = None
        for address in await self._addresses(url):
            headers = {"host": url.netloc.decode(), "accept-encoding": "gzip, deflate", "user-agent": "millstream"}
            request = client.build_request(
                "GET", url.copy_with(host=address), headers=headers, extensions={"sni_hostname": url.host}
            )
            request.extensions["timeout"] = client.timeout.as_dict()
            try:
                return await client.send(request, stream=True)
            except httpx2.ConnectError as error:
                last = error
        raise last or ToolFault(f"{url.host} has no address")

    async def _addresses(self, url: httpx2.URL) -> Sequence[str]:
        host = url.host
        try:
            addresses: Sequence[str] = [str(ip_address(host))]
        except ValueError:
            try:
                addresses = await self._resolve(host, url.port or (443 if url.scheme == "https" else 80))
            except (OSError, UnicodeError) as error:
                raise ToolFault(f"{host} has no address: {error}") from error
        if not self._options.private_addresses and not all(map(is_public, addresses)):
            raise ToolFault(f"{host} is an address of this machine or of its network, which is not fetched")
        return addresses


async def _body(response: httpx2.Response) -> bytes:
    media_type = response.headers.get("content-type", "text/plain").partition(";")[0].strip().lower()
    if media_type not in _HTML and not _TEXT.match(media_type):
        raise ToolFault(f"{response.url} is {media_type}, not text")
    body = bytearray()
    async for piece in response.aiter_bytes(64 * 1024):
        body += piece
        if len(body) > _LARGEST:
            raise ToolFault(f"the page has more than {_LARGEST // (1024 * 1024)} MiB")
    return bytes(body)


def _text(content_type: str, body: bytes) -> str:
    media_type, _, rest = content_type.partition(";")
    named = re.search(r"charset\s*=\s*\"?([\w.:-]+)", rest, re.IGNORECASE)
    html = media_type.strip().lower() in _HTML
    meta = _META_CHARSET.search(body[:4096]) if html else None
    charset = named[1] if named else meta[1].decode() if meta else "utf-8"
    try:
        text = body.decode(charset, "replace")
    except (LookupError, ValueError):
        text = body.decode("utf-8", "replace")
    return _markdown(text) if html else text


def _markdown(html: str) -> str:
    try:
        import html_to_markdown
    except ImportError as error:
        raise ToolFault(MISSING) from error
    try:
        return html_to_markdown.convert(html).content or ""
    except html_to_markdown.ConversionError as error:
        raise ToolFault(f"the page is not HTML that can be read: {error}") from error
