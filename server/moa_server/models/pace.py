"""Knows how long a model usually takes to begin."""

from bisect import bisect_left, insort
from collections import deque

_REMEMBERED = 256


class Pace:
    """The latest times to the first token."""

    def __init__(self) -> None:
        self._latest: deque[float] = deque()
        self._ordered: list[float] = []

    def note(self, seconds: float) -> None:
        """Remember one more, and forget the oldest in its place."""
        if len(self._latest) == _REMEMBERED:
            del self._ordered[bisect_left(self._ordered, self._latest.popleft())]
        self._latest.append(seconds)
        insort(self._ordered, seconds)

    def quantile(self, share: float, least_seen: int) -> float | None:
        """Return the time within which that share of them began; None if too few were seen."""
        seen = len(self._ordered)
        if seen < max(least_seen, 1):
            return None
        return self._ordered[min(int(share * seen), seen - 1)]
