"""What meets within one round of the event loop, or while the journal takes its time."""

import asyncio

import pytest

from moa_server.domain.errors import Overloaded
from moa_server.domain.event import RunSucceeded
from moa_server.domain.limits import Limits
from moa_server.domain.ports import Registered
from moa_server.domain.run import Submission
from moa_server.journal.memory import MemoryJournal
from tests.engine.fakes import FakeModel, once, silent, spec
from tests.engine.houses import OpenHouse


class HeldJournal(MemoryJournal):
    """A journal that takes submissions only once it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.let = asyncio.Event()

    async def submit(self, submission: Submission, owner: str) -> Registered:
        self.asked.set()
        await self.let.wait()
        return await super().submit(submission, owner)


async def test_runs_on_their_way_into_the_journal_count_against_the_room(open_house: OpenHouse) -> None:
    journal = HeldJournal()
    models = {"boss": FakeModel(spec("boss"), silent())}
    house = await open_house(models, [], journal=journal, limits=Limits(open_runs=1))
    first = asyncio.create_task(house.start("one"))
    await journal.asked.wait()
    journal.let.set()
    with pytest.raises(Overloaded):
        await house.start("two")
    await first


async def test_a_watcher_that_comes_with_the_end_of_the_grace_keeps_the_run(open_house: OpenHouse) -> None:
    gate = asyncio.Event()
    models = {"boss": FakeModel(spec("boss"), once(gate, "the answer"))}
    house = await open_house(models, [])
    run = await house.start()
    registry = house.engine._registry  # noqa: SLF001 - the timer and a watcher have to meet in one round of the loop
    open_run = registry.get(run.run_id)
    assert open_run is not None
    registry.audience._look(open_run)  # noqa: SLF001
    watching = asyncio.create_task(house.events(run.run_id))
    with registry.audience.watching(run.run_id):
        await models["boss"].called.wait()
        gate.set()
        assert isinstance((await watching)[-1].fact, RunSucceeded)
