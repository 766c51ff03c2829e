"""Lets only so many calls be at a model at once, and shares the places fairly between runs."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Protocol

from moa_server.domain.errors import DeadlineExceeded, ModelError, ModelThrottled, ModelTimeout, ModelUnavailable
from moa_server.domain.model import Prompt, Reply
from moa_server.domain.ports import CallTerms, Model
from moa_server.domain.reliability import ConcurrencyRule
from moa_server.models.wrapper import Wrapper, callers_own, left_s

_GROWTH = 1.0
"""Places gained by a full round of calls that went well."""
_SHRINKAGE = 0.7
"""What is left of the limit after an overload."""
_OVERLOADED = ("503", "529")


class Limit(Wrapper):
    """A model with so many places; whoever finds none waits for one, until it is too late."""

    def __init__(self, model: Model, rule: ConcurrencyRule) -> None:
        super().__init__(model)
        self._rule = rule
        self._size: Size = Adaptive(rule) if rule.adaptive else Fixed(rule)
        self._places = Places(lambda: self._size.places)

    @property
    def places(self) -> int:
        """How many calls may be made at once, as of now."""
        return self._size.places

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        await self._take_place(terms)
        started = asyncio.get_running_loop().time()
        try:
            reply = await self._model.speak(prompt, terms)
            self._size.went_well(self._places.taken)
            return reply
        except ModelError as error:
            if is_overload(error) and not callers_own(error, terms):
                self._size.overloaded(started)
            raise
        finally:
            self._places.free()

    async def _take_place(self, terms: CallTerms) -> None:
        left = left_s(terms)
        longest = max(min(left, self._rule.longest_wait_s), 0.0)
        try:
            async with asyncio.timeout(longest):
                await self._places.take(terms.run_id)
        except TimeoutError:
            if longest < left or terms.speak_by is not None:  # there is time for somebody else
                error = ModelThrottled(f"no place at {self.spec.name} became free within {longest:.3g} s")
                error.permanent = True  # to queue once more is no better than to have queued for longer
                raise error from None
            raise DeadlineExceeded(f"no place at {self.spec.name} became free in time") from None


def is_overload(error: ModelError) -> bool:
    """Tell whether an endpoint failed because it has too much to do."""
    if isinstance(error, ModelUnavailable):
        return error.retry_after_s is not None or error.metadata.get("status") in _OVERLOADED
    return isinstance(error, ModelThrottled | ModelTimeout)


class Size(Protocol):
    """How many places there are, and what changes that."""

    @property
    def places(self) -> int: ...

    def went_well(self, taken: int) -> None:
        """Note that a call went well while so many places were taken."""
        ...

    def overloaded(self, started: float) -> None:
        """Note that a call of that start met an overload."""
        ...


class Fixed:
    """As many as the operator says."""

    def __init__(self, rule: ConcurrencyRule) -> None:
        self.places = rule.limit or rule.most

    def went_well(self, taken: int) -> None:
        """Change nothing."""

    def overloaded(self, started: float) -> None:
        """Change nothing."""


class Adaptive:
    """One more for each full round that went well, a good part fewer after an overload."""

    def __init__(self, rule: ConcurrencyRule) -> None:
        self._rule = rule
        self._exact = float(min(max(rule.limit or rule.least, rule.least), rule.most))
        self._shrunk_at = float("-inf")

    @property
    def places(self) -> int:
        return int(self._exact)

    def went_well(self, taken: int) -> None:
        if taken >= self.places:  # a limit that nobody reaches has proved nothing
            self._exact = min(self._exact + _GROWTH / self._exact, float(self._rule.most))

    def overloaded(self, started: float) -> None:
        """Shrink once for all the calls that met the same overload."""
        if started >= self._shrunk_at:  # those begun before were sent out under the limit that is gone
            self._exact = max(self._exact * _SHRINKAGE, float(self._rule.least))
            self._shrunk_at = asyncio.get_running_loop().time()


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
