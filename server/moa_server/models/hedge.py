"""Asks a rival when a model is slower to begin than it usually is, and listens to whoever speaks first."""

import asyncio
from dataclasses import replace
from typing import Final

from moa_server.domain.model import AttemptKind, ModelSpec, Prompt, Reply
from moa_server.domain.ports import CallTerms, Model, OpenAttempt
from moa_server.domain.reliability import HedgeRule
from moa_server.models.fitting import fitted
from moa_server.models.pace import Pace
from moa_server.models.race import Race
from moa_server.models.window import Allowance

_WINDOW_S: Final = 60.0


class Hedge:
    """A model with a rival for its slow calls."""

    def __init__(self, model: Model, rival: Model, rule: HedgeRule) -> None:
        self._model = model
        self._rival = rival
        self._rule = rule
        self._pace = Pace()
        self._allowance = Allowance(rule.share, _WINDOW_S, least=1)

    @property
    def spec(self) -> ModelSpec:
        return self._model.spec

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        self._allowance.count()
        usual = self._pace.quantile(self._rule.quantile, self._rule.least_seen)
        timed = _Timed(terms, self._pace)
        mine = replace(terms, account=timed, hear=timed.hear)
        suited = fitted(prompt, self._rival.spec)
        if usual is None or suited is None:
            return await self._model.speak(prompt, mine)
        async with Race() as race:
            race.enter(self._model, prompt, mine)
            if await race.silent_for(usual) and self._allowance.take():
                race.enter(self._rival, suited, replace(terms, kind=AttemptKind.HEDGE))
                return await self._finish(race, timed, usual)
            return await race.result()

    async def _finish(self, race: Race, timed: "_Timed", usual: float) -> Reply:
        try:
            return await race.result()
        finally:
            if not timed.heard:
                # How long it would have taken is not known, only that it was longer. To leave it out would
                # shorten the usual time with every hedge, until every call is hedged.
                self._pace.note(usual)


class _Timed:
    """The account and the ear of a model's own attempt; takes the time from the physical call to its first word."""

    def __init__(self, terms: CallTerms, pace: Pace) -> None:
        self._terms = terms
        self._pace = pace
        self._opened = 0.0
        self.heard = False

    def open(self, spec: ModelSpec, kind: AttemptKind, prompt: Prompt) -> OpenAttempt:
        entry = self._terms.account.open(spec, kind, prompt)
        self._opened = asyncio.get_running_loop().time()
        return entry

    def hear(self, text: str) -> None:
        if not self.heard:
            self.heard = True
            self._pace.note(asyncio.get_running_loop().time() - self._opened)
        self._terms.hear(text)
