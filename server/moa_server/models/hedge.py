"""Asks a rival when a model is slower to begin than it usually is, and listens to whoever speaks first."""

import asyncio
from dataclasses import replace
from typing import Final

from moa_server.domain.model import AttemptKind, ModelSpec, Prompt, Reply
from moa_server.domain.ports import Account, CallTerms, Model, OpenAttempt
from moa_server.domain.reliability import HedgeRule
from moa_server.models.pace import Pace
from moa_server.models.race import Race
from moa_server.models.window import Allowance
from moa_server.models.wrapper import FirstToken, Wrapper, fitted

_WINDOW_S: Final = 60.0


class Hedge(Wrapper):
    """A model with a rival for its slow calls."""

    def __init__(self, model: Model, rival: Model, rule: HedgeRule) -> None:
        super().__init__(model)
        self._rival = rival
        self._rule = rule
        # Who reasons begins later: the one pace says nothing of the other.
        self._paces = {reasons: Pace() for reasons in (False, True)}
        self._allowance = Allowance(rule.share, _WINDOW_S, least=1)

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        self._allowance.count()
        pace = self._paces[prompt.reasons(self.spec)]
        usual = pace.quantile(self._rule.quantile, self._rule.least_seen)
        timed = _Timed(terms.account, pace)
        first_token = FirstToken(terms.hear, timed.begun)
        mine = replace(terms, account=timed, hear=first_token)
        suited = fitted(prompt, self._rival.spec)
        if usual is None or suited is None:
            return await self._model.speak(prompt, mine)
        async with Race() as race:
            race.enter(self._model, prompt, mine)
            if not (await race.silent_for(usual) and self._allowance.take()):
                return await race.result()
            race.enter(self._rival, suited, replace(terms, kind=AttemptKind.HEDGE))
            try:
                return await race.result()
            finally:
                if not first_token.has_come:
                    # How long it would have taken is not known, only that it was longer. To leave it out would
                    # shorten the usual time with every hedge, until every call is hedged.
                    pace.note(usual)


class _Timed:
    """The account of a model's own attempt; takes the time from the physical call to its first word.

    A call may have waited and been retried before: only what the endpoint itself took tells whether it is slow.
    """

    def __init__(self, account: Account, pace: "Pace") -> None:
        self._account = account
        self._pace = pace
        self._opened = 0.0

    def open(self, spec: ModelSpec, kind: AttemptKind, prompt: Prompt) -> OpenAttempt:
        entry = self._account.open(spec, kind, prompt)
        self._opened = asyncio.get_running_loop().time()
        return entry

    def begun(self) -> None:
        self._pace.note(asyncio.get_running_loop().time() - self._opened)
