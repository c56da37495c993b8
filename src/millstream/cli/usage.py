"""``millstream usage``: who used how much, and what it cost."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.exceptions import TyperException

from millstream.cli import options

if TYPE_CHECKING:
    from millstream.config import Config

_TIMEOUT_S = 30.0

Days = Annotated[int, typer.Option("--days", min=1, max=400, help="The last so many, with today (UTC).")]


class Group(StrEnum):
    """What is summed up."""

    KEY = "key"
    USER = "user"
    MODEL = "model"
    DAY = "day"


USAGE_EXAMPLE = """\b
Examples:
  millstream usage
  millstream usage --by key --by day --days 7
  millstream usage --url https://gateway.example --json
"""


def usage(
    days: Days = 30,
    by: Annotated[list[Group] | None, typer.Option("--by", help="Can be repeated. [default: key, user, model]")] = None,
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="Ask a gateway that runs, with the key in MILLSTREAM_API_KEY."),
    ] = None,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
    as_json: options.AsJson = False,
) -> None:
    """Show who used how much of which model, and what it cost."""
    from millstream.cli.output import print_json, print_line, print_table

    groups = [group.value for group in by] if by else ["key", "user", "model"]
    tree = options.load(config, settings)
    first = datetime.now(UTC).date() - timedelta(days=days - 1)
    if url is not None:
        found = _ask(url, f"/api/v1/usage?from={first}&by={','.join(groups)}", os.environ.get("MILLSTREAM_API_KEY"))
    else:
        found = _read(tree, groups, first)
    if as_json:
        print_json(found)
        return
    if not found["usage"]:
        print_line(f"nothing was used since {found['from']}")
        return
    columns = ["requests", "failed", "input_tokens", "output_tokens"]
    rows = [
        [*(row[group] for group in groups), *(str(row[name]) for name in columns), f"${row['cost_usd']:.4f}"]
        for row in [*found["usage"], dict.fromkeys(groups, "") | found["total"]]
    ]
    print_table([*groups, "requests", "failed", "tokens in", "tokens out", "cost"], rows)
    if found["total"]["unpriced"]:
        print_line(f"The cost of {found['total']['unpriced']} requests is not known; limits.prices can say it.")


def _read(tree: Config, groups: Sequence[str], first: date) -> dict[str, Any]:
    """From the file that the gateways of this machine write. Raises ``TyperException``."""
    import asyncio

    from millstream.server.accounts import usage_path
    from millstream.server.usage import summary
    from millstream.sessions.base import StoreError
    from millstream.sessions.usage import HOUR_S, Row, SqliteUsage

    path = usage_path(tree)
    start = int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp()) // HOUR_S

    async def rows() -> list[Row]:
        store = SqliteUsage(path)
        try:
            return await store.between(start, 2**40)
        finally:
            await store.aclose()

    try:
        found = asyncio.run(rows()) if path.exists() else []
    except StoreError as error:
        raise TyperException(str(error)) from error
    return summary(found, groups, first, datetime.now(UTC).date())


def _ask(url: str, path: str, key: str | None) -> dict[str, Any]:
    """Raises ``TyperException`` with what the gateway says is wrong."""
    import http.client
    from urllib.parse import urlsplit

    import msgspec

    parts = urlsplit(url.rstrip("/"))
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", parts.path + path, headers={"authorization": f"Bearer {key}"} if key else {})
        answer = connection.getresponse()
        body: dict[str, Any] = msgspec.json.decode(answer.read())
    except (OSError, http.client.HTTPException, msgspec.MsgspecError, ValueError) as error:
        raise TyperException(f"no gateway answers at {url} ({error})") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise TyperException(f"{url}: {body.get('message', answer.reason)}")
    return body
