"""``GET /api/v1/state``: what the gateway has served since it began, in figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from millstream import __version__
from millstream.core.errors import MillstreamError
from millstream.core.timestamps import timestamp
from millstream.dialects.chat_events import ChatErrors
from millstream.pipeline import Gateway
from millstream.server.figures import Figured, Figures
from millstream.server.tally import BUCKET_S, BUCKETS, Bucket, Health, OfModel

_SHARES = (50, 95, 99)


class StateEndpoint:
    """``answer`` is a handler of Starlette. ``endpoints`` are the paths that this gateway serves; ``worker`` is this
    process's number where it is one of several, whose figures are then those of all of them."""

    def __init__(self, gateway: Gateway, figured: Figured, endpoints: Sequence[str], worker: int | None = None) -> None:
        self._gateway = gateway
        self._figured = figured
        self._endpoints = sorted(set(endpoints))
        self._worker = worker

    async def answer(self, _: Request) -> Response:
        try:
            state = self.state(await self._figured.all(False))
        except MillstreamError as error:
            reply = ChatErrors().render_error(error)
            return Response(reply.body, reply.status, reply.headers)
        headers = {"cache-control": "no-store"}
        return Response(msgspec.json.encode(state), 200, headers, "application/json")

    def state(self, figures: Figures) -> dict[str, Any]:
        tally = figures.tally
        now = self._gateway.now()
        return {
            "version": __version__,
            "now": timestamp(int(now * 1000)),
            "uptime_s": round(figures.uptime, 1),
            "worker": self._worker,
            "processes": figures.processes,
            "open_streams": figures.open_streams,
            "default_model": self._gateway.routes.default,
            "requests": tally.ends.said(),
            "clients": _most_first(tally.clients),
            "errors": _most_first(tally.errors),
            "recent": {"bucket_s": BUCKET_S, "buckets": _recent(tally.buckets, now)},
            "models": [_model(name, model) for name, model in sorted(tally.models.items())],
            "providers": [
                self._provider(name, tally.providers.get(name, Health())) for name in sorted(self._gateway.upstreams)
            ],
            "endpoints": self._endpoints,
        }

    def _provider(self, name: str, health: Health) -> dict[str, Any]:
        provider = self._gateway.upstreams[name].provider
        if not provider.usable:
            state = "unusable"
        elif health.in_a_row:
            state = "failing"
        else:
            state = "ok" if health.good_at is not None else "unused"
        return {
            "name": name,
            "state": state,
            "lacks": provider.lacks if not provider.usable else None,
            "requests": health.ends.said(),
            "failures_in_a_row": health.in_a_row,
            "last_success": _moment(health.good_at),
            "last_failure": _moment(health.bad_at),
            "last_error": health.error,
            "last_error_status": health.status,
        }


def _recent(buckets: Sequence[Bucket], now: float) -> list[dict[str, int]]:
    """The oldest first, without gaps, up to the present one."""
    last = int(now // BUCKET_S)
    known = {bucket.number: bucket for bucket in buckets}
    found = [known.get(number) or Bucket(number) for number in range(last - BUCKETS + 1, last + 1)]
    return [bucket.ends.said() | {"output_tokens": bucket.output_tokens} for bucket in found]


def _most_first(counts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def percentile(ordered: Sequence[float], share: int) -> float:
    """The smallest of ``ordered`` that at least ``share`` per cent of them do not exceed."""
    return ordered[max(0, -(-len(ordered) * share // 100) - 1)]


def _model(name: str, model: OfModel) -> dict[str, Any]:
    ordered = sorted(model.first)
    first = {f"p{share}": round(percentile(ordered, share) * 1000, 1) for share in _SHARES} if ordered else None
    return {
        "model": name,
        "requests": model.ends.said(),
        "first_content_ms": first,
        "samples": len(ordered),
        "input_tokens": model.input_tokens,
        "output_tokens": model.output_tokens,
    }


def _moment(at: float | None) -> str | None:
    return None if at is None else timestamp(int(at * 1000))
