"""What ``/metrics`` tells, what spans tell, and that the dashboard and the page on metrics speak of the same."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gateway_site import Site, model_of, run
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client.parser import text_string_to_metric_families
from raw_client import RawClient
from raw_upstream import Call
from wires import ChatWire, Wire

from millstream.core.errors import Kind, UpstreamFault
from millstream.core.messages import Usage
from millstream.pipeline import Record
from millstream.policy.routing import Route
from millstream.providers.catalog import Provider
from millstream.telemetry.metrics import OTHER, Metrics, counted, joined, text_of
from millstream.telemetry.otel import Spans
from millstream.telemetry.prices import Price, Prices
from millstream.testing.gateway import GatewayThread

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "examples/grafana/dashboard.json"
NAME = re.compile(r"\bmillstream_\w+")

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    return {
        (sample.name, frozenset((name, value) for name, value in sample.labels.items() if value)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found.get((f"millstream_{name}", frozenset(labels.items())), 0.0)


async def metrics_of(thread: GatewayThread, done: int) -> Samples:
    """Once ``done`` requests have been counted: a client may see its answer's end before that."""
    async with RawClient(thread.address) as client:
        while True:
            status, body = await client.ask("GET", "/metrics")
            assert status == 200
            found = samples(body.decode())
            ended = sum(number for (name, _), number in found.items() if name == "millstream_requests_total")
            if ended >= done:
                return found


def test_requests_are_counted_when_they_have_ended(site: Site, client: Wire, upstream: Wire) -> None:
    async def fails(call: Call) -> None:
        await call.answer(503, upstream.refusal("overloaded", "later"))

    async def answer(call: Call) -> None:
        await call.stream(*upstream.answer("Hello there."))

    async def main() -> None:
        thread = GatewayThread(site.config())
        await asyncio.to_thread(thread.__enter__)
        try:
            async with site.upstream(fails, answer), RawClient(thread.address) as sender:
                await sender.ask("POST", client.path, client.request(model=model_of(upstream)))
                await sender.ask("POST", client.path, client.request(model="no-such-model-here"))
                found = await metrics_of(thread, 2)
        finally:
            await asyncio.to_thread(thread.__exit__, None, None, None)
        of = {"provider": f"{upstream.name}-up", "model": "m"}
        assert value(found, "requests_total", surface=client.name, end="finished", **of) == 1
        assert value(found, "requests_total", surface=client.name, end="failed") == 1
        assert value(found, "errors_total", whose="client", kind="not_found") == 1
        assert value(found, "retries_total", provider=of["provider"]) == 1
        assert value(found, "first_content_seconds_count", **of) == 1
        assert value(found, "stream_seconds_count", **of) == 1
        assert value(found, "stream_seconds_sum", **of) >= value(found, "first_content_seconds_sum", **of) > 0
        assert value(found, "chunks_total", **of) >= 1
        assert value(found, "tokens_total", type="input", **of) == 9
        assert value(found, "tokens_total", type="output", **of) == 5
        assert value(found, "open_streams") == 0

    run(main())


def test_reading_on_from_the_middle_is_a_resume(site: Site) -> None:
    wire = ChatWire()

    async def answer(call: Call) -> None:
        await call.stream(*wire.answer("Hello there."))

    async def main() -> None:
        async with site.upstream(answer), site.client() as client:
            before = value(await metrics_of(site.gateway(), 0), "resumes_total")
            ask = {"query": "hello", "model": model_of(wire), "run_id": "resumed"}
            assert (await client.ask("POST", "/api/v1/stream", msgspec.json.encode(ask)))[0] == 200
            await client.ask("GET", "/api/v1/stream/resumed", headers={"last-event-id": "1"})
            assert value(await metrics_of(site.gateway(), 0), "resumes_total") == before + 1

    run(main())


def record(**more: Any) -> Record:
    fields: dict[str, Any] = {"model": "big", "route": Route("groq", "kimi"), "stream": True, "tries": 1}
    return Record("ms_1", "anthropic", **{**fields, **more})


def test_a_client_cannot_make_the_metrics_grow_without_end() -> None:
    metrics = Metrics(most_models=3)
    for number in range(2000):
        fields = (f"field-{number}",)
        metrics.observe(record(route=Route("groq", f"m{number}"), dropped=fields), 200, "finished", 0.0, 1.0)
        metrics.tool_ended(f"tool-{number}", 0.1, is_error=False)
    text = text_of(metrics.families()).decode()
    found = samples(text)
    assert value(found, "requests_total", surface="anthropic", provider="groq", model=OTHER, end="finished") == 1997
    assert value(found, "dropped_fields_total", field=OTHER) == 1500
    assert len(text) < 2_000_000


def test_names_that_clients_make_up_cannot_forge_a_line() -> None:
    metrics = Metrics(most_models=3)
    forged = 'x"} 1\nmillstream_cost_usd_total{model="free'
    metrics.observe(record(route=Route("groq", forged), usage=Usage(1, 1)), 200, "finished", 0.0, 1.0)
    found = samples(text_of(metrics.families()).decode())
    assert value(found, "requests_total", surface="anthropic", provider="groq", model=forged, end="finished") == 1
    assert not any(dict(labels).get("model") == "free" for _, labels in found)


def test_time_per_chunk_is_of_what_followed_the_first() -> None:
    metrics = Metrics(most_models=3)
    metrics.observe(record(first_content_at=2.0, chunks=11), 200, "finished", 0.0, 3.0)
    found = samples(text_of(metrics.families()).decode())
    assert value(found, "output_chunk_seconds_sum", provider="groq", model="kimi") == pytest.approx(0.1)


def test_figures_of_several_processes_are_added_up() -> None:
    one, other = Metrics(most_models=3), Metrics(most_models=3)
    one.open_streams, other.open_streams = (lambda: 2), (lambda: 3)
    for metrics, chunks in ((one, 3), (other, 5), (other, 5)):
        metrics.observe(record(chunks=chunks, first_content_at=0.5), 200, "finished", 0.0, 1.0)
    other.observe(record(route=Route("groq", "else")), 200, "finished", 0.0, 1.0)
    parts = [one.families(), other.families()]
    found = samples(text_of(joined(parts)).decode())
    of = {"provider": "groq", "model": "kimi"}
    assert value(found, "chunks_total", **of) == 13
    assert value(found, "first_content_seconds_bucket", **of, le="0.5") == 3
    assert value(found, "requests_total", surface="anthropic", provider="groq", model="else", end="finished") == 1
    assert value(found, "open_streams") == 5
    begun = [value(samples(text_of(part).decode()), "chunks_created", **of) for part in parts]
    assert value(found, "chunks_created", **of) == min(begun)
    after_its_end = samples(text_of(joined([parts[0], counted(parts[1])])).decode())
    assert value(after_its_end, "open_streams") == 2
    assert value(after_its_end, "chunks_total", **of) == 13


def exported() -> dict[str, set[str]]:
    """Each sample's name and its labels, with something in every metric."""
    metrics = Metrics(most_models=3)
    error = UpstreamFault("no", Kind.OVERLOADED)
    whole = {"usage": Usage(1, 1, 1, 1, 1), "first_content_at": 1.0, "chunks": 3, "dropped": ("top_k",), "tries": 2}
    metrics.observe(record(error=error, **whole), 200, "failed", 0.0, 2.0)
    metrics.spent(Route("groq", "kimi"), 0.5)
    metrics.tool_ended("Read", 0.1, is_error=True)
    return {name: {label for label, _ in labels} for name, labels in samples(text_of(metrics.families()).decode())}


def test_the_dashboard_asks_for_metrics_and_labels_that_there_are() -> None:
    board = json.loads(DASHBOARD.read_text())
    there = exported()
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked += [one["query"]["query"] for one in board["templating"]["list"] if one["type"] == "query"]
    names = {name for expression in asked for name in NAME.findall(expression)}
    assert names <= there.keys()
    for expression in asked:
        labels = {label for part in re.findall(r"by \(([^)]*)\)", expression) for label in part.split(", ")}
        labels |= set(re.findall(r"(\w+)=~?\"", expression))
        of_them = set.union(*(there[name] for name in NAME.findall(expression)))
        assert labels <= of_them, expression
    families = {re.sub(r"_(total|bucket|count|sum|created)$", "", name) for name in there}
    shown = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in names}
    assert shown == families, "a metric is on no panel"


def test_the_page_on_metrics_lists_them_all() -> None:
    page = (ROOT / "docs/metrics.md").read_text()
    documented = set(re.findall(r"^\| `(millstream_\w+)`", page, re.MULTILINE))
    assert documented == {
        re.sub(r"_(bucket|count|sum|created)$", "", name) for name in exported() if "_created" not in name
    }


def test_a_span_tells_of_a_request_in_the_names_of_the_conventions() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    spans = Spans(provider.get_tracer("test"))
    usage = Usage(100, 20, 60, 10, 5)
    good = record(usage=usage, first_content_at=11.0, finish_reason="stop")
    spans.observe(good, 200, "finished", 10.0, 12.5)
    spans.observe(record(error=UpstreamFault("no", Kind.TIMEOUT)), 504, "failed", 10.0, 11.0)
    told, failed = exporter.get_finished_spans()
    assert (told.name, told.kind) == ("chat kimi", SpanKind.CLIENT)
    assert (told.start_time, told.end_time) == (10_000_000_000, 12_500_000_000)
    assert told.attributes is not None
    assert dict(told.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "groq",
        "gen_ai.request.model": "kimi",
        "gen_ai.request.stream": True,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": 1.0,
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 60,
        "gen_ai.usage.cache_creation.input_tokens": 10,
        "gen_ai.usage.reasoning.output_tokens": 5,
        "http.response.status_code": 200,
        "millstream.request.id": "ms_1",
        "millstream.surface": "anthropic",
        "millstream.end": "finished",
        "millstream.tries": 1,
    }
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "timeout"


def test_inside_an_application_that_traces_spans_are_part_of_its_own() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("theirs"):
        Spans(tracer).observe(record(), 200, "finished", 10.0, 12.5)
    ours, theirs = exporter.get_finished_spans()
    assert ours.parent is not None
    assert ours.parent.span_id == theirs.context.span_id


def test_prices_are_the_settings_or_those_that_are_known() -> None:
    from millstream import registry
    from millstream.config import Config

    known: dict[str, Provider] = registry.providers(Config(), {})
    prices = Prices({"groq/own*": Price(10.0, 20.0, 1.0)}, known)
    usage = Usage(1_000_000, 500_000, 400_000)
    assert prices.cost(usage, Route("groq", "own-model")) == pytest.approx(6.0 + 0.4 + 10.0)
    cost = prices.cost(Usage(1_000_000, 0), Route("openai", "gpt-4o-mini"))
    assert cost == pytest.approx(0.15)
    assert prices.cost(usage, Route("openai", "no-such-model")) is None
    assert prices.cost(usage, Route("embedded", "smollm2")) == 0.0
    assert prices.cost(usage, Route("nobody", "x")) is None
