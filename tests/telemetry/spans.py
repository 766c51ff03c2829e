"""Keeps the spans and metrics that are made while a test runs."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Spans:
    """The spans that have ended so far."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def all(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all() if span.name == name]

    async def ended(self, name: str, count: int = 1) -> list[ReadableSpan]:
        """Wait for the spans of a name: a caller has the end of its call a moment before its span has ended."""
        async with asyncio.timeout(30):
            while len(found := self.named(name)) < count:  # noqa: ASYNC110 - exporters tell nobody
                await asyncio.sleep(0)
        return found

    def children_of(self, parent: ReadableSpan) -> list[str]:
        context = parent.get_span_context()
        assert context is not None
        return sorted(span.name for span in self.all() if span.parent and span.parent.span_id == context.span_id)


@contextmanager
def recorded() -> Iterator[Spans]:
    """Record spans; the provider can be set only once in a process, so it is shared."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider(shutdown_on_exit=False)
        trace.set_tracer_provider(provider)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    try:
        yield Spans(exporter)
    finally:
        exporter.shutdown()


_reader: InMemoryMetricReader | None = None


def measured(name: str) -> list[tuple[dict[str, Any], Any]]:
    """Return what a metric has come to: attributes and data points."""
    data = _metrics().get_metrics_data()
    found = [
        metric
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
    ]
    return [(dict(point.attributes or {}), point) for metric in found for point in metric.data.data_points]


def _metrics() -> InMemoryMetricReader:
    global _reader  # noqa: PLW0603 - the provider can be set only once in a process
    if _reader is None:
        _reader = InMemoryMetricReader()
        metrics.set_meter_provider(MeterProvider([_reader], shutdown_on_exit=False))
    return _reader


def measure() -> None:
    """Begin to measure."""
    _metrics()
