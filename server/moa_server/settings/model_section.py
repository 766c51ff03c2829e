"""The section ``models``: what the operator says of each upstream model."""

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Discriminator, Field, Tag

from moa_server.domain.model import ModelSpec, TimeLimits
from moa_server.domain.reliability import BreakerRule, ConcurrencyRule, HedgeRule, RetryRule
from moa_server.settings.quantities import Dollars, Duration, Span
from moa_server.settings.secret import SecretSection
from moa_server.settings.section import MAPPING, NUMBER, Maybe, Name, Names, Section, shape

_TIMES, _RETRY, _CONCURRENCY, _BREAKER, _HEDGE = (
    TimeLimits(),
    RetryRule(),
    ConcurrencyRule(),
    BreakerRule(),
    HedgeRule(""),
)
_SPEC = ModelSpec("", "", "", "")
_MOST_TOKENS = 100_000_000

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
AtLeastOne = Annotated[int, Field(ge=1, le=1_000_000)]
Tokens = Annotated[int, Field(ge=1, le=_MOST_TOKENS)]


def _sound_endpoint(url: str) -> str:
    right = "write a URL such as https://models.example/v1"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"is not a URL; {right}") from None
    if parts.scheme not in {"http", "https"} or not host or not url.isprintable() or " " in url:
        raise ValueError(f"is not a URL of http or https; {right}")
    if parts.username is not None or parts.fragment:
        raise ValueError(f"holds credentials or a fragment; {right}, and give the key as api_key")
    return url


class PriceSection(Section):
    """Prices in US dollars for a million tokens."""

    input: Dollars
    """Of input tokens."""
    output: Dollars
    """Of output tokens."""
    cached_input: Maybe[Dollars] = None
    """Of input tokens that the endpoint had cached; when left out, as other input."""
    reasoning: Maybe[Dollars] = None
    """Of reasoning tokens; when left out, as other output."""


class TimesSection(Section):
    """How long one attempt may be silent or last."""

    connect: Span = _TIMES.connect
    """Until the connection stands."""
    first_token: Span = _TIMES.first_token
    """Until the first token."""
    idle: Span = _TIMES.idle
    """Between two tokens; comments that keep the connection alive do not count."""
    total: Span = _TIMES.total
    """The whole attempt."""


class RetrySection(Section):
    """When a model that failed before its first word is asked again."""

    attempts: Annotated[int, Field(ge=0, le=10)] = _RETRY.attempts
    """How many more attempts one call may make; 0 means none."""
    base: Span = _RETRY.base_s
    """The wait before the first of them, jittered; it doubles with each."""
    most: Span = _RETRY.most_s
    """The longest wait that is chosen here."""
    longest_hint: Duration = _RETRY.longest_hint_s
    """The longest wait that the endpoint may ask for; beyond it the attempt has failed for good."""
    share: Share = _RETRY.share
    """The most retries, as a share of the model's calls in the window."""
    window: Span = _RETRY.window_s
    """The length of the window over which calls and retries are counted."""
    least_in_window: Count = _RETRY.least_in_window
    """Retries allowed in a window however few the calls."""
    per_run: Count = _RETRY.per_run
    """The most retries of this model in one run."""


class ConcurrencySection(Section):
    """How many calls the model takes at the same time."""

    limit: Maybe[AtLeastOne] = _CONCURRENCY.limit
    """Calls at once, or those at the beginning where the limit adapts; when left out there is no limit."""
    adaptive: bool = _CONCURRENCY.adaptive
    """Whether the limit grows slowly and shrinks when the endpoint is overloaded. Needs limit."""
    least: AtLeastOne = _CONCURRENCY.least
    """Below which an adaptive limit does not shrink."""
    most: AtLeastOne = _CONCURRENCY.most
    """Above which an adaptive limit does not grow."""
    longest_wait: Duration = _CONCURRENCY.longest_wait_s
    """How long a call may wait for its place."""


class BreakerSection(Section):
    """When the endpoint is left alone for a while."""

    enabled: bool = True
    """Whether there is a breaker."""
    share: Annotated[float, Field(gt=0, le=1)] = _BREAKER.share
    """The failures among the calls in the window that open it; being throttled is none."""
    least_calls: AtLeastOne = _BREAKER.least_calls
    """Calls in the window below which it stays closed."""
    window: Span = _BREAKER.window_s
    """The length of the window over which calls are counted."""
    open: Span = _BREAKER.open_s
    """How long it stays open before one probe is let through."""


class HedgeSection(Section):
    """When a slow model gets a rival."""

    model: Name
    """The model that is asked too; the first to speak wins."""
    quantile: Annotated[float, Field(gt=0, lt=1)] = _HEDGE.quantile
    """Of the observed times to the first token: past it a call counts as slow."""
    least_seen: AtLeastOne = _HEDGE.least_seen
    """Calls that must have been seen before the first hedge."""
    share: Share = _HEDGE.share
    """The most hedges, as a share of the model's calls."""


Concurrency = Annotated[
    Annotated[AtLeastOne, Tag(NUMBER)] | Annotated[ConcurrencySection, Tag(MAPPING)], Discriminator(shape)
]


class ModelSection(Section):
    """One upstream model."""

    provider: Name
    """The adapter that speaks the endpoint's dialect, or a preset of one."""
    endpoint: Maybe[Annotated[str, AfterValidator(_sound_endpoint)]] = None
    """The base URL of the endpoint; may be left out where the provider has one of its own."""
    model: Maybe[Annotated[str, Field(min_length=1, max_length=512)]] = None
    """The name the endpoint knows it by; when left out, its name here."""
    api_key: Maybe[SecretSection] = None
    """Where the endpoint's key is kept."""
    window: Tokens = _SPEC.window
    """The most tokens of a prompt and its answer together."""
    max_output: Maybe[Tokens] = None
    """The most tokens of an answer; when left out 2048, or a quarter of the window if that is less."""
    price: Maybe[PriceSection] = None
    """What its tokens cost; when left out, costs are unknown."""
    images: bool = False
    """Whether it takes images."""
    times: TimesSection = TimesSection()
    """Time limits of one attempt."""
    dialect: dict[str, Any] = Field(default_factory=dict)
    """Settings of the provider's own."""
    retry: RetrySection = RetrySection()
    """When it is asked again."""
    concurrency: Concurrency = ConcurrencySection()
    """How many calls it takes at once: a number, or more."""
    breaker: BreakerSection = BreakerSection()
    """When it is left alone."""
    hedge: Maybe[HedgeSection] = None
    """When it gets a rival; when left out, never."""
    fallbacks: Names = ()
    """The models asked in its place when it has failed for good, in order; each has its share of the time to begin."""
