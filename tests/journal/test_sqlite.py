from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from moa_server.domain.limits import Retention
from moa_server.domain.ports import Journal
from moa_server.journal import sqlite_statements
from moa_server.journal.rules import OWNERSHIP_S
from moa_server.journal.sqlite import SqliteJournal
from tests.journal.clock import HandClock
from tests.journal.contract import JournalContract
from tests.journal.examples import submission


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


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_that_is_set_makes_no_owner_silent_and_no_run_older(tmp_path: Path, hours: int) -> None:
    clock = HandClock()
    path = tmp_path / "journal.db"
    async with (
        SqliteJournal(path, clock=clock, monotonic=clock.monotonic) as first,
        SqliteJournal(path, clock=clock, monotonic=clock.monotonic) as second,
    ):
        await first.submit(submission(), "a")
        await second.note_watched(["r1"])
        for _ in range(5):
            clock.advance(OWNERSHIP_S / 3)
            await second.write("b", ())
            await first.write("a", ())
        clock.ahead = timedelta(hours=hours)
        assert not await second.claim("b", 10)
        found = await second.find("r1")
        assert found is not None
        assert (found.age_s, found.unwatched_s) == pytest.approx((OWNERSHIP_S * 5 / 3,) * 2)
        await first.release("a", ["r1"])
        (claimed,) = await second.claim("b", 10)
        assert claimed.age_s == pytest.approx(OWNERSHIP_S * 5 / 3), "its deadline stays where it was"


async def test_the_age_of_a_run_from_before_the_machine_was_started_anew_is_told_by_the_clock_on_the_wall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, path = HandClock(), tmp_path / "journal.db"
    async with SqliteJournal(path, clock=clock, monotonic=clock.monotonic) as journal:
        await journal.submit(submission(), "a")
    monkeypatch.setattr(sqlite_statements, "boot_id", lambda: "another boot")
    clock.advance(60)
    async with SqliteJournal(path, clock=clock, monotonic=lambda: clock.monotonic() - 1000) as journal:
        found = await journal.find("r1")
    assert found is not None
    assert found.age_s == pytest.approx(60)
