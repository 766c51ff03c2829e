"""Sets up the OpenTelemetry SDK: what is traced and counted goes out over OTLP."""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Final
from uuid import uuid4

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

_QUEUE: Final = 8192
"""Spans that wait for their export; a run has dozens."""
_NAME: Final = "moa-server"


def export_traces(environment: Mapping[str, str]) -> Callable[[], None]:
    """Begin to export spans; return what ends it."""
    queue = None if "OTEL_BSP_MAX_QUEUE_SIZE" in environment else _QUEUE
    provider = TracerProvider(resource=_resource(environment), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), max_queue_size=queue))
    trace.set_tracer_provider(provider)
    return provider.shutdown


def export_metrics(environment: Mapping[str, str]) -> Callable[[], None]:
    """Begin to export metrics; return what ends it."""
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    provider = MeterProvider([reader], resource=_resource(environment), shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    return provider.shutdown


EXPORTERS: Final[Mapping[str, Callable[[Mapping[str, str]], Callable[[], None]]]] = {
    "traces": export_traces,
    "metrics": export_metrics,
}
"""By the signal's name in the standard variables."""


def _resource(environment: Mapping[str, str]) -> Resource:
    own = {"service.version": version(_NAME), "service.instance.id": str(uuid4()), "service.name": _NAME}
    # What the operator says goes before: the SDK would take our values over those of the variables.
    said = environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if environment.get("OTEL_SERVICE_NAME") or "service.name=" in said.replace(" ", ""):
        del own["service.name"]
    if "service.instance.id=" in said.replace(" ", ""):
        del own["service.instance.id"]
    return Resource.create(own)
