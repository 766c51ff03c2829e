"""The limits that one server sets to all its runs."""

from dataclasses import dataclass

from moa_server.domain.quantities import AtLeastOne, Bytes, PositiveSeconds, Seconds

_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RunTime:
    """How long a run may take."""

    maximum_s: PositiveSeconds = 600.0
    """Whatever is asked."""
    default_s: PositiveSeconds = 120.0
    """Where nobody says."""

    def __post_init__(self) -> None:
        if self.default_s > self.maximum_s:
            wrong = f"{self.default_s:g} s is more than the maximum of {self.maximum_s:g} s"
            raise ValueError(f"default_s: {wrong}; lower it or raise the maximum")


@dataclass(frozen=True, slots=True)
class Retention:
    """Which finished runs are kept; the oldest go first. Unfinished runs are never removed."""

    # None means no limit; a file can only leave out those that are none by default.
    count: AtLeastOne | None = 10_000
    """How many."""
    bytes: Bytes | None = 256 * _MEBIBYTE
    """How much their events may take together."""
    age_s: PositiveSeconds | None = 3600.0
    """For how long."""
    content_age_s: PositiveSeconds | None = None
    """For how long their messages and events are kept; their records and usage stay for ``age``. When left out, as
    long as they."""
    count_per_caller: AtLeastOne | None = None
    """How many of one caller; when left out, that alone does not limit them."""
    bytes_per_caller: Bytes | None = None
    """How much those of one caller may take; when left out, that alone does not limit them."""

    @property
    def counts(self) -> bool:
        """Whether anything but age limits them."""
        limits = (self.count, self.bytes, self.count_per_caller, self.bytes_per_caller)
        return any(limit is not None for limit in limits)


@dataclass(frozen=True, slots=True)
class Limits:
    """What no run and no caller goes beyond."""

    run_time: RunTime = RunTime()
    """How long a run may take."""
    abandon_grace_s: Seconds = 10.0
    """How long a run goes on that nobody watches and that was not started detached."""
    heartbeat_s: PositiveSeconds = 1.0
    """How long a watcher hears nothing before it hears that the run is alive; one that hears nothing for three times as
    long goes elsewhere."""
    gather_window_s: Seconds = 0.02
    """How long pieces of text are gathered before they are passed on; the first is passed on at once."""
    layer_wait_s: Seconds = 60.0
    """The longest a caller may wait for a layer to close."""
    cancel_wait_s: Seconds = 5.0
    """How long the answer to a cancellation waits for the run to end."""
    messages: AtLeastOne = 200
    """The most messages of a conversation."""
    message_size: Bytes = _MEBIBYTE
    """The largest message."""
    request_size: Bytes = 8 * _MEBIBYTE
    """The largest request."""
    layers: AtLeastOne = 16
    """The most layers of a plan, the answering one included."""
    agents_per_layer: AtLeastOne = 64
    """The most agents of a layer."""
    open_runs: AtLeastOne = 2000
    """The most runs under way; a further one is refused as overload."""
    retention: Retention = Retention()
    """Which finished runs are kept."""

    def __post_init__(self) -> None:
        if self.message_size > self.request_size:
            wrong = f"{self.message_size} bytes are more than request_size, {self.request_size}"
            raise ValueError(f"message_size: {wrong}; lower it or raise the other")
