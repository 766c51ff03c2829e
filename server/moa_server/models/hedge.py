"""Asks a rival when a model is slower to begin than it usually is, and listens to whoever speaks first."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Final, Self

from moa_server.domain.model import AttemptKind, ModelSpec, Prompt, Reply
from moa_server.domain.ports import Account, CallTerms, Model, OpenAttempt
from moa_server.domain.reliability import HedgeRule
from moa_server.models.pace import Pace
from moa_server.models.window import Allowance
from moa_server.models.wrapper import FirstToken, Wrapper, fitted

_WINDOW_S: Final = 60.0


class Hedge(Wrapper):
    """A model with a rival for its slow calls."""

    def __init__(self, model: Model, rival: Model, rule: HedgeRule) -> None:
        super().__init__(model)
        self._rival = rival
        self._rule = rule
        self._pace = Pace()
        self._allowance = Allowance(rule.share, _WINDOW_S, least=1)

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        self._allowance.count()
        usual = self._pace.quantile(self._rule.quantile, self._rule.least_seen)
        timed = _Timed(terms.account, self._pace)
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
                    self._pace.note(usual)


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


class Race:
    """Some calls of which one is to win. When it is left, none of them goes on."""

    def __init__(self, kept: int | None = None) -> None:
        """Let the call of the place ``kept`` go on, unheard, when it has not won, until it has begun to speak."""
        self._kept = kept
        self._runners: list[asyncio.Task[Reply]] = []
        self._winner: int | None = None
        self._spoken = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_others()
        # Waited for, so that upstream connections are closed and attempts accounted for when the call returns.
        await asyncio.gather(*self._runners, return_exceptions=True)

    def enter(self, model: Model, prompt: Prompt, terms: CallTerms) -> asyncio.Task[Reply]:
        """Let one more model speak, and return its task."""
        place = len(self._runners)
        own = replace(terms, hear=partial(self._hear, place, terms.hear))
        self._runners.append(asyncio.create_task(model.speak(prompt, own), name=f"race-{model.spec.name}"))
        return self._runners[place]

    async def silent_for(self, seconds: float) -> bool:
        """Wait so long for somebody to speak or the first to end; tell whether neither has happened."""
        done, _ = await asyncio.wait(
            {self._spoken, self._runners[0]}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        return not done

    async def result(self) -> Reply:
        """Return what the winner said.

        Raises:
            MoaError: the winner failed, or all did; then it is the error of the first that was entered.
        """
        running = set(self._runners)
        while running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for place, runner in enumerate(self._runners):
                if runner in done and self._decides(place, runner):
                    return runner.result()
        return self._runners[0].result()

    def _decides(self, place: int, runner: asyncio.Task[Reply]) -> bool:
        """Tell whether a call that has ended ends the race: the winner's does, and a success without a word."""
        if self._winner is None and not runner.cancelled() and runner.exception() is None:
            self._win(place)
        return self._winner == place

    def _hear(self, place: int, hear: Callable[[str], None], text: str) -> None:
        if self._winner is None:
            self._win(place)
        if self._winner == place:
            hear(text)
        elif self._kept == place:
            self._runners[place].cancel()

    def _win(self, place: int) -> None:
        self._winner = place
        self._spoken.set_result(None)
        self._stop_others(place, self._kept)

    def _stop_others(self, *places: int | None) -> None:
        for other, runner in enumerate(self._runners):
            if other not in places:
                runner.cancel()
