"""Does a little traced and counted work under the standard variables of its environment; tells what was set up."""

import sys

from opentelemetry import metrics, trace

from moa_server.telemetry.setup import exporting

with exporting():
    with trace.get_tracer("t").start_as_current_span("worked"):
        metrics.get_meter("t").create_counter("works").add(1)
    sys.stdout.write(f"{type(trace.get_tracer_provider()).__name__} {type(metrics.get_meter_provider()).__name__}\n")
