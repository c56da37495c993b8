"""OpenTelemetry: one span for each request, made when it has ended, in the names of the GenAI conventions.

https://github.com/open-telemetry/semantic-conventions-genai (still in development, so the names stand here and not in a
package). Where spans go is said by OpenTelemetry's own variables (``OTEL_EXPORTER_OTLP_ENDPOINT``, …).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.pipeline import End, Record

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer
    from opentelemetry.util.types import AttributeValue

_NS = 1_000_000_000
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}
"""Ours → theirs, where they differ. A provider's variety (``azure-anthropic``) is named by what precedes the dash."""


class Spans:
    """An observer of a gateway. ``tracer`` is where spans begin."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def observe(self, record: Record, status: int, end: End, began: float, now: float) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode

        model = record.route.model if record.route is not None else record.model
        span = self._tracer.start_span(
            f"chat {model}" if model else "chat",
            kind=SpanKind.CLIENT,
            start_time=int(began * _NS),
            attributes=attributes(record, status, end, began),
        )
        if end == "failed":
            span.set_status(Status(StatusCode.ERROR, record.error.kind.value if record.error is not None else None))
        span.end(int(now * _NS))


def attributes(record: Record, status: int, end: End, began: float) -> dict[str, AttributeValue]:
    """Nothing of what was asked or answered."""
    usage = record.usage
    found: dict[str, AttributeValue | None] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _provider(record),
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


def _provider(record: Record) -> str | None:
    if record.route is None:
        return None
    name = record.route.provider
    return _PROVIDERS.get(name) or _PROVIDERS.get(name.partition("-")[0], name)


def exporting(version: str) -> Spans:
    """Spans in batches to wherever the environment says. Raises ``ImportError`` where that is not installed."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "millstream", "service.version": version}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Spans(provider.get_tracer("millstream", version))
