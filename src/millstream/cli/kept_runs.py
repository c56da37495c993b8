"""Runs that a gateway keeps, read from one that runs."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Sequence
from urllib.parse import quote, urlsplit

from typer.exceptions import TyperException

from millstream.core.run_events import RunEntry, RunEvent, decode_entry

_LIMIT = 30.0


def kept_run(url: str, key: str | None, run_id: str) -> Iterator[tuple[float, Sequence[RunEvent]]]:
    """What the run said so far, each event with its time in seconds from the run's beginning.

    Raises ``TyperException`` where no gateway answers at ``url``, or it keeps no such run.
    """
    first: int | None = None
    after: int | None = 0
    while after is not None:
        entries, last = _page(url, key, run_id, after)
        for entry in entries:
            first = entry.at if first is None else first
            yield (entry.at - first) / 1000, [entry.event]
        after = entries[-1].number if entries and entries[-1].number < last else None


def _page(url: str, key: str | None, run_id: str, after: int) -> tuple[list[RunEntry], int]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_LIMIT)
    try:
        headers = {"authorization": f"Bearer {key}"} if key is not None else {}
        connection.request("GET", f"/api/v1/runs/{quote(run_id, safe='')}/events?after={after}", headers=headers)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        told = f"there is no file {run_id}, and no gateway answers at {url} that may keep a run of this name"
        raise TyperException(told) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise TyperException(f"there is no file {run_id}, and the gateway at {url} keeps no run of this name")
    start = int(answer.headers["x-millstream-first"])
    entries = [decode_entry(start + place, line) for place, line in enumerate(body.splitlines())]
    return entries, int(answer.headers["x-millstream-last"])
