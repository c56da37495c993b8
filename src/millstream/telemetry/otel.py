"""OpenTelemetry: one span for each request, made when it has ended, and within it one for each tool that ran here for
it, in the names of the GenAI conventions.

https://github.com/open-telemetry/semantic-conventions-genai (still in development, so the names stand here and not in a
package). Where spans go is said by OpenTelemetry's own variables (``OTEL_EXPORTER_OTLP_ENDPOINT``, …).
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from millstream.agent.subagent import PARENT
from millstream.pipeline import End, Record
from millstream.policy.routing import Route

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer
    from opentelemetry.util.types import AttributeValue

_NS = 1_000_000_000
_MOST_RUNS = 2000
_MOST_WITHIN = 500
_PATIENCE_S = 3.0
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}
"""Ours → theirs, where they differ. A provider's variety (``azure-anthropic``) is named by what precedes the dash."""


@dataclass(frozen=True, slots=True)
class _Span:
    """What will be one. Times are Unix times; ``failure`` is what went wrong, if anything did."""

    name: str
    kind: Literal["client", "internal"]
    began: float
    ended: float
    attributes: Mapping[str, AttributeValue]
    failure: str | None = None
    inner: Sequence[_Span] = ()


class Spans:
    """An observer of a gateway and of its tools. ``tracer`` is where spans begin, ``now`` is Unix time.

    The tools of a run have ended before it has: they are kept till then, those of agents that its tools start too.
    """

    def __init__(self, tracer: Tracer, now: Callable[[], float] = time.time) -> None:
        self._tracer = tracer
        self._now = now
        self._within: dict[str, list[_Span]] = {}

    def observe(self, record: Record, status: int, end: End, began: float, now: float) -> None:
        model = record.route.model if record.route is not None else record.model
        failure = None
        if end == "failed":
            failure = record.error.kind.value if record.error is not None else ""
        name = f"chat {model}" if model else "chat"
        inner = self._within.pop(record.id, ())
        self._tell(_Span(name, "client", began, now, attributes(record, status, end, began), failure, inner), None)

    def tool_ended(self, tool: str, seconds: float, is_error: bool) -> None:
        """A tool ran here, in the task that calls this."""
        now = self._now()
        found: dict[str, AttributeValue] = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool}
        failure = None
        if is_error:
            found["error.type"] = failure = "tool_error"
        run = PARENT.get()
        if run is not None:
            self._keep(run.run_id, _Span(f"execute_tool {tool}", "internal", now - seconds, now, found, failure))

    def _keep(self, run_id: str, span: _Span) -> None:
        if run_id not in self._within and len(self._within) >= _MOST_RUNS:
            del self._within[next(iter(self._within))]  # of one that nobody observed the end of
        kept = self._within.setdefault(run_id, [])
        if len(kept) < _MOST_WITHIN:
            kept.append(span)

    def _tell(self, told: _Span, within: Context | None) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        kind = SpanKind.CLIENT if told.kind == "client" else SpanKind.INTERNAL
        span = self._tracer.start_span(
            told.name, within, kind=kind, start_time=int(told.began * _NS), attributes=told.attributes
        )
        if told.failure is not None:
            span.set_status(Status(StatusCode.ERROR, told.failure or None))
        for one in told.inner:
            self._tell(one, set_span_in_context(span, within))
        span.end(int(told.ended * _NS))


def attributes(record: Record, status: int, end: End, began: float) -> dict[str, AttributeValue]:
    """Nothing of what was asked or answered."""
    usage = record.usage
    found: dict[str, AttributeValue | None] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider_name(record.route) if record.route is not None else None,
        "gen_ai.request.model": record.route.model if record.route is not None else record.model,
        "gen_ai.request.stream": record.stream,
        "gen_ai.response.finish_reasons": (record.finish_reason,) if record.finish_reason else None,
        "http.response.status_code": status,
        "millstream.request.id": record.id,
        "millstream.surface": record.dialect,
        "millstream.end": end,
        "millstream.tries": record.tries,
        "millstream.dropped": record.dropped or None,
        "error.type": record.error.kind.value if record.error is not None else None,
    }
    if record.first_content_at is not None:
        found["gen_ai.response.time_to_first_chunk"] = max(0.0, record.first_content_at - began)
    if usage is not None:
        found |= {
            "gen_ai.usage.input_tokens": usage.input_tokens,
            "gen_ai.usage.output_tokens": usage.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": usage.cache_read_tokens,
            "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        }
    return {name: value for name, value in found.items() if value is not None}


def provider_name(route: Route) -> str:
    """As the conventions have it."""
    name = route.provider
    return _PROVIDERS.get(name) or _PROVIDERS.get(name.partition("-")[0], name)


class Exporter:
    """Spans and metrics in batches to wherever the environment says, each by a thread of its own. Raises
    ``ImportError`` where that is not installed."""

    def __init__(self, version: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        about = {"service.name": "millstream", "service.version": version, "service.instance.id": str(uuid.uuid4())}
        resource = Resource.create(about)
        self._exporters = spans, metrics = OTLPSpanExporter(), OTLPMetricExporter()
        self._traced = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._traced.add_span_processor(BatchSpanProcessor(spans))
        reader = PeriodicExportingMetricReader(metrics)
        self._metered = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        self.spans = Spans(self._traced.get_tracer("millstream", version))
        self.meter = self._metered.get_meter("millstream", version)

    async def aclose(self) -> None:
        """What has not left by then is tried once more, but nobody is kept waiting for a receiver that is away."""
        loop = asyncio.get_running_loop()
        closed = [asyncio.Event(), asyncio.Event()]

        def close(provider: TracerProvider | MeterProvider, done: asyncio.Event) -> None:
            with suppress(Exception):  # that it did not arrive has been logged
                provider.shutdown()
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(done.set)

        for provider, done in zip((self._traced, self._metered), closed, strict=True):
            threading.Thread(target=close, args=(provider, done), name="telemetry", daemon=True).start()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                for done in closed:
                    await done.wait()
        except TimeoutError:
            for exporter in self._exporters:
                exporter.shutdown()
