"""How a watcher follows a run that is carried out elsewhere: by the journal, and what the journal hints at."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, nullcontext

import pytest

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.event import BEGINNING, Cursor, Event
from moa_server.engine.records.run_log import RunLog
from moa_server.engine.records.watcher import Heartbeat, Watcher
from moa_server.journal.memory import MemoryJournal
from tests.journal.clock import HandClock
from tests.journal.examples import deltas, submission
from tests.models.timeless_loop import now, timeless

HEARTBEAT_S = 100.0


class WrittenMeanwhile(MemoryJournal):
    """A journal in which something is written just after it was looked at for the first time."""

    was_read = False

    async def read(self, run_id: str, after: Cursor, limit: int, *, strict: bool = False) -> Sequence[Event]:
        found = await super().read(run_id, after, limit, strict=strict)
        if not self.was_read:
            self.was_read = True
            await self.write("a", [deltas(3)])
        return found


class Broken(MemoryJournal):
    """A journal whose hints break off after the first."""

    async def follow(self, name: str) -> AsyncGenerator[None, None]:
        yield
        raise JournalUnavailable("the store has gone away")


def watching(journal: MemoryJournal) -> AsyncGenerator[Sequence[Event], None]:
    return Watcher("r1", BEGINNING, journal, lambda _: None, nullcontext(), HEARTBEAT_S).events()


@timeless
async def test_what_is_written_while_a_watcher_looks_for_the_first_time_is_told_at_once() -> None:
    journal, began = WrittenMeanwhile(poll_s=60.0), now()
    await journal.submit(submission(), "a")
    async with aclosing(watching(journal)) as news:
        assert [event.sequence for event in await anext(news)] == [1, 2, 3]
    assert now() == began


@timeless
async def test_a_watcher_is_told_when_the_journal_cannot_be_followed_any_more() -> None:
    journal = Broken()
    await journal.submit(submission(), "a")
    async with aclosing(watching(journal)) as news:
        with pytest.raises(JournalUnavailable):
            await anext(news)


@timeless
async def test_heartbeats_come_while_nothing_is_written() -> None:
    journal, began = MemoryJournal(poll_s=7.0), now()
    await journal.submit(submission(), "a")
    async with aclosing(watching(journal)) as news:
        moments = [(len(await anext(news)), now() - began) for _ in range(3)]
    assert moments == [(0, HEARTBEAT_S), (0, 2 * HEARTBEAT_S), (0, 3 * HEARTBEAT_S)]


class Woken(RunLog):
    """A log that counts how often it wakes its watchers."""

    times = 0

    def wake_watchers(self) -> None:
        self.times += 1
        super().wake_watchers()


@timeless
async def test_a_log_is_left_in_peace_by_watchers_that_have_left() -> None:
    log = Woken("r1", 1, HandClock())
    watcher = Watcher("r1", BEGINNING, MemoryJournal(), lambda _: log, nullcontext(), HEARTBEAT_S)
    async with aclosing(watcher.events()) as news:
        assert [len(await anext(news)) for _ in range(2)] == [0, 0]
    before = log.times
    await asyncio.sleep(HEARTBEAT_S * 3)
    assert log.times == before > 0


@timeless
async def test_one_timer_serves_all_waits_and_wakes_nobody_once_it_is_closed() -> None:
    woken: list[float] = []
    heartbeat, began = Heartbeat(2.0), now()
    for _ in range(3):
        heartbeat.begin(lambda: woken.append(now() - began))
    await asyncio.sleep(3.0)
    assert woken == [2.0]
    heartbeat.close()
    await asyncio.sleep(10.0)
    assert woken == [2.0]
