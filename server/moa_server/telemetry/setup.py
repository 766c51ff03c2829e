"""Sends traces and metrics to where the standard OTEL_* variables say, and nowhere unless they do."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from typing import Final
from uuid import uuid4

import structlog
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
_logger = structlog.get_logger(__name__)


@contextmanager
def exporting(environment: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Export while the context lasts, and what is left when it ends.

    The sampler, the endpoints and their headers, and the resource are read by the SDK itself from the same variables.
    """
    with ExitStack() as stack:
        if _is_wanted("traces", environment):
            stack.callback(_export_traces(environment))
        if _is_wanted("metrics", environment):
            stack.callback(_export_metrics(environment))
        yield


def _is_wanted(signal: str, environment: Mapping[str, str]) -> bool:
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environment.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip().lower()
    endpoint = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environment.get(
        f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
    )
    if exporter not in {"", "otlp", "none"}:
        _logger.warning("telemetry.exporter_not_offered", signal=signal, exporter=exporter, offered="otlp")
    wanted = exporter == "otlp" or (exporter == "" and bool(endpoint))
    return wanted and _speaks_grpc(signal, environment)


def _speaks_grpc(signal: str, environment: Mapping[str, str]) -> bool:
    general = environment.get("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    protocol = environment.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", general).strip().lower()
    if protocol not in {"", "grpc"}:
        _logger.warning("telemetry.protocol_not_offered", signal=signal, protocol=protocol, offered="grpc")
    return protocol in {"", "grpc"}


def _export_traces(environment: Mapping[str, str]) -> Callable[[], None]:
    """Begin to export spans; return what ends it."""
    queue = None if "OTEL_BSP_MAX_QUEUE_SIZE" in environment else _QUEUE
    provider = TracerProvider(resource=_resource(environment), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), max_queue_size=queue))
    trace.set_tracer_provider(provider)
    return provider.shutdown


def _export_metrics(environment: Mapping[str, str]) -> Callable[[], None]:
    """Begin to export metrics; return what ends it."""
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    provider = MeterProvider([reader], resource=_resource(environment), shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    return provider.shutdown


def _resource(environment: Mapping[str, str]) -> Resource:
    own = {"service.version": version(_NAME), "service.instance.id": str(uuid4()), "service.name": _NAME}
    said = environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if environment.get("OTEL_SERVICE_NAME") or "service.name=" in said.replace(" ", ""):
        del own["service.name"]
    if "service.instance.id=" in said.replace(" ", ""):
        del own["service.instance.id"]
    return Resource.create(own)
