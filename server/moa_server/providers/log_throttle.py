"""Keeps what happens with every answer from filling the log."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

_EVERY_S: Final = 60.0
_MOST_KEYS: Final = 1024


class LogThrottle:
    """Admits what is to be logged once in a while, by what it is about."""

    def __init__(self, every_s: float = _EVERY_S, now: Callable[[], float] = time.monotonic) -> None:
        self._every_s = every_s
        self._now = now
        self._told: OrderedDict[str, float] = OrderedDict()
        """When each was told, the latest last."""

    def admits(self, key: str) -> bool:
        """Tell whether it is time to tell of this again, and take it as told."""
        now, told = self._now(), self._told.get(key)
        if told is not None and now - told < self._every_s:
            return False
        self._told[key] = now
        self._told.move_to_end(key)
        if len(self._told) > _MOST_KEYS:
            self._told.popitem(last=False)
        return True
