"""Sends traces and metrics to where the standard OTEL_* variables say, and nowhere unless they do."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import structlog

_logger = structlog.get_logger(__name__)


@contextmanager
def exporting(environment: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Export while the context lasts, and what is left when it ends.

    The sampler, the endpoints and their headers, and the resource are read by the SDK itself from the same variables.
    """
    wanted = [signal for signal in ("traces", "metrics") if _is_wanted(signal, environment)]
    with ExitStack() as stack:
        if wanted:
            # Here, since the SDK and its exporters take a tenth of a second and gRPC, and every room that names a span
            # imports this one.
            from moa_server.telemetry.exporters import EXPORTERS  # noqa: PLC0415

            for signal in wanted:
                stack.callback(EXPORTERS[signal](environment))
        yield


def _is_wanted(signal: str, environment: Mapping[str, str]) -> bool:
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    own = f"OTEL_EXPORTER_OTLP_{signal.upper()}"
    exporter = environment.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip().lower()
    endpoint = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environment.get(f"{own}_ENDPOINT")
    if exporter not in {"", "otlp", "none"}:
        _logger.warning("telemetry.exporter_not_offered", signal=signal, exporter=exporter, offered="otlp")
    if exporter != "otlp" and (exporter or not endpoint):
        return False
    general = environment.get("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    protocol = environment.get(f"{own}_PROTOCOL", general).strip().lower()
    if protocol not in {"", "grpc"}:
        _logger.warning("telemetry.protocol_not_offered", signal=signal, protocol=protocol, offered="grpc")
    return protocol in {"", "grpc"}
