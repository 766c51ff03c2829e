import asyncio

import pytest

from moa_server.domain.limits import Retention
from moa_server.domain.ports import Journal
from moa_server.journal.codec import Codec
from moa_server.journal.memory import MEMORY, MemoryJournal, MemoryOptions
from tests.journal.clock import HandClock
from tests.journal.contract import JournalContract
from tests.journal.examples import submission, whole
from tests.models.timeless_loop import now, timeless


class OneProcess:
    """All servers of a memory journal are one."""

    def __init__(self) -> None:
        self._clock = HandClock()
        self._journal: MemoryJournal | None = None

    async def journal(self, retention: Retention | None = None) -> Journal:
        if self._journal is None:
            self._journal = MemoryJournal(retention or Retention(), clock=self._clock, monotonic=self._clock.monotonic)
        return self._journal

    async def pass_time(self, seconds: float) -> None:
        self._clock.advance(seconds)


@pytest.fixture
def store() -> OneProcess:
    return OneProcess()


class TestMemoryJournal(JournalContract):
    pass


async def test_a_follower_leaves_no_trace() -> None:
    journal = MemoryJournal(poll_s=0.001)
    before = asyncio.all_tasks()
    news = journal.follow("r1")
    await anext(news)
    await anext(news)
    await news.aclose()
    assert asyncio.all_tasks() == before
    assert not journal._followers.names  # noqa: SLF001 - what is kept is what is tested


@timeless
async def test_followers_look_now_and_then_without_news() -> None:
    news, began = MemoryJournal(poll_s=0.5).follow("r1"), now()
    for _ in range(3):
        await anext(news)
    await news.aclose()
    assert now() - began == 1.0, "the first look is at once"


async def test_it_keeps_to_what_the_operator_says() -> None:
    async with MEMORY.open(MemoryOptions(), Retention(count=0), Codec(), 0.0) as journal:
        await journal.submit(submission("r1", "q1"), "a")
        await journal.submit(submission("r2", "q2"), "a")
        await journal.write("a", [whole("r1")])
        assert await journal.purge() == 1
        (claimed,) = await journal.claim("b", 10)
        assert claimed.run_id == "r2"
