"""``GET /api/v1/usage``: what was used, summed up as asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from millstream.core.errors import ClientFault, MillstreamError, UpstreamFault
from millstream.dialects.chat_events import ChatErrors
from millstream.policy.budget import MICRO
from millstream.server.identity import caller_of
from millstream.server.metering import UsageMeter
from millstream.sessions.base import StoreError
from millstream.sessions.usage import HOUR_S, Row, Used

GROUPS = ("key", "user", "model", "day")
_DEFAULT_DAYS = 30


class UsageEndpoint:
    """``answer`` is a handler of Starlette. Admins see everybody's, others their own."""

    def __init__(self, meter: UsageMeter, now: Callable[[], float]) -> None:
        self._meter = meter
        self._now = now

    async def answer(self, request: Request) -> Response:
        try:
            body = await self._body(request)
        except MillstreamError as error:
            reply = ChatErrors().render_error(error)
            return Response(reply.body, reply.status, reply.headers)
        headers = {"cache-control": "no-store"}
        return Response(msgspec.json.encode(body), 200, headers, "application/json")

    async def _body(self, request: Request) -> dict[str, Any]:
        first, last = days_of(request.query_params.get("from"), request.query_params.get("to"), self._now())
        groups = groups_of(request.query_params.get("by", "key,user,model"))
        try:
            rows = await self._meter.rows(_hour(first), _hour(last + timedelta(days=1)))
        except StoreError as error:
            raise UpstreamFault(f"usage cannot be read: {error}", status=503) from error
        who = caller_of(request.scope)
        if not who.admin:
            rows = [(place, used) for place, used in rows if (place.key, place.user) == (who.name, who.user or "")]
        return summary(rows, groups, first, last)


def days_of(first: str | None, last: str | None, now: float) -> tuple[date, date]:
    """Both are part of it; without them, the last 30 days. Raises ``ClientFault``."""
    today = datetime.fromtimestamp(now, UTC).date()
    try:
        end = date.fromisoformat(last) if last else today
        start = date.fromisoformat(first) if first else end - timedelta(days=_DEFAULT_DAYS - 1)
        _hour(end + timedelta(days=1)), _hour(start)
    except (ValueError, OverflowError):
        raise ClientFault("from, to: write a day, such as 2026-11-21", param="from") from None
    return start, end


def groups_of(text: str) -> tuple[str, ...]:
    """Raises ``ClientFault``."""
    found = tuple(dict.fromkeys(part for part in text.split(",") if part))
    if not set(found) <= set(GROUPS):
        raise ClientFault(f"by: write some of {', '.join(GROUPS)}", param="by")
    return found


def summary(rows: Iterable[Row], groups: Sequence[str], first: date, last: date) -> dict[str, Any]:
    """The dearest group first."""
    sums: dict[tuple[str, ...], Used] = {}
    total = Used()
    for place, used in rows:
        day = datetime.fromtimestamp(place.hour * HOUR_S, UTC).date().isoformat()
        of_group = {"key": place.key, "user": place.user, "model": place.model, "day": day}
        group = tuple(of_group[name] for name in groups)
        sums[group] = sums.get(group, Used()).plus(used)
        total = total.plus(used)
    ordered = sorted(sums.items(), key=lambda item: (-item[1].cost_micro, -item[1].output_tokens, item[0]))
    found = [dict(zip(groups, group, strict=True)) | _figures(used) for group, used in ordered]
    return {"from": first.isoformat(), "to": last.isoformat(), "usage": found, "total": _figures(total)}


def _figures(used: Used) -> dict[str, Any]:
    found = used._asdict()
    del found["cost_micro"]
    return {**found, "cost_usd": used.cost_micro / MICRO}


def _hour(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) // HOUR_S
