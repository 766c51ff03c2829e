"""What is used: counts that add up, how well they are known, what they cost, and the limits on them."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, TypeVar

from moa_server.domain.quantities import AtLeastOne, Called, Nanodollars, PositiveSeconds, Range

_MILLION = 1_000_000


class Certainty(IntEnum):
    """How well a count is known, the best first."""

    KNOWN = 1
    ESTIMATED = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class Usage:
    """Additive counts of calls, tokens and money."""

    calls: int = 0
    input_tokens: int = 0
    """Cached ones included."""
    output_tokens: int = 0
    """Reasoning included."""
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
    certainty: Certainty = Certainty.KNOWN
    cost_nanousd: int | None = 0
    """None when a price is unknown: a sum with an unknown part is unknown, never too low."""
    cache_write_tokens: int = 0
    """Those of the input tokens that the endpoint wrote to its cache."""

    @classmethod
    def unknown(cls, calls: int) -> "Usage":
        """Return calls that were made, and of which nobody knows what they used."""
        return cls(calls=calls, certainty=Certainty.UNKNOWN, cost_nanousd=None) if calls else cls()

    @property
    def tokens(self) -> int:
        """Tokens in and out."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_input_tokens + other.cached_input_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            max(self.certainty, other.certainty),
            None if self.cost_nanousd is None or other.cost_nanousd is None else self.cost_nanousd + other.cost_nanousd,
            self.cache_write_tokens + other.cache_write_tokens,
        )


@dataclass(frozen=True, slots=True)
class Price:
    """Prices in US dollars for a million tokens."""

    input: Nanodollars
    """Of input tokens."""
    output: Nanodollars
    """Of output tokens."""
    cached_input: Nanodollars | None = None
    """Of input tokens that the endpoint had cached; when left out, as other input."""
    reasoning: Nanodollars | None = None
    """Of reasoning tokens; when left out, as other output."""
    cache_write: Nanodollars | None = None
    """Of input tokens that the endpoint wrote to its cache; when left out, as other input."""

    def cost_nanousd(self, usage: Usage) -> int:
        """Return what the tokens of ``usage`` cost, rounded up."""
        cached = self.input if self.cached_input is None else self.cached_input
        written = self.input if self.cache_write is None else self.cache_write
        reasoning = self.output if self.reasoning is None else self.reasoning
        total = (
            (usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens) * self.input
            + usage.cached_input_tokens * cached
            + usage.cache_write_tokens * written
            + (usage.output_tokens - usage.reasoning_tokens) * self.output
            + usage.reasoning_tokens * reasoning
        )
        return -(-total // _MILLION)

    def dearest_nanousd(self, input_tokens: int, output_tokens: int) -> int:
        """Return the most that so many tokens can cost, whatever of them is cached or reasoning, rounded up."""
        dearest_input = max(self.input, self.cached_input or 0, self.cache_write or 0)
        dearest_output = max(self.output, self.reasoning or 0)
        return -(-(input_tokens * dearest_input + output_tokens * dearest_output) // _MILLION)


_Limit = TypeVar("_Limit", int, float)


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits on one run; what is left out is not limited."""

    calls: AtLeastOne | None = None
    """Physical calls, retries and hedges included."""
    tokens: Annotated[int, Range(least=1, most=10**12)] | None = None
    """In and out, over all calls."""
    cost_nanousd: Annotated[Nanodollars, Called("usd")] | None = None
    """US dollars. Every model of the mixture needs a price."""
    time_s: PositiveSeconds | None = None
    """From the start of the run."""

    @property
    def limits_use(self) -> bool:
        """Whether it limits more than time."""
        return (self.calls, self.tokens, self.cost_nanousd) != (None, None, None)

    def tightened(self, other: "Budget") -> "Budget":
        """Return the smaller of each limit."""
        return Budget(
            _smaller(self.calls, other.calls),
            _smaller(self.tokens, other.tokens),
            _smaller(self.cost_nanousd, other.cost_nanousd),
            _smaller(self.time_s, other.time_s),
        )


def _smaller(a: _Limit | None, b: _Limit | None) -> _Limit | None:
    if a is None or b is None:
        return b if a is None else a
    return min(a, b)
