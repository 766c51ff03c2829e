"""The thread beside the event loop. The loops of these tests are held by sleeping in them; no duration is asserted."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.operation import Ownership
from moa_server.domain.run import run_of, task_name
from moa_server.engine.records.watchdog import HELD_EXIT, Watchdog
from tests.engine.journals import SharedJournal


@dataclass
class Kept(SharedJournal):
    """A journal that notes what is done with its lease, and may be away."""

    renewals: int = 0
    fallen: list[str] = field(default_factory=list)
    is_away: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    @asynccontextmanager
    async def lease(self, owner: str) -> AsyncIterator["Kept"]:  # type: ignore[override]
        assert owner == "me"
        yield self

    async def renew(self) -> bool:  # type: ignore[override]
        if self.is_away:
            raise JournalUnavailable("away")
        self.renewals += 1
        return True

    async def fall(self, blamed: str) -> None:  # type: ignore[override]
        if self.is_away:
            raise JournalUnavailable("away")
        self.fallen.append(blamed)


@dataclass
class Watched:
    """What a watchdog did."""

    journal: Kept = field(default_factory=Kept)
    run_ids: list[str] = field(default_factory=lambda: ["r1", "r2"])
    codes: list[int] = field(default_factory=list)
    heard: list[float] = field(default_factory=list)
    renewed_at: Callable[[], float] = lambda: float("-inf")
    has_ended: threading.Event = field(default_factory=threading.Event)

    def watchdog(self, *, ownership_s: float = 0.4, busy_limit_s: float = 30.0) -> Watchdog:
        return Watchdog(
            self.journal,
            Ownership(ownership_s, busy_limit_s, owner="me"),
            run_ids=lambda: self.run_ids,
            renewed_at=self.renewed_at,
            on_renewal=self.heard.append,
            end=self._end,
        )

    def _end(self, code: int) -> None:
        self.codes.append(code)
        self.has_ended.set()

    def until(self, happened: Callable[[], bool]) -> None:
        """Hold the loop until something has happened beside it."""
        until = time.monotonic() + 20
        while not happened():
            assert time.monotonic() < until
            time.sleep(0.01)

    async def held(self, name: str) -> None:
        """Hold the loop in a task of this name until the process would have ended."""

        async def hold() -> None:
            self.until(self.has_ended.is_set)

        await asyncio.create_task(hold(), name=name)


async def test_a_busy_loop_keeps_its_ownership_and_hears_of_it() -> None:
    watched = Watched()
    async with watched.watchdog():
        watched.until(lambda: watched.journal.renewals >= 4)
        assert watched.heard == []
        await asyncio.sleep(0)
        assert len(watched.heard) >= 4
    assert (watched.codes, watched.journal.fallen) == ([], [])


async def test_what_the_writer_renews_is_not_renewed_again() -> None:
    watched = Watched(renewed_at=time.monotonic)
    async with watched.watchdog():
        await asyncio.sleep(1)
    assert watched.journal.renewals <= 1, "but once, so that the connection is there"


async def test_without_runs_nothing_is_renewed() -> None:
    watched = Watched(run_ids=[])
    async with watched.watchdog():
        await asyncio.sleep(1)
    assert watched.journal.renewals <= 1


async def test_a_held_loop_ends_its_process_and_names_whose_work_holds_it() -> None:
    watched = Watched()
    async with watched.watchdog(busy_limit_s=0.2):
        await watched.held(task_name("r2", "an agent"))
    assert (watched.codes, watched.journal.fallen) == ([HELD_EXIT], ["r2"])


@pytest.mark.parametrize(("run_ids", "blamed"), [(["r1", "r2"], ""), (["r1"], "r1")])
async def test_who_is_to_blame_is_known_without_a_name_only_of_a_run_alone(run_ids: list[str], blamed: str) -> None:
    watched = Watched(run_ids=run_ids)
    async with watched.watchdog(busy_limit_s=0.2):
        await watched.held("a call")
    assert watched.journal.fallen == [blamed]


async def test_a_held_loop_ends_its_process_though_the_journal_is_away() -> None:
    watched = Watched()
    watched.journal.is_away = True
    async with watched.watchdog(busy_limit_s=0.2):
        await watched.held("run r1")
    assert (watched.codes, watched.journal.fallen) == ([HELD_EXIT], [])


async def test_a_held_loop_ends_the_process_of_a_journal_that_is_nobody_elses() -> None:
    watched = Watched()
    watched.journal.is_shared = False
    async with watched.watchdog(busy_limit_s=0.2):
        await watched.held("run r1")
    assert (watched.codes, watched.journal.renewals, watched.journal.fallen) == ([HELD_EXIT], 0, [])


async def test_a_loop_that_answers_again_is_left_in_peace() -> None:
    watched = Watched()
    async with watched.watchdog(busy_limit_s=2.0):
        for _ in range(3):
            time.sleep(1.0)  # noqa: ASYNC251 - holds the loop, but for less than it may
            await asyncio.sleep(0.1)
    assert watched.codes == []


@pytest.mark.parametrize("what", ["", "an agent of two words", "beside"])
def test_a_tasks_name_tells_its_run(what: str) -> None:
    assert run_of(task_name("7f3", what)) == "7f3"


@pytest.mark.parametrize("name", ["writer", "Task-3", "", "running"])
def test_other_tasks_are_no_runs(name: str) -> None:
    assert run_of(name) == ""
