"""Lets only so many calls be at a model at once, and shares the places fairly between runs."""

import asyncio
from typing import Protocol

from moa_server.domain.errors import DeadlineExceeded, ModelError, ModelThrottled, ModelTimeout, ModelUnavailable
from moa_server.domain.model import ModelSpec, Prompt, Reply
from moa_server.domain.ports import CallTerms, Model
from moa_server.domain.reliability import ConcurrencyRule
from moa_server.models.deadline import callers_own, left_s
from moa_server.models.places import Places

_GROWTH = 1.0
"""Places gained by a full round of calls that went well."""
_SHRINKAGE = 0.7
"""What is left of the limit after an overload."""
_OVERLOADED = ("503", "529")


class Limit:
    """A model with so many places; whoever finds none waits for one, until it is too late."""

    def __init__(self, model: Model, rule: ConcurrencyRule) -> None:
        self._model = model
        self._rule = rule
        self._size: Size = Adaptive(rule) if rule.adaptive else Fixed(rule)
        self._places = Places(lambda: self._size.places)

    @property
    def spec(self) -> ModelSpec:
        return self._model.spec

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
                raise self._crowded(longest) from None
            raise DeadlineExceeded(f"no place at {self.spec.name} became free in time") from None

    def _crowded(self, waited: float) -> ModelError:
        error = ModelThrottled(f"no place at {self.spec.name} became free within {waited:.3g} s")
        error.permanent = True  # to queue once more is no better than to have queued for longer
        return error


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
        if started >= self._shrunk_at:
            self._exact = max(self._exact * _SHRINKAGE, float(self._rule.least))
            self._shrunk_at = asyncio.get_running_loop().time()
