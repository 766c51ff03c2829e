"""Counts over the last while, in slices, so that what is old falls away without a list of every call."""

import asyncio
from collections import deque

_SLICES = 10


class Window:
    """Two counts over a sliding window: of all calls, and of those marked among them."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._slice_s = window_s / _SLICES
        self._slices: deque[_Slice] = deque()

    def clear(self) -> None:
        self._slices.clear()

    def add(self, calls: int = 0, marked: int = 0) -> None:
        now = asyncio.get_running_loop().time()
        if not self._slices or now - self._slices[-1].start >= self._slice_s:
            self._slices.append(_Slice(now))
        self._slices[-1].calls += calls
        self._slices[-1].marked += marked

    def counts(self) -> tuple[int, int]:
        """Return the calls, and the marked ones, of the window."""
        too_old = asyncio.get_running_loop().time() - self._window_s
        while self._slices and self._slices[0].start <= too_old:
            self._slices.popleft()
        return sum(part.calls for part in self._slices), sum(part.marked for part in self._slices)


class Allowance:
    """Extra calls as a share of the calls of a window, with a few that are always allowed."""

    def __init__(self, share: float, window_s: float, least: int) -> None:
        self._share = share
        self._least = least
        self._window = Window(window_s)

    def count(self) -> None:
        """Note a call that is no extra one."""
        self._window.add(calls=1)

    def take(self) -> bool:
        """Take one extra call, if there is one."""
        calls, extra = self._window.counts()
        if extra + 1 > max(self._least, self._share * calls):
            return False
        self._window.add(marked=1)
        return True


class _Slice:
    """What was counted in one part of the window."""

    __slots__ = ("calls", "marked", "start")

    def __init__(self, start: float) -> None:
        self.start = start
        self.calls = 0
        self.marked = 0
