"""What callers use and what operators watch, put together for the application: the meter, metrics, spans."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from millstream import __version__
from millstream.agent.toolbox import Toolbox
from millstream.config import Config, ConfigError, state_path
from millstream.core.errors import Kind, MillstreamError, PolicyRefusal
from millstream.dialects.chat_events import ChatErrors
from millstream.pipeline import Gateway
from millstream.policy.budget import Ledger, MemoryLedger
from millstream.policy.ratelimit import Rates
from millstream.policy.routing import Route as ModelRoute
from millstream.providers.catalog import Provider
from millstream.server.credentials import common_limits
from millstream.server.figures import Figured
from millstream.server.identity import caller_of
from millstream.server.keyfile import keys_path, read_keys
from millstream.server.ledger import RedisLedger
from millstream.server.metering import Spent, UsageMeter
from millstream.server.model_api import Deliveries
from millstream.server.runs.manager import Runs
from millstream.server.usage import UsageEndpoint
from millstream.sessions.usage import MemoryUsage, SqliteUsage, UsageStore
from millstream.telemetry.metrics import CONTENT_TYPE, Metrics, text_of
from millstream.telemetry.prices import Price, Prices

if TYPE_CHECKING:
    from millstream.telemetry.otel import Exporter


class Accounts:
    """``meter`` is to be entered where the application begins. Raises ``ConfigError``."""

    def __init__(self, config: Config, providers: Mapping[str, Provider], now: Callable[[], float]) -> None:
        self._config = config
        self._now = now
        self.metrics = Metrics(config.metrics.most_models) if config.metrics.enabled else None
        self._spenders: list[Spent] = [self.metrics.spent] if self.metrics is not None else []
        own = {name: Price(one.input, one.output, one.cache_read) for name, one in config.limits.prices.items()}
        self.meter = UsageMeter(
            _store(config),
            _ledger(config, now),
            Rates(now, config.limits.redis_url),
            Prices(own, providers),
            now,
            config.limits.reserve_output,
            self._spent,
        )
        self._exporter: Exporter | None = None
        _require_limits_library(config)

    def watch(self, gateway: Gateway, deliveries: Deliveries, runs: Runs, toolbox: Toolbox) -> None:
        """From now on. Raises ``ConfigError``."""
        if self.metrics is not None:
            self.metrics.open_streams = deliveries.__len__
            self.metrics.resumes = lambda: runs.resumes
            gateway.observers.append(self.metrics.observe)
            toolbox.watchers.append(self.metrics.tool_ended)
        if self._config.metrics.otel:
            self._export(gateway, deliveries, runs, toolbox)

    def _export(self, gateway: Gateway, deliveries: Deliveries, runs: Runs, toolbox: Toolbox) -> None:
        from millstream.telemetry.otel import Exporter
        from millstream.telemetry.otel_metrics import GenAiMetrics

        try:
            self._exporter = Exporter(__version__)
        except ImportError as error:
            raise ConfigError("metrics.otel needs: pip install 'millstream[otel]'") from error
        spans, most = self._exporter.spans, self._config.metrics.most_models
        metrics = GenAiMetrics(self._exporter.meter, most, deliveries.__len__, lambda: runs.resumes)
        gateway.observers.extend((spans.observe, metrics.observe))
        toolbox.watchers.extend((spans.tool_ended, metrics.tool_ended))
        self._spenders.append(metrics.spent)

    def _spent(self, route: ModelRoute, cost: float) -> None:
        for told in self._spenders:
            told(route, cost)

    async def aclose(self) -> None:
        """Once no request is under way any more."""
        if self._exporter is not None:
            await self._exporter.aclose()

    def routes(self, figured: Figured) -> list[BaseRoute]:
        found: list[BaseRoute] = [Route("/api/v1/usage", UsageEndpoint(self.meter, self._now).answer, methods=["GET"])]
        if self.metrics is not None:
            found.append(Route("/metrics", partial(self._metrics, figured), methods=["GET"]))
        return found

    async def _metrics(self, figured: Figured, request: Request) -> Response:
        try:
            if not (self._config.metrics.public or caller_of(request.scope).admin):
                raise PolicyRefusal("metrics are for admins, or for all with metrics.public", Kind.PERMISSION)
            text = text_of((await figured.all(True)).families)
        except MillstreamError as refusal:
            reply = ChatErrors().render_error(refusal)
            return Response(reply.body, reply.status, reply.headers)
        return Response(text, 200, {"content-type": CONTENT_TYPE, "cache-control": "no-store"})


def usage_path(config: Config) -> Path:
    """The file of what was used."""
    path = config.sessions.path
    return (Path(path).expanduser() if path is not None else state_path()).with_name("usage.db")


def _store(config: Config) -> UsageStore:
    return MemoryUsage() if config.sessions.store == "memory" else SqliteUsage(usage_path(config))


def _ledger(config: Config, now: Callable[[], float]) -> Ledger:
    url = config.limits.redis_url
    if url is None:
        return MemoryLedger(now)
    try:
        return RedisLedger(url)
    except ImportError as error:
        raise ConfigError("limits.redis_url needs: pip install 'millstream[redis]'") from error
    except ValueError as error:
        raise ConfigError(f"limits.redis_url: it cannot be used: {error}") from error


def _require_limits_library(config: Config) -> None:
    """Raises ``ConfigError`` where a rate is set that could not be looked after."""
    common = common_limits(config)
    fixed = [key.requests_per_minute for key in config.auth.keys.values()]
    kept = [key.requests_per_minute for key in read_keys(keys_path(config))]
    if not any(rate is not None for rate in (common.requests_per_minute, *fixed, *kept)):
        return
    try:
        import limits  # noqa: F401  # only whether it is there
    except ImportError as error:
        raise ConfigError("requests_per_minute needs: pip install 'millstream[limits]'") from error
