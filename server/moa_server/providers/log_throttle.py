"""Keeps what happens with every call from filling the log."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_EVERY_S: Final = 60.0
_MOST_KEYS: Final = 1024


@dataclass(slots=True)
class _Told:
    at: float
    withheld: int = 0


class LogThrottle:
    """Admits what is to be logged once in a while, by what it is about."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._told: OrderedDict[str, _Told] = OrderedDict()
        """The latest last."""

    def due(self, key: str) -> int | None:
        """Return how often this was left untold since the last time, and take it as told; None if it is too early."""
        now, told = self._now(), self._told.get(key)
        if told is not None and now - told.at < _EVERY_S:
            told.withheld += 1
            return None
        self._told[key] = _Told(now)
        self._told.move_to_end(key)
        if len(self._told) > _MOST_KEYS:
            self._told.popitem(last=False)
        return told.withheld if told else 0
