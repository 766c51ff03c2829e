"""Holds one attempt to its time limits: the first token, the silence between tokens, the whole, the call's terms."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from moa_server.domain.errors import ModelTimeout
from moa_server.domain.model import ModelSpec
from moa_server.domain.ports import CallTerms

_LAST_WORDS_S = 2.0
"""How long usage and the end of the stream may take after the model has said that it has finished."""
_HELD_UP_S = 0.1
"""A timer that is later than this was held up by ourselves, and the model may have spoken meanwhile."""


class Patience:
    """How long is still waited. A connection that is kept alive without a token gains nothing.

    Every token moves the limit, so that a timer is set anew only when it has gone off, or the limit has come nearer.
    """

    def __init__(self, spec: ModelSpec, terms: CallTerms, *, reasons: bool = False) -> None:
        """Begin to wait for a model; for one that ``reasons``, as is to be expected, longer once it has a question."""
        self._spec, times = spec, spec.times
        self._reasons = reasons
        self._first_s = times.first_token
        self._reasoning_s = max(times.reasoning, times.first_token, times.idle)
        self._reasons_unseen = False
        self._loop = asyncio.get_running_loop()
        opened = self._loop.time()
        self._end = min(opened + spec.times.total, terms.deadline)
        self._deadline = terms.deadline
        self._speak_by = min(self._end, self._end if terms.speak_by is None else terms.speak_by)
        self._spoken = False
        self._complete = False
        self._over = False
        self._limit = min(self._speak_by, opened + spec.times.first_token)
        self._set_timer(self._limit)
        self.scope = asyncio.timeout(None)
        """What ends when the limit is met."""

    def answering(self) -> None:
        """Note that the endpoint has taken the question, so that a model that reasons is at it."""
        if self._reasons and not self._spoken:
            self._first_s = self._reasoning_s
            self._wait_until(min(self._speak_by, self._loop.time() + self._first_s))

    def token(self, *, reasons_unseen: bool = False) -> None:
        """Note that at least one token has come, or that it ``reasons_unseen`` from now on.

        To begin to reason unseen is no token yet: who hangs then would have the time of those who are to stand in.
        """
        begins = reasons_unseen and not self._reasons_unseen
        self._spoken = self._spoken or not begins
        self._complete = False
        self._reasons_unseen = reasons_unseen
        moment = self._loop.time() + (self._reasoning_s if reasons_unseen else self._spec.times.idle)
        self._wait_until(moment if self._spoken else min(self._speak_by, moment))

    def last_words(self) -> None:
        """Note that the answer is complete, and that only counts and marks may follow."""
        if not self._complete:
            self._complete = True
            self._wait_until(self._loop.time() + _LAST_WORDS_S)

    def whole(self) -> None:
        """Note that the answer comes in one piece: until it is there, only its end is waited for."""
        self._wait_until(self._speak_by)

    def stop(self) -> None:
        """Wait no longer."""
        self._timer.cancel()

    def _wait_until(self, moment: float) -> None:
        if self._over:  # what comes now comes too late, and the scope can be moved only once
            return
        self._limit = min(self._end, moment)
        if self._limit < self._due:
            self._timer.cancel()
            self._set_timer(self._limit)

    def _set_timer(self, moment: float) -> None:
        # Kept here too: not every loop's handles know when they are due.
        self._due = moment
        self._timer = self._loop.call_at(moment, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        late = now - self._due
        if self._limit <= now and late > _HELD_UP_S:  # our own delay is not the model's silence
            self._limit = min(self._end, now + late)
        if self._limit > now:
            self._set_timer(self._limit)
        elif not self._over:
            self._over = True
            self.scope.reschedule(now)

    def failure(self) -> ModelTimeout:
        """Return what ran out."""
        name, times, met = self._spec.name, self._spec.times, self._limit
        if met < self._end:
            if met == self._speak_by and not self._spoken:
                return ModelTimeout(f"{name} gave no token while there was time for others to stand in")
            if self._reasons_unseen:
                return ModelTimeout(f"{name} reasoned for {self._reasoning_s:g} s without a word")
            if self._spoken:
                return ModelTimeout(f"{name} was silent for {times.idle:g} s between two tokens")
            return ModelTimeout(f"{name} gave no token within {self._first_s:g} s")
        if self._end == self._deadline:
            return ModelTimeout(f"{name} had not finished at the deadline")
        return ModelTimeout(f"{name} had not finished after {times.total:g} s")


@asynccontextmanager
async def patience(spec: ModelSpec, terms: CallTerms, *, reasons: bool = False) -> AsyncIterator[Patience]:
    """Limit the time of what is done inside, with longer patience for a model that ``reasons``.

    Raises:
        ModelTimeout: one of the limits was met.
    """
    patient = Patience(spec, terms, reasons=reasons)
    try:
        async with patient.scope:
            yield patient
    except TimeoutError:
        raise patient.failure() from None
    finally:
        patient.stop()
