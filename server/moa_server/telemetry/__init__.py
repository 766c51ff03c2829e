"""Shows the work: traces, metrics and logs, and the names of everything in them."""

from moa_server.telemetry.logs import set_up_logs
from moa_server.telemetry.run_metrics import RunMetrics, observe_breakers, observe_open_runs
from moa_server.telemetry.setup import exporting

__all__ = ["RunMetrics", "exporting", "observe_breakers", "observe_open_runs", "set_up_logs"]
