"""Hands out places, one run after the other, so that a large run does not starve a small one."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable


class Places:
    """Places that are taken and given back. Among the runs that wait, each has its turn."""

    def __init__(self, size: Callable[[], int]) -> None:
        self._size = size
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self.taken = 0

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return sum(map(len, self._waiting.values()))

    async def take(self, run_id: str) -> None:
        """Take a place for a run, as soon as it is this run's turn."""
        if not self._waiting and self.taken < self._size():
            self.taken += 1
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(run_id, deque()).append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # it was handed over in the same moment
                self.free()
            else:
                self._leave(run_id, place)
            raise

    def free(self) -> None:
        """Give a place back."""
        self.taken -= 1
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting and self.taken < self._size():
            run_id, line = self._waiting.popitem(last=False)
            place = line.popleft()
            if line:
                self._waiting[run_id] = line
            if not place.done():
                self.taken += 1
                place.set_result(None)

    def _leave(self, run_id: str, place: asyncio.Future[None]) -> None:
        """Let a waiting call go that was cancelled."""
        line = self._waiting.get(run_id)
        if line is None or place not in line:
            return
        line.remove(place)
        if not line:
            del self._waiting[run_id]
        self._hand_out()
