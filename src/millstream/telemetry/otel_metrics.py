"""What OpenTelemetry is told in figures: the GenAI conventions' own metrics, and beside them ours, once per request
when it has ended.

https://github.com/open-telemetry/semantic-conventions-genai: a gateway is a client of models. Ours are those that
Prometheus is told (``metrics.py``), as far as the conventions have none for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from millstream.pipeline import End, Record
from millstream.policy.routing import Route
from millstream.telemetry.metrics import OTHER
from millstream.telemetry.otel import provider_name

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Meter, Observation
    from opentelemetry.util.types import AttributeValue

_WHOLE_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_FIRST_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_CHUNK_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
_MOST_NAMES = 500
"""Of tools and of dropped fields: a client may ask for any."""


class GenAiMetrics:
    """An observer of a gateway and of its tools. Models beyond ``most_models`` are counted as ``other``;
    ``open_streams`` and ``resumes`` are asked by the thread that exports."""

    def __init__(
        self, meter: Meter, most_models: int, open_streams: Callable[[], int], resumes: Callable[[], int]
    ) -> None:
        self._most_models = most_models
        self._models: set[Route] = set()
        self._names: dict[str, set[str]] = {"tool": set(), "field": set()}
        self._whole = meter.create_histogram(
            "gen_ai.client.operation.duration", "s", explicit_bucket_boundaries_advisory=_WHOLE_S
        )
        self._first = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk", "s", explicit_bucket_boundaries_advisory=_FIRST_S
        )
        self._chunk = meter.create_histogram(
            "gen_ai.client.operation.time_per_output_chunk", "s", explicit_bucket_boundaries_advisory=_CHUNK_S
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage", "{token}", explicit_bucket_boundaries_advisory=_TOKENS
        )
        self._requests = meter.create_counter("millstream.requests", "{request}", "By surface and by how they ended.")
        self._chunks = meter.create_counter("millstream.chunks", "{chunk}", "Pieces that came from upstreams.")
        self._cost = meter.create_counter("millstream.cost", "{USD}", "What calls of models cost.")
        self._retries = meter.create_counter("millstream.retries", "{try}", "Further tries at an upstream.")
        self._dropped = meter.create_counter(
            "millstream.dropped_fields", "{field}", "Which upstreams have no place for."
        )
        self._tools = meter.create_histogram(
            "millstream.tool.duration", "s", explicit_bucket_boundaries_advisory=_WHOLE_S
        )
        meter.create_observable_gauge("millstream.open_streams", [_asked(open_streams)], "{stream}")
        meter.create_observable_counter("millstream.resumes", [_asked(resumes)], "{read}")

    def observe(self, record: Record, status: int, end: End, began: float, now: float) -> None:
        route = record.route
        error = {} if record.error is None or end != "failed" else {"error.type": record.error.kind.value}
        about = {"gen_ai.operation.name": "chat", **(self._of(route) if route is not None else {})}
        self._requests.add(1, {**about, **error, "millstream.surface": record.dialect, "millstream.end": end})
        for name in record.dropped:
            self._dropped.add(1, {"millstream.field": self._known("field", name)})
        if route is None or record.tries == 0:
            return
        self._whole.record(now - began, {**about, **error})
        if record.tries > 1:
            self._retries.add(record.tries - 1, about)
        if record.chunks:
            self._chunks.add(record.chunks, about)
        if record.first_content_at is not None:
            self._first.record(max(0.0, record.first_content_at - began), about)
            if record.chunks > 1:
                self._chunk.record(max(0.0, now - record.first_content_at) / (record.chunks - 1), about)
        if record.usage is not None:
            for kind, tokens in (("input", record.usage.input_tokens), ("output", record.usage.output_tokens)):
                self._tokens.record(tokens, {**about, "gen_ai.token.type": kind})

    def spent(self, route: Route, cost: float) -> None:
        """A call of a model cost so many US dollars."""
        self._cost.add(cost, self._of(route))

    def tool_ended(self, tool: str, seconds: float, is_error: bool) -> None:
        """A tool ran here."""
        about: dict[str, AttributeValue] = {"gen_ai.tool.name": self._known("tool", tool)}
        self._tools.record(seconds, about | ({"error.type": "tool_error"} if is_error else {}))

    def _of(self, route: Route) -> dict[str, AttributeValue]:
        if route not in self._models and len(self._models) < self._most_models:
            self._models.add(route)
        model = route.model[:128] if route in self._models else OTHER
        return {"gen_ai.provider.name": provider_name(route), "gen_ai.request.model": model}

    def _known(self, kind: str, name: str) -> str:
        known = self._names[kind]
        if name not in known and len(known) >= _MOST_NAMES:
            return OTHER
        known.add(name)
        return name[:128]


def _asked(ask: Callable[[], int]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observed(_: CallbackOptions) -> Iterator[Observation]:
        from opentelemetry.metrics import Observation

        yield Observation(ask())

    return observed
