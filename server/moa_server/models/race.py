"""Lets several calls speak at once, of which one is heard."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

from moa_server.domain.model import Prompt, Reply
from moa_server.domain.ports import CallTerms, Model
from moa_server.domain.run import task_name


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
        name = task_name(terms.run_id, model.spec.name)
        self._runners.append(asyncio.create_task(model.speak(prompt, own), name=name))
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
