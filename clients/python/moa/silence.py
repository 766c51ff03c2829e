"""Knows after how much silence a stream counts as broken."""

import random
from collections.abc import Callable
from typing import Protocol

from moa.errors import StreamCut

BEATS = 3
"""Heartbeats that may be missing."""

SPREAD = 0.7
"""Seconds, one heartbeat at the most, over which the callers of one silent server leave it."""

STARTING = 5.0
"""Seconds to the first message of a call that starts a run, which is there once the run is registered."""

WATCHING = 1.0
"""Seconds to the first message of a call that watches a run, which is there at once. It is short because the call that
takes a stream up again may meet the same frozen server, until a ping finds it."""

LATE = 1.0
"""Seconds by which a look may be late: with more it was this process that stood still, not the server."""

_SHORT = 3
"""Silences after which the wait for a first message grows."""

_LONGEST_TO_FIRST = 20.0
_MOST_DOUBLINGS = 2


class Cancellable(Protocol):
    """A call, as far as those who watch over it use it."""

    def cancel(self) -> bool: ...


class SilenceLimit:
    """Tells how long the read of a call may hear nothing; is told calls and messages, and does no I/O.

    A server that is too busy to send its heartbeats is not helped by callers who come back all the time: each call
    that fell silent since the last event makes the next one twice as patient, up to four times.
    """

    def __init__(self, jitter: Callable[[float, float], float] = random.uniform) -> None:
        self._jitter = jitter
        self._silences = 0
        self.seconds: float | None = None
        """The seconds that the read under way may hear nothing. None means any time."""

    def begin(self, *, starts: bool) -> None:
        """Note that a call begins, which starts a run or else watches one."""
        first = (STARTING if starts else WATCHING) * 2 ** min(max(0, self._silences - _SHORT), 10)
        self.seconds = min(first, _LONGEST_TO_FIRST) + self._jitter(0.0, SPREAD)

    def hear_period(self, period: float) -> None:
        """Note the heartbeat period that the first message told; 0 when it told none."""
        if period <= 0.0:
            self.seconds = None
            return
        patience = BEATS * 2 ** min(self._silences, _MOST_DOUBLINGS)
        self.seconds = patience * period + self._jitter(0.0, min(period, SPREAD))

    def hear_event(self) -> None:
        """Note that the run goes on."""
        self._silences = 0

    def broken(self) -> StreamCut:
        """Note that nothing was heard for the limit; return what that is."""
        self._silences += 1
        return StreamCut(f"nothing was heard for {self.seconds or 0.0:.1f} s")
