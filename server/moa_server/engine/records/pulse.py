"""Tells a watcher when nothing has happened for a while."""

import asyncio
from collections.abc import Callable


class Pulse:
    """Wakes its watcher once it has heard nothing for a time; one timer serves many waits, which are often short."""

    __slots__ = ("_every_s", "_heard", "_loop", "_timer", "_wake", "is_due")

    def __init__(self, every_s: float, wake: Callable[[], None]) -> None:
        self.is_due = False
        """Whether the time has gone by since the watcher began to wait."""
        self._every_s = every_s
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._timer = self._loop.call_later(every_s, self._look)

    def heard(self) -> None:
        """Begin to wait anew."""
        self.is_due = False
        self._heard = self._loop.time()

    def close(self) -> None:
        """Wake nobody any more."""
        self._timer.cancel()

    def _look(self) -> None:
        left_s = self._heard + self._every_s - self._loop.time()
        if left_s <= 0:
            self.is_due = True
            self._wake()
            left_s = self._every_s
        self._timer = self._loop.call_later(left_s, self._look)
