"""What the operator says of a model that fails: when it is asked again, how many calls it takes, who stands in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryRule:
    """When a model that failed before its first word is asked again."""

    attempts: int = 2
    """How many more attempts one call may make; 0 means none."""
    base_s: float = 0.25
    """The wait before the first of them, jittered; it doubles with each."""
    most_s: float = 8.0
    """The longest wait of our own."""
    longest_hint_s: float = 30.0
    """The longest wait that an endpoint may ask for; beyond it, the attempt has failed for good."""
    share: float = 0.1
    """The retries a model may have, as a share of its calls in the window."""
    window_s: float = 60.0
    least_in_window: int = 5
    """Retries it may have in a window however few its calls."""
    per_run: int = 16
    """Retries that one run may have of this model."""


@dataclass(frozen=True, slots=True)
class ConcurrencyRule:
    """How many calls a model takes at the same time."""

    limit: int | None = None
    """Calls at once, or, where the limit adapts, those at the beginning; None means no limit."""
    adaptive: bool = False
    """Whether it grows slowly while all goes well and shrinks when the endpoint is overloaded."""
    least: int = 1
    """Below which an adaptive limit does not shrink."""
    most: int = 256
    """Above which an adaptive limit does not grow."""
    longest_wait_s: float = 60.0
    """How long a call may wait for its place, its deadline apart."""


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """When an endpoint is left alone."""

    share: float = 0.5
    """The failures among its calls in the window that open the breaker; being throttled is none."""
    least_calls: int = 10
    """Calls in the window below which nothing is concluded."""
    window_s: float = 30.0
    open_s: float = 15.0
    """How long it stays open before one probe is let through."""


@dataclass(frozen=True, slots=True)
class HedgeRule:
    """When a slow model gets a rival."""

    model: str
    """The model that is asked too."""
    quantile: float = 0.95
    """Of the times to the first token that were seen: past it, a call counts as slow."""
    least_seen: int = 20
    """Calls that must have been seen before the first hedge."""
    share: float = 0.1
    """The hedges there may be, as a share of the model's calls."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """What wraps a model."""

    retry: RetryRule = RetryRule()
    concurrency: ConcurrencyRule = ConcurrencyRule()
    breaker: BreakerRule | None = BreakerRule()
    """None means that it is called however often it fails."""
    hedge: HedgeRule | None = None
    fallbacks: tuple[str, ...] = ()
    """The models that are asked in its place when it has failed for good, in order; each has its share of the time."""

    @property
    def others(self) -> tuple[str, ...]:
        """The models that may be asked in its place or beside it."""
        return (*self.fallbacks, self.hedge.model) if self.hedge else self.fallbacks
