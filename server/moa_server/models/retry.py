"""Asks a model again that failed before its first word, as long as that is polite, affordable and in time.

A request whose kept connection was broken is sent again at once, where the operator allows it; that is an attempt too,
and counts as one.
"""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from moa_server.domain.errors import LimitError, ModelBreakerOpen, ModelError
from moa_server.domain.model import AttemptKind, Prompt, Reply
from moa_server.domain.ports import CallTerms, Model
from moa_server.domain.reliability import RetryRule
from moa_server.models.window import Allowance
from moa_server.models.wrapper import FirstToken, Wrapper, left_s

_RUNS_REMEMBERED = 4096


class Retry(Wrapper):
    """A model that is asked again. While it waits to be, it holds no place."""

    def __init__(self, model: Model, rule: RetryRule, chance: Callable[[], float] = random.random) -> None:
        super().__init__(model)
        self._rule = rule
        self._chance = chance
        self._of_model = Allowance(rule.share, rule.window_s, rule.least_in_window)
        self._of_runs = _RunCounts(rule.per_run)

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        self._of_model.count()
        first_token = FirstToken(terms.hear)
        terms = replace(terms, hear=first_token)
        failure: ModelError | None = None
        retries = 0
        while True:
            try:
                return await self._model.speak(prompt, terms)
            except LimitError as limit:
                if failure is None:
                    raise
                raise failure from limit
            except ModelError as error:
                resent = error.stale and self._rule.resend
                wait = 0.0 if resent else self._wait(error, retries)
                if first_token.has_come or retries == self._rule.attempts or not self._granted(error, wait, terms):
                    raise
                failure = error
            # What the failed attempt has found to be refused need not be found again.
            prompt = replace(prompt, left_out=prompt.left_out | failure.left_out)
            await asyncio.sleep(wait)
            terms = replace(terms, kind=AttemptKind.RESEND if resent else AttemptKind.RETRY)
            retries += 1

    def _wait(self, error: ModelError, retries: int) -> float:
        """Return the wait before the next attempt: never less than the endpoint asked for, and never in step."""
        if error.retry_after_s is not None:
            return error.retry_after_s + self._chance() * self._rule.base_s
        return self._chance() * min(self._rule.most_s, self._rule.base_s * 2.0**retries)

    def _granted(self, error: ModelError, wait: float, terms: CallTerms) -> bool:
        if error.permanent or isinstance(error, ModelBreakerOpen):
            return False
        if error.retry_after_s is not None and error.retry_after_s > self._rule.longest_hint_s:
            return False
        if wait >= left_s(terms):
            return False
        if not self._of_runs.has_one(terms.run_id) or not self._of_model.take():
            return False
        self._of_runs.count(terms.run_id)
        return True


class _RunCounts:
    """How many retries each of the latest runs has had."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: OrderedDict[str, int] = OrderedDict()

    def has_one(self, run_id: str) -> bool:
        """Tell whether the run has a retry left."""
        return self._counts.get(run_id, 0) < self._most

    def count(self, run_id: str) -> None:
        self._counts[run_id] = self._counts.pop(run_id, 0) + 1
        if len(self._counts) > _RUNS_REMEMBERED:
            self._counts.popitem(last=False)
