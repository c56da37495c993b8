"""What Prometheus is told (``docs/metrics.md`` lists it). Everything is counted once per request, when it has ended.

Processes that serve one address count each for itself. Their figures are put together as plain values (``Family``), and
only when somebody looks: files that all of them write to, as prometheus_client's multiprocess mode has them, would grow
with each process that was ever started, and could not be asked how many streams are open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from millstream.pipeline import End, Record
from millstream.policy.routing import Route

CONTENT_TYPE = CONTENT_TYPE_LATEST
OTHER = "other"
_MOST_NAMES = 500
"""Of tools and of dropped fields: a client may ask for any."""

_OF_MODEL = ("provider", "model")
_FIRST_S = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0)
_CHUNK_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.035, 0.05, 0.1, 0.25, 0.5, 1.0)
_WHOLE_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 600.0)


class Family(msgspec.Struct, frozen=True):
    """A metric with its samples: their names, labels and values."""

    name: str
    about: str
    kind: str
    samples: list[tuple[str, dict[str, str], float]]


@dataclass(frozen=True, slots=True)
class _OfModel:
    """The figures of one model, bound to its labels: looking these up costs more than counting."""

    first: Histogram
    chunk: Histogram
    whole: Histogram
    chunks: Counter
    tokens: dict[str, Counter]
    cost: Counter


class Metrics:
    """``observe`` is an observer of a gateway; ``open_streams`` and ``resumes`` are asked when somebody looks.
    Models beyond ``most_models`` are counted as ``other``."""

    def __init__(self, most_models: int) -> None:
        self.open_streams: Callable[[], int] = int
        self.resumes: Callable[[], int] = int
        self._most_models = most_models
        self._models: dict[Route, _OfModel] = {}
        self._names: dict[str, set[str]] = {"tool": set(), "field": set()}
        registry = self._registry = CollectorRegistry()
        registry.register(_Asked(self))

        def counter(name: str, told: str, *labels: str) -> Counter:
            return Counter(f"millstream_{name}", told, labels, registry=registry)

        def histogram(name: str, told: str, buckets: Iterable[float], *labels: str) -> Histogram:
            return Histogram(f"millstream_{name}", told, labels, registry=registry, buckets=tuple(buckets))

        self._requests = counter("requests", "Requests that have ended.", "surface", *_OF_MODEL, "end")
        self._errors = counter("errors", "Requests that failed, by whose fault and which.", "whose", "kind")
        self._first = histogram("first_content_seconds", "From the request to its first content.", _FIRST_S, *_OF_MODEL)
        self._chunk = histogram("output_chunk_seconds", "Mean time between output chunks.", _CHUNK_S, *_OF_MODEL)
        self._whole = histogram("stream_seconds", "From the request to its end.", _WHOLE_S, *_OF_MODEL)
        self._chunks = counter("chunks", "Pieces that streams came in from upstreams.", *_OF_MODEL)
        self._tokens = counter(
            "tokens", "Tokens: input (with cache_read), output (with reasoning).", *_OF_MODEL, "type"
        )
        self._cost = counter("cost_usd", "What calls of models cost, in US dollars.", *_OF_MODEL)
        self._retries = counter("retries", "Further tries at an upstream.", "provider")
        self._dropped = counter("dropped_fields", "Fields of requests that an upstream has no place for.", "field")
        self._tools = histogram("tool_seconds", "Time of tools that ran here.", _WHOLE_S, "tool", "outcome")

    def families(self) -> list[Family]:
        return [
            Family(
                metric.name,
                metric.documentation,
                metric.type,
                [(sample.name, sample.labels, sample.value) for sample in metric.samples],
            )
            for metric in self._registry.collect()
        ]

    def observe(self, record: Record, status: int, end: End, began: float, now: float) -> None:
        """``status`` is not told: ``errors`` says more."""
        route = record.route
        provider, model = ("", "") if route is None else self._labels(route)
        self._requests.labels(record.dialect, provider, model, end).inc()
        if end == "failed" and record.error is not None:
            self._errors.labels(record.error.whose, record.error.kind.value).inc()
        for name in record.dropped:
            self._dropped.labels(self._known("field", name)).inc()
        if route is None or record.tries == 0:
            return
        if record.tries > 1:
            self._retries.labels(provider).inc(record.tries - 1)
        self._observe_model(self._of(route), record, began, now)

    def _observe_model(self, of: _OfModel, record: Record, began: float, now: float) -> None:
        of.whole.observe(now - began)
        if record.chunks:
            of.chunks.inc(record.chunks)
        if record.first_content_at is not None:
            of.first.observe(max(0.0, record.first_content_at - began))
            if record.chunks > 1:
                of.chunk.observe(max(0.0, now - record.first_content_at) / (record.chunks - 1))
        usage = record.usage
        if usage is not None:
            for kind, tokens in (
                ("input", usage.input_tokens),
                ("output", usage.output_tokens),
                ("cache_read", usage.cache_read_tokens),
                ("reasoning", usage.reasoning_tokens),
            ):
                if tokens:
                    of.tokens[kind].inc(tokens)

    def spent(self, route: Route, cost: float) -> None:
        """A call of a model cost so many US dollars."""
        self._of(route).cost.inc(cost)

    def tool_ended(self, tool: str, seconds: float, is_error: bool) -> None:
        """A tool ran here."""
        self._tools.labels(self._known("tool", tool), "error" if is_error else "ok").observe(seconds)

    def _of(self, route: Route) -> _OfModel:
        found = self._models.get(route)
        if found is None:
            labels = provider, model = self._labels(route)
            kinds = ("input", "output", "cache_read", "reasoning")
            found = _OfModel(
                self._first.labels(*labels),
                self._chunk.labels(*labels),
                self._whole.labels(*labels),
                self._chunks.labels(*labels),
                {kind: self._tokens.labels(provider, model, kind) for kind in kinds},
                self._cost.labels(*labels),
            )
            if len(self._models) < self._most_models:
                self._models[route] = found
        return found

    def _labels(self, route: Route) -> tuple[str, str]:
        if route in self._models or len(self._models) < self._most_models:
            return route.provider, route.model[:128]
        return route.provider, OTHER

    def _known(self, kind: str, name: str) -> str:
        known = self._names[kind]
        if name not in known and len(known) >= _MOST_NAMES:
            return OTHER
        known.add(name)
        return name[:128]


class _Asked(Collector):
    """What is counted elsewhere."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("millstream_open_streams", "Responses under way.", self._metrics.open_streams())
        told = "Runs that were read on from the middle."
        yield CounterMetricFamily("millstream_resumes", told, self._metrics.resumes())


class _Given(Collector):
    """What was collected before."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        for family in self._families:
            metric = Metric(family.name, family.about, family.kind)
            metric.samples = [Sample(name, labels, value) for name, labels, value in family.samples]
            yield metric


def text_of(families: Iterable[Family]) -> bytes:
    """As Prometheus reads it: https://prometheus.io/docs/instrumenting/exposition_formats/."""
    return generate_latest(_Given(families))


def joined(parts: Iterable[Sequence[Family]]) -> list[Family]:
    """The sums of all ``parts``. What began at different times began when the first did."""
    abouts: dict[str, Family] = {}
    sums: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for family in (family for part in parts for family in part):
        abouts.setdefault(family.name, family)
        of_family = sums.setdefault(family.name, {})
        for name, labels, value in family.samples:
            key = (name, tuple(labels.items()))
            if key not in of_family:
                of_family[key] = value
            else:
                of_family[key] = min(of_family[key], value) if name.endswith("_created") else of_family[key] + value
    return [
        Family(name, about.about, about.kind, [(key[0], dict(key[1]), value) for key, value in sums[name].items()])
        for name, about in abouts.items()
    ]


def counted(families: Iterable[Family]) -> list[Family]:
    """Without what is true only of a process that lives."""
    return [family for family in families if family.kind != "gauge"]
