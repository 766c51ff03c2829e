"""Hands the caller's trace on, where OpenTelemetry is installed."""

try:
    from opentelemetry.propagate import inject as _inject
except ImportError:  # the extra `otel` is not installed

    def _inject(carrier: dict[str, str]) -> None:  # type: ignore[misc]  # as much of it as is called
        """Hand nothing on."""


def trace_metadata() -> tuple[tuple[str, str], ...]:
    """Return the W3C trace context of the caller as metadata of a call."""
    carrier: dict[str, str] = {}
    _inject(carrier)
    return tuple((key.lower(), value) for key, value in carrier.items())
