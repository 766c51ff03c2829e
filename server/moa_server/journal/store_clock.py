"""Notices that a store's clock was set, or is another's now, by holding it against this process's monotonic clock."""

from collections.abc import Callable

_UNNOTICED_S = 0.5
"""Beyond what a slewed clock gains between two looks; owners that renew in time do not hang on as much."""


class StoreClock:
    """The clock of a store, as far as it is known from here."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._ahead: tuple[float, float] | None = None
        """How far it was ahead of this process's at the last look: no less and no more."""

    def asked(self) -> float:
        """Return the moment at which the store is asked for its own."""
        return self._monotonic()

    def was_set(self, told: float, asked: float) -> bool:
        """Take notice of what the store told, asked at that moment; return whether it was set since the last look."""
        known, self._ahead = self._ahead, (told - self._monotonic(), told - asked)
        if known is None:
            return False
        least, most = self._ahead
        return least > known[1] + _UNNOTICED_S or most < known[0] - _UNNOTICED_S
