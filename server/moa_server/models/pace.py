"""Remembers how long a model has taken of late, and tells what is usual for it."""

from bisect import bisect_left, insort
from collections import deque
from typing import Final

_REMEMBERED: Final = 256


class Pace:
    """The latest times of one kind."""

    def __init__(self) -> None:
        self._latest: deque[float] = deque()
        self._ordered: list[float] = []

    def note(self, seconds: float) -> None:
        """Remember one more, and forget the oldest in its place."""
        if len(self._latest) == _REMEMBERED:
            del self._ordered[bisect_left(self._ordered, self._latest.popleft())]
        self._latest.append(seconds)
        insort(self._ordered, seconds)

    @property
    def longest(self) -> float:
        """The longest of them; nothing if there is none."""
        return self._ordered[-1] if self._ordered else 0.0

    def quantile(self, share: float, least_seen: int) -> float | None:
        """Return the time within which that share of them stayed; None if too few were seen."""
        seen = len(self._ordered)
        if seen < max(least_seen, 1):
            return None
        return self._ordered[min(int(share * seen), seen - 1)]
