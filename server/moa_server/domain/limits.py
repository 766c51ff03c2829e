"""The limits that one server sets to all its runs."""

from dataclasses import dataclass

_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What no run, and no caller, goes beyond."""

    max_time_s: float = 600.0
    """The longest a run may take, whatever is asked."""
    default_time_s: float = 120.0
    """The time of a run for which nobody names any."""
    abandon_grace_s: float = 10.0
    """How long a run goes on that nobody watches and that was not started detached."""
    heartbeat_s: float = 5.0
    """How long a watcher hears nothing before it hears that the run is alive."""
    gather_s: float = 0.02
    """How long pieces of text are gathered before they are passed on; the first is passed on at once."""
    longest_wait_s: float = 60.0
    """The longest a caller may wait for a layer to close."""
    cancel_wait_s: float = 5.0
    """How long the answer to a cancellation waits for the run to end."""
    max_messages: int = 200
    max_message_bytes: int = _MEBIBYTE
    max_request_bytes: int = 8 * _MEBIBYTE
    max_layers: int = 16
    """The answering layer included."""
    max_agents_per_layer: int = 64
    max_open_runs: int = 2000
    """Beyond it a new run is refused as overload."""
    retain_runs: int = 10_000
    """Finished runs that are kept; the oldest go first."""
    retain_bytes: int = 256 * _MEBIBYTE
    retain_s: float = 3600.0
    retain_content_s: float | None = None
    """How long the texts and events of finished runs are kept, where that is shorter."""
    retain_runs_per_caller: int | None = None
    retain_bytes_per_caller: int | None = None
