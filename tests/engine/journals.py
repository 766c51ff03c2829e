"""Journals in memory that behave as real ones do on a bad day."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.journal import Append, Registered, Written
from moa_server.domain.run import Submission
from moa_server.journal.memory import MemoryJournal


class Faltering(MemoryJournal):
    """Takes its time, fails now and then, and sometimes has written all the same."""

    def __init__(self, seed: int, **more: Any) -> None:  # noqa: ANN401
        super().__init__(**more)
        self._chance = random.Random(seed)

    async def submit(self, submission: Submission, owner: str) -> Registered:
        await asyncio.sleep(self._chance.random() * 0.05)
        return await super().submit(submission, owner)

    async def write(self, owner: str, appends: Sequence[Append]) -> Written:
        await asyncio.sleep(self._chance.choice((0.0, 0.001, 0.05)))
        fault = self._chance.random()
        if fault < 0.1:
            raise JournalUnavailable("the store cannot be reached")
        written = await super().write(owner, appends)
        if fault < 0.2:
            raise JournalUnavailable("the store's answer was lost")
        return written
