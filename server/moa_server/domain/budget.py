"""Limits on what a run may use."""

from dataclasses import dataclass
from typing import Annotated, TypeVar

from moa_server.domain.quantities import AtLeastOne, Called, Nanodollars, PositiveSeconds, Range

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
