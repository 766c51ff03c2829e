"""Tells how long a model may be silent before that speaks against it, by its own pace as this server heard it."""

import asyncio
from collections.abc import Callable
from typing import Final

from moa_server.domain.model import TimeLimits
from moa_server.models.pace import Pace

TICK_S: Final = 0.25
"""How often it is looked whether somebody has been silent for too long."""
_LEAST_SEEN: Final = 5
"""Calls of which a pace is told."""
_NEARLY_ALL, _USUALLY = 0.98, 0.95
"""Of the calls: whose silence is the longest that is the model's own, and whose it keeps to as a rule."""
_WELL_BEYOND: Final = 3.0
"""Times its own longest."""
_UNKNOWN: Final = 1 / 6
"""Of the configured limit, where the pace is not known."""
_STEP: Final = 4
"""Prompts of like size are judged alike: up to 1,024 tokens, and up to so many times more each."""
_SMALL: Final = 1024
_SIZES: Final = 6


class HearingClock:
    """Counts the time in which this server could hear. While its loop is held up it stands still.

    It runs only while it is wanted, and costs one timer then, however many calls are under way.
    """

    def __init__(self, ticked: Callable[[], None]) -> None:
        self._ticked = ticked
        self._heard = 0.0
        self._at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._at = asyncio.get_running_loop().time()
        self._set_timer()

    def stop(self) -> None:
        self._heard = self.time()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def time(self) -> float:
        """Return the seconds so far."""
        if self._timer is None:
            return self._heard
        return self._heard + min(asyncio.get_running_loop().time() - self._at, TICK_S)

    def _set_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._heard = self.time()
        self._at = asyncio.get_running_loop().time()
        self._set_timer()
        self._ticked()


class UsualSilence:
    """How long the calls of one model are silent: before they begin to speak, by the size of the prompt, and after."""

    def __init__(self, floor_s: float, times: TimeLimits) -> None:
        self._floor_s = floor_s
        self._times = times
        self._before = [Pace() for _ in range(_SIZES)]
        self._between = Pace()

    def note_before(self, size: int, seconds: float) -> None:
        """Note the longest silence of a call before its first token."""
        self._before[_class(size)].note(seconds)

    def note_between(self, seconds: float) -> None:
        """Note the longest silence of a call after its first token."""
        self._between.note(seconds)

    def known(self, size: int, *, spoken: bool) -> float | None:
        """Return the silence that is well beyond the model's pace; None where that is not known."""
        if spoken:
            seen = self._between.quantile(_NEARLY_ALL, _LEAST_SEEN)
            return None if seen is None else self._bounded(seen * _WELL_BEYOND, spoken=True)
        found = self._of_size(size, _NEARLY_ALL)
        if found is None:
            return None
        seen, larger = found
        return self._bounded(max(seen * _WELL_BEYOND, self._floor_s) * larger, spoken=False)

    def unknown(self, *, spoken: bool) -> float:
        """Return the silence that is held against a model whose pace is not known."""
        paces = [self._between] if spoken else self._before
        longest = max(pace.longest for pace in paces) * _WELL_BEYOND
        return self._bounded(max(longest, self._limit(spoken=spoken) * _UNKNOWN), spoken=spoken)

    def usual(self, size: int) -> float | None:
        """Return the time after which the model has nearly always begun to speak; None where that is not known."""
        found = self._of_size(size, _USUALLY)
        return None if found is None else min(found[0] * found[1], self._times.first_token)

    def _of_size(self, size: int, share: float) -> tuple[float, float] | None:
        """Return what is known of prompts as long or longer, or else of shorter ones, and how many times longer it is.

        The time to read a prompt grows with it, so that a long one is not late by the pace of the short ones.
        """
        own = _class(size)
        for place in range(own, _SIZES):
            if (seen := self._before[place].quantile(share, _LEAST_SEEN)) is not None:
                return seen, 1.0
        for place in range(own - 1, -1, -1):
            if (seen := self._before[place].quantile(share, _LEAST_SEEN)) is not None:
                return seen, float(_STEP ** (own - place))
        return None

    def _bounded(self, seconds: float, *, spoken: bool) -> float:
        return min(max(seconds, self._floor_s), self._limit(spoken=spoken))

    def _limit(self, *, spoken: bool) -> float:
        return self._times.idle if spoken else self._times.first_token


def _class(size: int) -> int:
    place, most = 0, _SMALL
    while size > most and place < _SIZES - 1:
        place, most = place + 1, most * _STEP
    return place
