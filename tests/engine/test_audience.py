"""A run that nobody watches is cancelled after its grace, whichever server it is watched on."""

import asyncio
from contextlib import AsyncExitStack, aclosing

import pytest

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.event import AgentStarted
from moa_server.domain.limits import Limits
from moa_server.domain.run import RunRecord, RunState
from tests.engine.facts import cancelled
from tests.engine.fakes import FakeModel, once, silent, spec
from tests.engine.houses import House, one_house
from tests.engine.journals import SharedJournal
from tests.models.timeless_loop import now, timeless

GRACE_S = 8.0
GRACE = Limits(abandon_grace_s=GRACE_S)


class Shared(SharedJournal):
    """A journal that takes its time, may be away, may have forgotten a run, and may hold up whoever asks for it."""

    def __init__(self) -> None:
        super().__init__(poll_s=0.01, monotonic=now)
        self.is_away = self.has_forgotten = False
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def find(self, run_id: str) -> RunRecord | None:
        self.asked.set()
        await asyncio.sleep(0.001)
        await self.may_answer.wait()
        if self.is_away:
            raise JournalUnavailable("away")
        return None if self.has_forgotten else await super().find(run_id)


class Abandoned:
    """A run that was begun here and that nobody watches here."""

    def __init__(self, house: House, run_id: str) -> None:
        self.run_id = run_id
        self.house = house
        self._began = now()

    async def is_open_after(self, seconds: float) -> bool:
        await asyncio.sleep(self._began + seconds - now())
        return self.house.engine.open_runs() > 0


async def abandoned(stack: AsyncExitStack, journal: SharedJournal) -> Abandoned:
    house = await stack.enter_async_context(one_house({"z": FakeModel(spec("z"), silent())}, "", journal, limits=GRACE))
    run = Abandoned(house, (await house.start()).run_id)
    await house.journaled(run.run_id, AgentStarted, 1)
    return run


@timeless
async def test_a_run_is_cancelled_once_the_grace_is_over_since_somebody_watched_it_anywhere() -> None:
    async with AsyncExitStack() as stack:
        journal = Shared()
        run = await abandoned(stack, journal)
        assert await run.is_open_after(0.5)
        await journal.note_watched([run.run_id])
        assert await run.is_open_after(GRACE_S + 0.4)
        assert not await run.is_open_after(GRACE_S + 0.6)
        assert cancelled(await run.house.events(run.run_id)).by == "abandoned"


@timeless
async def test_a_run_that_is_watched_on_another_server_goes_on_until_that_watcher_leaves() -> None:
    async with AsyncExitStack() as stack:
        journal = Shared()
        run = await abandoned(stack, journal)
        other = {"z": FakeModel(spec("z"))}
        two = await stack.enter_async_context(one_house(other, "", journal, owner="two", limits=GRACE))
        async with aclosing(two.engine.watch(run.run_id)) as watching:
            await anext(watching)
            assert await run.is_open_after(4 * GRACE_S)
        assert await run.is_open_after(4.5 * GRACE_S)
        assert not await run.is_open_after(5.5 * GRACE_S)


@timeless
async def test_those_who_watch_a_run_where_it_is_carried_out_are_not_told_of() -> None:
    async with AsyncExitStack() as stack:
        run = await abandoned(stack, Shared())
        async with aclosing(run.house.engine.watch(run.run_id)) as watching:
            await anext(watching)
            assert await run.is_open_after(4 * GRACE_S)
        record = await run.house.journal.find(run.run_id)
        assert record is not None
        assert record.unwatched_s > GRACE_S
        assert await run.is_open_after(4.9 * GRACE_S)
        assert not await run.is_open_after(5.1 * GRACE_S)


@timeless
async def test_while_the_journal_is_away_a_run_may_be_watched_and_goes_on_for_another_grace() -> None:
    async with AsyncExitStack() as stack:
        journal = Shared()
        run = await abandoned(stack, journal)
        journal.is_away = True
        assert await run.is_open_after(1.5 * GRACE_S)
        journal.is_away = False
        assert await run.is_open_after(1.9 * GRACE_S)
        assert not await run.is_open_after(2.1 * GRACE_S)


@timeless
async def test_a_run_that_the_journal_has_forgotten_is_watched_by_nobody() -> None:
    async with AsyncExitStack() as stack:
        journal = Shared()
        run = await abandoned(stack, journal)
        journal.has_forgotten = True
        assert await run.is_open_after(GRACE_S - 0.1)
        assert not await run.is_open_after(GRACE_S + 0.1)


@timeless
async def test_a_watcher_who_comes_while_the_journal_is_asked_keeps_the_run() -> None:
    async with AsyncExitStack() as stack:
        journal = Shared()
        run = await abandoned(stack, journal)
        journal.may_answer.clear()
        journal.asked.clear()
        await journal.asked.wait()
        async with aclosing(run.house.engine.watch(run.run_id)) as watching:
            await anext(watching)
            journal.may_answer.set()
            assert await run.is_open_after(3 * GRACE_S)


@pytest.mark.parametrize("detached", [False, True])
def test_a_store_of_one_server_is_not_asked_who_watches(*, detached: bool) -> None:
    @timeless
    async def check() -> None:
        journal = Shared()
        journal.is_shared = False
        async with one_house({"z": FakeModel(spec("z"), silent())}, "", journal, limits=GRACE) as house:
            run = Abandoned(house, (await house.start(detached=detached)).run_id)
            assert await run.is_open_after(GRACE_S - 0.1)
            assert await run.is_open_after(GRACE_S + 0.1) == detached
            assert not journal.asked.is_set()

    check()


@timeless
async def test_a_look_that_a_watcher_put_off_does_not_come_early() -> None:
    async with AsyncExitStack() as stack:
        run = await abandoned(stack, Shared())
        assert await run.is_open_after(3.0)
        async with aclosing(run.house.engine.watch(run.run_id)) as watching:
            await anext(watching)
        assert await run.is_open_after(3.0 + GRACE_S - 0.1)
        assert not await run.is_open_after(3.0 + GRACE_S + 0.1)


@timeless
async def test_however_short_the_grace_a_run_that_is_watched_on_another_server_goes_on() -> None:
    short = Limits(abandon_grace_s=0.3)
    async with AsyncExitStack() as stack:
        journal = Shared()
        two = await stack.enter_async_context(one_house({"z": FakeModel(spec("z"))}, "", journal, limits=short))
        stuck = {"z": FakeModel(spec("z"), silent())}
        one = await stack.enter_async_context(one_house(stuck, "", journal, owner="two", limits=short))
        run = await one.start()
        async with aclosing(two.engine.watch(run.run_id)) as watching:
            await anext(watching)
            await journal.note_watched([run.run_id])
            await asyncio.sleep(3.0)
            assert one.engine.open_runs() == 1


@timeless
async def test_nobody_is_looked_for_once_a_run_has_ended() -> None:
    gate = asyncio.Event()
    journal = Shared()
    async with one_house({"z": FakeModel(spec("z"), once(gate, "done"))}, "", journal, limits=GRACE) as house:
        await house.start()
        await asyncio.sleep(1.0)
        gate.set()
        await asyncio.sleep(1.0)
        assert house.engine.open_runs() == 0
        journal.asked.clear()
        await asyncio.sleep(2 * GRACE_S)
        assert not journal.asked.is_set()


@timeless
async def test_the_grace_begins_anew_when_the_last_watcher_leaves() -> None:
    async with AsyncExitStack() as stack:
        run = await abandoned(stack, Shared())
        for seconds in (5.0, 10.0):
            async with aclosing(run.house.engine.watch(run.run_id)) as one:
                async with aclosing(run.house.engine.watch(run.run_id)) as other:
                    await anext(one)
                    await anext(other)
                assert await run.is_open_after(seconds)
        assert (await run.house.engine.status(run.run_id)).record.state is RunState.RUNNING
        assert await run.is_open_after(10.0 + GRACE_S - 0.1)
        assert not await run.is_open_after(10.0 + GRACE_S + 0.1)
