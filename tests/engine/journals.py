"""Journals in memory that behave as real ones do on a bad day."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.event import Cursor, Event
from moa_server.domain.ports import Append, Lease, Registered, Written
from moa_server.domain.run import RunRecord, Submission
from moa_server.journal.memory import MemoryJournal


class Faltering(MemoryJournal):
    """Takes its time, fails now and then, and sometimes has written all the same."""

    def __init__(self, seed: int) -> None:
        super().__init__()
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


class LosesTheFirstAnswer(SharedJournal):
    """A journal whose answer to the first submission is lost."""

    has_lost = False

    async def submit(self, submission: Submission, owner: str) -> Registered:
        registered = await super().submit(submission, owner)
        if not self.has_lost:
            self.has_lost = True
            raise JournalUnavailable("the store's answer was lost")
        return registered


class CutOff:
    """A server's way to the journal, until it is cut; news still comes through."""

    def __init__(self, journal: SharedJournal, most: int = 10_000) -> None:
        """Cut it within the commit that has the event after so many of a run's epoch."""
        self.cut = asyncio.Event()
        self.is_shared = journal.is_shared
        self._behind = journal
        self._most = most

    @property
    def is_cut(self) -> bool:
        return self.cut.is_set()

    def mend(self) -> None:
        """Let everything through from now on."""
        self.cut.clear()
        self._most = 10_000

    @property
    def _journal(self) -> SharedJournal:
        if self.is_cut:
            raise JournalUnavailable("the way to the journal is cut")
        return self._behind

    async def write(self, owner: str, appends: Sequence[Append]) -> Written:
        kept = [replace(append, events=self._kept(append)) for append in appends]
        written = await self._journal.write(owner, kept)
        if kept != [*appends]:
            self.cut.set()
            raise JournalUnavailable("the way to the journal was cut")
        return written

    def _kept(self, append: Append) -> tuple[Event, ...]:
        return tuple(event for event in append.events if event.sequence <= self._most)

    async def submit(self, submission: Submission, owner: str) -> Registered:
        return await self._journal.submit(submission, owner)

    async def claim(self, owner: str, limit: int, *, trial: bool = True) -> Sequence[RunRecord]:
        return await self._journal.claim(owner, limit, trial=trial)

    def lease(self, owner: str) -> AbstractAsyncContextManager[Lease]:
        return self._journal.lease(owner)

    async def leave(self, owner: str, run_ids: Sequence[str]) -> None:
        await self._journal.leave(owner, run_ids)

    async def release(self, owner: str, run_ids: Sequence[str]) -> None:
        await self._journal.release(owner, run_ids)

    async def find(self, run_id: str) -> RunRecord | None:
        return await self._journal.find(run_id)

    async def find_request(self, caller: str, request_id: str) -> RunRecord | None:
        return await self._journal.find_request(caller, request_id)

    async def read(self, run_id: str, after: Cursor, limit: int, *, strict: bool = False) -> Sequence[Event]:
        return await self._journal.read(run_id, after, limit, strict=strict)

    async def cancel(self, run_id: str, by: str) -> None:
        await self._journal.cancel(run_id, by)

    async def note_watched(self, run_ids: Sequence[str]) -> None:
        await self._journal.note_watched(run_ids)

    def follow(self, name: str) -> AsyncGenerator[None, None]:
        return self._behind.follow(name)

    async def purge(self) -> int:
        return await self._behind.purge()
