"""Journals in memory that behave as real ones do on a bad day."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.event import Event
from moa_server.domain.ports import Append, Registered, Written
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


class SharedJournal(MemoryJournal):
    """The memory journal, as if other servers could see it."""

    is_shared = True


class CutOff:
    """A server's way to the journal, until it is cut."""

    def __init__(self, journal: SharedJournal, most: int = 10_000) -> None:
        """Cut it within the commit that has the event after so many of a run's epoch."""
        self.cut = asyncio.Event()
        self._journal = journal
        self._most = most

    @property
    def is_cut(self) -> bool:
        return self.cut.is_set()

    def __getattr__(self, name: str) -> object:
        if self.is_cut and name in {"submit", "claim", "release", "find", "read", "note_watched", "cancel"}:
            raise JournalUnavailable("the way to the journal is cut")
        return getattr(self._journal, name)

    def mend(self) -> None:
        """Let everything through from now on."""
        self.cut.clear()
        self._most = 10_000

    async def write(self, owner: str, appends: Sequence[Append]) -> Written:
        if self.is_cut:
            raise JournalUnavailable("the way to the journal is cut")
        kept = [replace(append, events=self._kept(append)) for append in appends]
        written = await self._journal.write(owner, kept)
        if kept != [*appends]:
            self.cut.set()
            raise JournalUnavailable("the way to the journal was cut")
        return written

    def _kept(self, append: Append) -> tuple[Event, ...]:
        return tuple(event for event in append.events if event.sequence <= self._most)
