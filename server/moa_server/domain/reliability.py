"""What the operator says of a model that fails: when it is asked again, how many calls it takes, who stands in."""

from dataclasses import dataclass
from typing import Annotated

from moa_server.domain.quantities import AtLeastOne, Count, Mark, ModelName, PositiveSeconds, Range, Seconds, Share


@dataclass(frozen=True, slots=True)
class RetryRule:
    """When a model that failed before its first word is asked again."""

    attempts: Annotated[int, Range(least=0, most=10)] = 2
    """How many more attempts one call may make; 0 means none."""
    resend: bool = True
    """Whether one of them is made at once when the kept connection a request went out on was broken before any of the
    answer. The endpoint may have read that request, and may bill it. Off, it is a failure as any other."""
    base_s: PositiveSeconds = 0.25
    """The wait before the first of them, jittered; it doubles with each."""
    most_s: PositiveSeconds = 8.0
    """The longest wait that is chosen here."""
    longest_hint_s: Seconds = 30.0
    """The longest wait that the endpoint may ask for; beyond it the attempt has failed for good."""
    share: Share = 0.1
    """The most retries, as a share of the model's calls in the window."""
    window_s: PositiveSeconds = 60.0
    """The length of the window over which calls and retries are counted."""
    least_in_window: Count = 5
    """Retries allowed in a window however few the calls."""
    per_run: Count = 16
    """The most retries of this model in one run."""


@dataclass(frozen=True, slots=True)
class ConcurrencyRule:
    """How many calls the model takes at the same time."""

    limit: Annotated[AtLeastOne, Mark.ALONE] | None = None
    """Calls at once, or those at the beginning where the limit adapts; when left out there is no limit."""
    adaptive: bool = False
    """Whether the limit grows slowly and shrinks when the endpoint is overloaded. Needs limit."""
    least: AtLeastOne = 1
    """Below which an adaptive limit does not shrink."""
    most: AtLeastOne = 256
    """Above which an adaptive limit does not grow."""
    longest_wait_s: Seconds = 60.0
    """How long a call may wait for its place."""

    def __post_init__(self) -> None:
        if self.adaptive and not self.least <= (self.limit or 0) <= self.most:
            wrong = f"adapts between {self.least} and {self.most} without a limit between them to begin with"
            raise ValueError(f"{wrong}; write limit")


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """When the endpoint is left alone for a while."""

    enabled: bool = True
    """Whether there is a breaker."""
    share: Annotated[float, Range(above=0, most=1)] = 0.5
    """The failures among the calls in the window that open it; being throttled is none."""
    least_calls: AtLeastOne = 10
    """Calls in the window below which it stays closed."""
    window_s: PositiveSeconds = 30.0
    """The length of the window over which calls are counted."""
    open_s: PositiveSeconds = 15.0
    """How long it stays open before one probe is let through."""
    silence_s: PositiveSeconds = 2.0
    """The shortest silence that may count as a failure, whoever stopped waiting. One counts that is three times as long
    as the model's own silences, those of prompts of its length, or as the model's time limits have it."""
    least_silent: AtLeastOne = 3
    """Calls in a row that were silent for so long, with none that spoke between them, which open it however few."""


@dataclass(frozen=True, slots=True)
class HedgeRule:
    """When a slow model gets a rival."""

    model: ModelName
    """The model that is asked too; the first to speak wins."""
    quantile: Annotated[float, Range(above=0, below=1)] = 0.95
    """Of the observed times to the first token: past it a call counts as slow."""
    least_seen: AtLeastOne = 20
    """Calls that must have been seen before the first hedge."""
    share: Share = 0.1
    """The most hedges, as a share of the model's calls."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """What wraps a model."""

    retry: RetryRule = RetryRule()
    """When it is asked again."""
    concurrency: ConcurrencyRule = ConcurrencyRule()
    """How many calls it takes at once: a number, or more."""
    breaker: BreakerRule = BreakerRule()
    """When it is left alone."""
    hedge: HedgeRule | None = None
    """When it gets a rival; when left out, never."""
    fallbacks: Annotated[tuple[ModelName, ...], Mark.DISTINCT] = ()
    """The models asked in its place when it has failed for good, in order; each has its share of the time to begin."""

    @property
    def others(self) -> tuple[str, ...]:
        """The models that may be asked in its place or beside it."""
        return (*self.fallbacks, self.hedge.model) if self.hedge else self.fallbacks
