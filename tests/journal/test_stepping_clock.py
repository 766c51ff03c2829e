"""The machine's clock is set to another time: ages do not follow it, neither forward nor back."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from moa_server.domain.limits import Retention
from moa_server.domain.ports import Journal
from moa_server.journal.memory import MemoryJournal
from moa_server.journal.sqlite import SqliteJournal
from tests.journal.clock import HandClock
from tests.journal.contract import OWNERSHIP_S
from tests.journal.examples import deltas, submission, whole

HOUR_S = 3600.0
STEPS = pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])


class Machine:
    """A machine whose clock may be set."""

    def __init__(self, open_journal: Callable[[HandClock, Retention], Journal], stack: AsyncExitStack) -> None:
        self.clock = HandClock()
        self._open = open_journal
        self._stack = stack

    async def journal(self, retention: Retention = Retention()) -> Journal:
        journal = self._open(self.clock, retention)
        if isinstance(journal, SqliteJournal):
            await self._stack.enter_async_context(journal)
        return journal


@pytest.fixture(params=["memory", "sqlite"])
async def machine(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Machine]:
    def in_memory(clock: HandClock, retention: Retention) -> Journal:
        return MemoryJournal(retention, clock=clock, monotonic=clock.monotonic)

    def in_file(clock: HandClock, retention: Retention) -> Journal:
        return SqliteJournal(tmp_path / "journal.db", retention, clock=clock, monotonic=clock.monotonic)

    async with AsyncExitStack() as stack:
        yield Machine(in_file if request.param == "sqlite" else in_memory, stack)


@STEPS
async def test_a_run_is_as_old_as_time_has_passed(machine: Machine, step_s: float) -> None:
    journal = await machine.journal()
    await journal.submit(submission(), "a")
    machine.clock.ahead += timedelta(seconds=step_s)
    machine.clock.advance(10)
    found = await journal.find("r1")
    assert found is not None
    assert found.age_s == pytest.approx(10)


@STEPS
async def test_what_is_kept_in_memory_for_a_time_is_kept_for_that_time(step_s: float) -> None:
    clock = HandClock()
    journal = MemoryJournal(Retention(age_s=60, content_age_s=30), clock=clock, monotonic=clock.monotonic)
    await journal.submit(submission(), "a")
    await journal.write("a", [whole()])
    clock.ahead += timedelta(seconds=step_s)
    assert await journal.purge() == 0
    clock.advance(31)
    assert await journal.purge() == 1, "the contents"
    assert await journal.find("r1") is not None
    clock.advance(31)
    assert await journal.purge() == 1
    assert await journal.find("r1") is None


@STEPS
async def test_an_owner_is_silent_once_it_has_been_for_its_time(machine: Machine, step_s: float) -> None:
    journal = await machine.journal()
    await journal.submit(submission(), "a")
    for _ in range(4):
        machine.clock.advance(OWNERSHIP_S / 2)
        await journal.write("a", [])
        await journal.write("b", [])
    machine.clock.ahead += timedelta(seconds=step_s)
    assert not await journal.claim("b", 10)
    for _ in range(4):
        machine.clock.advance(OWNERSHIP_S / 2)
        await journal.write("b", [])
    (claimed,) = await journal.claim("b", 10)
    assert claimed.age_s == pytest.approx(OWNERSHIP_S * 4)


@STEPS
async def test_a_server_started_after_the_step_knows_how_old_the_runs_of_others_are(
    tmp_path: Path, step_s: float
) -> None:
    clock = HandClock()

    def journal() -> SqliteJournal:
        return SqliteJournal(tmp_path / "journal.db", clock=clock, monotonic=clock.monotonic)

    async with journal() as first:
        await first.submit(submission(), "a")
        await first.write("a", [deltas(1)])
        await first.release("a", ["r1"])
    clock.ahead += timedelta(seconds=step_s)
    clock.advance(10)
    async with journal() as second:
        (claimed,) = await second.claim("b", 10)
        assert claimed.age_s == pytest.approx(10)
