"""Limits on what a run may use."""

from dataclasses import dataclass
from typing import TypeVar

_Limit = TypeVar("_Limit", int, float)


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits; None means no limit."""

    calls: int | None = None
    """Physical calls, retries and hedges included."""
    tokens: int | None = None
    """In and out, over all calls."""
    cost_nanousd: int | None = None
    time_s: float | None = None
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
