from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from moa_server.domain.limits import Retention
from moa_server.domain.ports import Journal
from moa_server.journal.sqlite import SqliteJournal
from tests.journal.clock import HandClock
from tests.journal.contract import JournalContract


class OneFile:
    """Servers of one machine share a file."""

    def __init__(self, path: Path, stack: AsyncExitStack) -> None:
        self._path = path
        self._stack = stack
        self._clock = HandClock()

    async def journal(self, retention: Retention | None = None) -> Journal:
        journal = SqliteJournal(
            self._path, retention or Retention(), clock=self._clock, monotonic=self._clock.monotonic
        )
        return await self._stack.enter_async_context(journal)

    async def pass_time(self, seconds: float) -> None:
        self._clock.advance(seconds)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[OneFile]:
    async with AsyncExitStack() as stack:
        yield OneFile(tmp_path / "journal.db", stack)


class TestSqliteJournal(JournalContract):
    pass
