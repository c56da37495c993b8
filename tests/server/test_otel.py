"""Spans on their way to a receiver of OTLP: what arrives there, and that nobody waits for one that is away."""

from __future__ import annotations

import asyncio
import gzip
import json
import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from gateway_site import run
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, NumberDataPoint
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from played import scenario
from raw_client import RawClient
from tools import Tools, says

from millstream.agent.subagent import PARENT, Parent
from millstream.config import Config, MetricsConfig, ProviderConfig, SessionsConfig
from millstream.pipeline import Record
from millstream.policy.routing import Route
from millstream.providers.replay.scenario import Scenario
from millstream.telemetry.otel import Spans
from millstream.telemetry.otel_metrics import GenAiMetrics
from millstream.testing.gateway import GatewayThread
from millstream.testing.upstream import replay_server

LIMIT_S = 20
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
LOOP = scenario(
    {"when": {"last_role": "tool"}, "text": "It says {{result}}.", "usage": {"input_tokens": 30, "output_tokens": 5}},
    {"text": "Let me look.", "tool_calls": [{"name": "weather", "arguments": {"city": "Rome"}}]},
)
ASK = {"messages": [{"role": "user", "content": "Weather?"}], "stream": True, "model": "up/m"} | {
    "stream_options": {"include_usage": True}
}


class Receiver(ThreadingHTTPServer):
    """https://opentelemetry.io/docs/specs/otlp/#otlphttp, for traces and metrics."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.traces: queue.Queue[ExportTraceServiceRequest] = queue.Queue()
        self.metrics: queue.Queue[ExportMetricsServiceRequest] = queue.Queue()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        assert isinstance(self.server, Receiver)
        if self.path == "/v1/traces":
            self.server.traces.put(ExportTraceServiceRequest.FromString(body))
            answer = ExportTraceServiceResponse().SerializeToString()
        else:
            self.server.metrics.put(ExportMetricsServiceRequest.FromString(body))
            answer = ExportMetricsServiceResponse().SerializeToString()
        known = {"/v1/traces", "/v1/metrics"}
        good = self.path in known and self.headers["content-type"] == "application/x-protobuf"
        self.send_response(200 if good else 400)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    with Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
            thread.join()


async def streamed(script: Scenario, path: str, ask: dict[str, Any]) -> bytes:
    """One answer of a gateway that is gone when this returns."""
    async with replay_server(script) as upstream:
        provider = ProviderConfig(dialect="openai_chat", base_url=upstream.url + "/v1", default_model="m")
        config = Config(
            providers={"up": provider},
            default_model="up/m",
            metrics=MetricsConfig(otel=True),
            sessions=SessionsConfig(store="memory"),
        )
        thread = GatewayThread(config, tools=[Tools().add("weather", says("sun"), CITY)])
        await asyncio.to_thread(thread.__enter__)
        try:
            async with RawClient(thread.address) as client:
                status, body = await client.ask("POST", path, json.dumps(ask).encode())
                assert status == 200
        finally:
            await asyncio.to_thread(thread.__exit__, None, None, None)
        return body


def plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return [plain(one) for one in value.array_value.values] if kind == "array_value" else getattr(value, str(kind))


def attributes(of: Span | Resource | NumberDataPoint | HistogramDataPoint) -> dict[str, Any]:
    return {one.key: plain(one.value) for one in of.attributes}


def told(receiver: Receiver) -> list[tuple[Span, dict[str, Any]]]:
    """Everything that came, with its attributes. The gateway has sent it all before it was gone."""
    found = []
    while not receiver.traces.empty():
        for of_resource in receiver.traces.get().resource_spans:
            about = attributes(of_resource.resource)
            assert about["service.name"] == "millstream"
            for of_scope in of_resource.scope_spans:
                found += [(span, attributes(span)) for span in of_scope.spans]
    return found


def test_a_streamed_answer_arrives_in_the_names_of_the_conventions(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        script = scenario({"text": "One two three.", "usage": {"input_tokens": 30, "output_tokens": 5}})
        run(streamed(script, "/v1/chat/completions", ASK), LIMIT_S)
        ((span, about),) = told(receiver)
    assert (span.name, span.kind, span.parent_span_id) == ("chat m", Span.SPAN_KIND_CLIENT, b"")
    assert span.status.code == Status.STATUS_CODE_UNSET
    assert span.start_time_unix_nano < span.end_time_unix_nano
    assert about["gen_ai.operation.name"] == "chat"
    assert about["gen_ai.provider.name"] == "up"
    assert about["gen_ai.request.model"] == "m"
    assert about["gen_ai.request.stream"] is True
    assert about["gen_ai.response.finish_reasons"] == ["stop"]
    assert (about["gen_ai.usage.input_tokens"], about["gen_ai.usage.output_tokens"]) == (30, 5)
    lasted = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
    assert 0 < about["gen_ai.response.time_to_first_chunk"] <= lasted


def figures(receiver: Receiver) -> dict[str, list[tuple[float, dict[str, Any]]]]:
    """Of each metric its points, of histograms the sums; as they were said last."""
    found: dict[str, list[tuple[float, dict[str, Any]]]] = {}
    while not receiver.metrics.empty():
        for of_resource in receiver.metrics.get().resource_metrics:
            for metric in (one for of_scope in of_resource.scope_metrics for one in of_scope.metrics):
                found[metric.name] = [(point.sum, attributes(point)) for point in metric.histogram.data_points]
                for point in (*metric.sum.data_points, *metric.gauge.data_points):
                    found[metric.name].append((point.as_double or point.as_int, attributes(point)))
    return found


def test_its_figures_arrive_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        run(streamed(LOOP, "/mcp/chat/stream", {"query": "Weather?"}), LIMIT_S)
        ((span, said),) = [(span, said) for span, said in told(receiver) if span.name == "chat m"]
        found = figures(receiver)
    about = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "up", "gen_ai.request.model": "m"}
    ((lasted, named),) = found["gen_ai.client.operation.duration"]
    assert named == about
    assert lasted == pytest.approx((span.end_time_unix_nano - span.start_time_unix_nano) / 1e9, abs=1e-3)
    ((first, named),) = found["gen_ai.client.operation.time_to_first_chunk"]
    assert named == about
    assert first == pytest.approx(said["gen_ai.response.time_to_first_chunk"])
    assert found["gen_ai.client.operation.time_per_output_chunk"][0][1] == about
    tokens = {named["gen_ai.token.type"]: number for number, named in found["gen_ai.client.token.usage"]}
    assert tokens == {kind: said[f"gen_ai.usage.{kind}_tokens"] for kind in ("input", "output")}
    ended = {**about, "millstream.surface": "agent_events", "millstream.end": "finished"}
    assert found["millstream.requests"] == [(1, ended)]
    assert "millstream.retries" not in found, "another turn of the model is no retry"
    assert said["millstream.tries"] == 1
    assert found["millstream.chunks"][0][0] > 1
    assert found["millstream.tool.duration"][0][1] == {"gen_ai.tool.name": "weather"}
    assert (found["millstream.open_streams"], found["millstream.resumes"]) == ([(0, {})], [(0, {})])


def test_a_client_cannot_make_the_figures_grow_without_end() -> None:
    reader = InMemoryMetricReader()
    metrics = GenAiMetrics(MeterProvider([reader]).get_meter("test"), 3, int, int)
    for number in range(700):
        record = Record("r", "anthropic", "m", Route("up", f"m{number}"), stream=True, dropped=(f"field-{number}",))
        metrics.observe(record, 200, "finished", 0.0, 1.0)
        metrics.spent(Route("up", f"m{number}"), 0.5)
        metrics.tool_ended(f"tool-{number}", 0.1, is_error=True)
    data = reader.get_metrics_data()
    assert data is not None
    points = {one.name: len(one.data.data_points) for one in data.resource_metrics[0].scope_metrics[0].metrics}
    assert points["millstream.requests"] == points["millstream.cost"] == 4
    assert points["millstream.dropped_fields"] == points["millstream.tool.duration"] == 501


def test_tools_that_ran_here_are_within_the_answer_they_ran_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        run(streamed(LOOP, "/mcp/chat/stream", {"query": "Weather?"}), LIMIT_S)
        found = {span.name: (span, about) for span, about in told(receiver)}
    assert found.keys() == {"chat m", "execute_tool weather"}
    (chat, _), (tool, about) = found["chat m"], found["execute_tool weather"]
    assert (tool.trace_id, tool.parent_span_id) == (chat.trace_id, chat.span_id)
    assert about == {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "weather"}
    assert chat.start_time_unix_nano <= tool.start_time_unix_nano
    assert tool.end_time_unix_nano <= chat.end_time_unix_nano


@contextmanager
def nobody() -> Iterator[str]:
    """An address that nobody answers at: connections are taken, and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def refusing() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("away", [nobody, refusing])
def test_a_receiver_that_is_away_holds_up_neither_answers_nor_the_end(
    monkeypatch: pytest.MonkeyPatch, away: Any
) -> None:
    with away() as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")
        body = run(streamed(LOOP, "/v1/chat/completions", ASK), LIMIT_S)
    assert b"tool_calls" in body
    assert body.endswith(b"data: [DONE]\n\n")


def test_runs_whose_end_nobody_sees_take_bounded_space() -> None:
    class Nothing:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

    spans = Spans(Nothing(), now=lambda: 5.0)  # type: ignore[arg-type]  # it must not be asked
    for number in range(10_000):
        token = PARENT.set(Parent("m", f"run_{number}", lambda _: None))
        spans.tool_ended("weather", 1.0, is_error=True)
        PARENT.reset(token)
    spans.tool_ended("weather", 1.0, is_error=False)
    assert len(spans._within) <= 2000
