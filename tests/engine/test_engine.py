"""What the engine answers beside the runs themselves: what it offers, what has become of a run, and how it stops."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import pytest

from moa_server.domain.agent import Agent
from moa_server.domain.errors import LayerNotFound, LayerOpen, Overloaded, RunNotFound, ShuttingDown
from moa_server.domain.event import AgentStarted, CancelledBy, Cursor, Event, LayerClosed
from moa_server.domain.limits import Limits, RunTime
from moa_server.domain.mixture import Mixture, Roster
from moa_server.domain.operation import Ownership
from moa_server.domain.ports import Lease, Registered
from moa_server.domain.run import RunState, Submission
from moa_server.domain.usage import Budget
from moa_server.engine.engine import Engine
from moa_server.engine.plans.catalogue import Catalogue, ModelView
from moa_server.engine.records.watchdog import HELD_EXIT
from moa_server.strategies import STRATEGIES
from tests.engine.facts import cancelled, failed, succeeded
from tests.engine.fakes import Asked, FakeModel, once, saying, silent, spec
from tests.engine.houses import one_house
from tests.engine.journals import CutOff, SharedJournal
from tests.models.timeless_loop import now, timeless

LONG = "x" * 100


class Unhurried(SharedJournal):
    """A journal that takes a moment to read."""

    def __init__(self) -> None:
        super().__init__(ownership_s=60.0, poll_s=0.01, monotonic=now)

    async def read(self, run_id: str, after: Cursor, limit: int, *, strict: bool = False) -> Sequence[Event]:
        await asyncio.sleep(0.001)
        return await super().read(run_id, after, limit, strict=strict)


def models(*stuck: str) -> dict[str, FakeModel]:
    return {name: FakeModel(spec(name), silent() if name in stuck else saying(f"from {name}")) for name in "az"}


@dataclass
class Renewed(SharedJournal):
    """A journal whose leases count how often they are renewed."""

    renewals: int = 0

    def __post_init__(self) -> None:
        super().__init__(ownership_s=0.4)

    @asynccontextmanager
    async def lease(self, owner: str) -> AsyncIterator[Lease]:  # type: ignore[override]
        async with super().lease(owner) as lease:
            yield Counted(self, lease)


class Counted:
    """A lease that is counted."""

    def __init__(self, journal: Renewed, lease: Lease) -> None:
        self._journal = journal
        self._lease = lease

    async def renew(self) -> bool:
        self._journal.renewals += 1
        return await self._lease.renew()

    async def fall(self, blamed: str) -> None:
        await self._lease.fall(blamed)


async def test_the_watchdog_keeps_what_is_open_and_ends_the_process_once_the_loop_is_held() -> None:
    journal, codes = Renewed(), list[int]()
    async with one_house(models("z"), "", journal, ownership_s=0.4) as house:
        run = await house.start(detached=True)
        await house.journaled(run.run_id, AgentStarted, 1)
        async with house.engine.watchdog(codes.append):
            until = time.monotonic() + 20
            while journal.renewals < 3:
                assert time.monotonic() < until
                time.sleep(0.01)  # noqa: ASYNC251 - holds the loop
        assert (codes, house.engine.open_runs()) == ([], 1)
        await house.engine.cancel(run.run_id, CancelledBy.CALLER)
    idle = Engine(Catalogue({}, {}, STRATEGIES, {}, ""), journal, ownership=Ownership(0.4, 0.2, owner="two"))
    async with idle, idle.watchdog(codes.append):
        while not codes:
            assert time.monotonic() < until
            time.sleep(0.01)  # noqa: ASYNC251
    assert codes == [HELD_EXIT]


def test_each_mixture_is_offered_with_its_models_and_how_they_are() -> None:
    a, z = FakeModel(spec("a")), FakeModel(spec("z"))
    agents = {"a": Agent("a", "a"), "z": Agent("z", "z")}
    mixtures = {
        "one": Mixture("one", "aggregate", Roster((), agents["z"]), description="z alone"),
        "two": Mixture("two", "aggregate", Roster(((agents["a"],),), agents["z"])),
    }
    catalogue = Catalogue({"a": a, "z": z}, mixtures, STRATEGIES, agents, "two")
    engine = Engine(catalogue, SharedJournal(), breaker_of=lambda model: "open" if model is a else None)
    one, two = engine.mixtures()
    assert (one.name, one.description, one.strategy, one.is_default) == ("one", "z alone", "aggregate", False)
    assert one.models == (ModelView("z", None),)
    assert (two.name, two.is_default, two.worst_case.calls) == ("two", True, 2)
    assert two.models == (ModelView("a", "open"), ModelView("z", None))


@timeless
async def test_a_run_is_found_by_its_own_id_or_its_callers_and_only_by_its_caller() -> None:
    async with one_house(models(), "a", Unhurried()) as house:
        run = await house.start(request_id="mine")
        await house.events(run.run_id)
        assert (await house.engine.find("tester", run_id=run.run_id)).run_id == run.run_id
        assert (await house.engine.find("tester", request_id="mine")).run_id == run.run_id
        for caller, asked, said in (
            ("somebody", {"run_id": run.run_id}, {"run_id": run.run_id}),
            ("somebody", {"request_id": "mine"}, {"request_id": "mine"}),
            ("tester", {"run_id": LONG}, {"run_id": LONG[:64]}),
        ):
            with pytest.raises(RunNotFound) as told:
                await house.engine.find(caller, **asked)
            assert told.value.metadata == said
            assert told.value.detail.endswith(f"'{next(iter(said.values()))}'")


@pytest.mark.parametrize("watched_at", [0, 1], ids=["where it is carried out", "on another server"])
def test_a_run_beats_in_time_since_it_was_last_heard_of(watched_at: int) -> None:
    @timeless
    async def check() -> None:
        journal, gate = SharedJournal(ownership_s=60.0, poll_s=600.0, monotonic=now), asyncio.Event()
        beating = Limits(heartbeat_s=3.0)

        async def speak(asked: Asked) -> None:
            await gate.wait()
            asked.say("word")
            await asyncio.sleep(1000.0)

        boss = {"z": FakeModel(spec("z"), speak)}
        async with (
            one_house(boss, "", journal, limits=beating) as one,
            one_house(models(), "", journal, owner="two", limits=beating) as two,
        ):
            run = await one.start(detached=True)
            await one.journaled(run.run_id, AgentStarted, 1)
            heard, began = list[tuple[float, bool]](), now()
            asyncio.get_running_loop().call_later(6.5, gate.set)
            async with aclosing((one, two)[watched_at].engine.watch(run.run_id)) as news:
                async for events in news:
                    heard.append((now() - began, bool(events)))
                    if len(heard) == 6:
                        break
            assert [is_news for _, is_news in heard] == [True, False, False, True, False, False]
            assert [at for at, _ in heard] == pytest.approx([0.0, 3.0, 6.0, 6.5, 9.5, 12.5], abs=0.05)

    check()


class Emptied(Unhurried):
    """A journal that has no events."""

    async def read(self, run_id: str, after: Cursor, limit: int, *, strict: bool = False) -> Sequence[Event]:
        return ()


@timeless
async def test_nobody_can_watch_a_run_that_is_not_there() -> None:
    async with one_house(models(), "", Emptied()) as house:
        with pytest.raises(RunNotFound) as told:
            await house.events("nowhere")
        assert told.value.metadata == {"run_id": "nowhere"}


@timeless
async def test_a_layer_is_waited_for_as_long_as_the_caller_and_the_server_will() -> None:
    async with one_house(models("a"), "a", Unhurried(), limits=Limits(layer_wait_s=5.0)) as house:
        run = await house.start(detached=True)
        for asked_s, waited_s in ((0.0, 0.0), (0.5, 0.5), (3.0, 3.0), (100.0, 5.0)):
            began = now()
            with pytest.raises(LayerOpen) as told:
                await house.engine.layer_result(run.run_id, 0, asked_s)
            assert now() - began == pytest.approx(waited_s, abs=0.1)
            assert told.value.metadata == {"run_id": run.run_id, "layer": "0"}
        began = now()
        with pytest.raises(LayerOpen):
            await house.engine.layer_result(run.run_id, 0)
        assert now() - began < 0.1


@timeless
async def test_the_layer_that_was_asked_for_is_given_and_none_that_never_was() -> None:
    async with one_house(models(), "a a", Unhurried()) as house:
        run = await house.start(detached=True)
        await house.events(run.run_id)
        for wait_s in (0.0, 0.5):
            assert (await house.engine.layer_result(run.run_id, 1, wait_s)).index == 1
            with pytest.raises(LayerNotFound) as told:
                await house.engine.layer_result(run.run_id, 3, wait_s)
            assert told.value.metadata == {"run_id": run.run_id, "layer": "3"}


@timeless
async def test_how_far_a_run_is_is_told_from_the_journal() -> None:
    async with one_house(models("z"), "a", Unhurried()) as house:
        run = await house.start(detached=True)
        await house.journaled(run.run_id, LayerClosed, 1)
        assert (await house.engine.status(run.run_id)).record.state is RunState.RUNNING
        await house.engine.cancel(run.run_id, CancelledBy.CALLER)
        assert (await house.engine.status(run.run_id)).record.state is RunState.CANCELLED


@timeless
async def test_a_cancellation_is_waited_for_no_longer_than_the_server_will() -> None:
    journal = Unhurried()
    async with one_house(models("z"), "", CutOff(journal, most=3), limits=Limits(cancel_wait_s=2.0)) as house:
        run = await house.start(detached=True)
        await house.journaled(run.run_id, AgentStarted, 1)
        began = now()
        await house.engine.cancel(run.run_id, CancelledBy.CALLER)
        assert now() - began == pytest.approx(2.0)
    async with one_house(models(), "", journal, owner="two", limits=Limits(cancel_wait_s=3.0)) as other:
        began = now()
        await other.engine.cancel(run.run_id, CancelledBy.CALLER)
        assert now() - began == pytest.approx(3.0, abs=0.1)


@timeless
async def test_a_stopping_server_waits_for_its_runs_and_cancels_those_that_take_too_long() -> None:
    journal, gate = Unhurried(), asyncio.Event()
    journal.is_shared = False
    quick, stuck = FakeModel(spec("z"), once(gate, "done"), silent()), FakeModel(spec("a"))
    async with one_house({"a": stuck, "z": quick}, "", journal) as house:
        first = await house.start(detached=True)
        await quick.called.wait()
        second = await house.start("another", detached=True)
        asyncio.get_running_loop().call_later(3.0, gate.set)
        began = now()
        await house.engine.close(5.0)
        assert now() - began == pytest.approx(5.0, abs=0.1)
        assert house.engine.open_runs() == 0
        assert succeeded(await house.events(first.run_id)).answer.text == "done"
        assert cancelled(await house.events(second.run_id)).by is CancelledBy.OPERATOR


class Releasing(Unhurried):
    """A journal that notes which calls went on when a run was let go of."""

    def __init__(self, model: FakeModel) -> None:
        super().__init__()
        self._model = model
        self.released: list[tuple[str, bool]] = []

    async def release(self, owner: str, run_ids: Sequence[str]) -> None:
        self.released += [(run_id, self._model.asked[0].cancelled) for run_id in run_ids]
        await super().release(owner, run_ids)


@timeless
async def test_a_stopping_server_ends_its_calls_before_it_lets_others_have_its_runs() -> None:
    stuck = FakeModel(spec("z"), silent())
    journal = Releasing(stuck)
    async with one_house({"z": stuck}, "", journal) as house:
        run = await house.start(detached=True)
        await house.journaled(run.run_id, AgentStarted, 1)
        await house.engine.close(0)
        assert journal.released == [(run.run_id, True)]
        assert [record.run_id for record in await journal.claim("two", 1)] == [run.run_id]


@timeless
async def test_a_stopping_server_waits_a_moment_and_no_longer_for_a_journal_that_is_away() -> None:
    way = CutOff(Unhurried(), most=3)
    async with one_house(models("z"), "a", way) as house:
        await house.start(detached=True)
        await way.cut.wait()
        began = now()
        await house.engine.close(0)
        assert now() - began == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("time_s", "detached", "budget_s", "lasts_s"),
    [
        (None, False, None, 70.0),
        (30.0, False, None, 30.0),
        (30.0, True, None, 70.0),
        (30.0, False, 20.0, 20.0),
        (30.0, True, 40.0, 40.0),
        (500.0, False, None, 90.0),
    ],
)
def test_a_run_has_the_least_of_the_times_that_are_given_it(
    *, time_s: float | None, detached: bool, budget_s: float | None, lasts_s: float
) -> None:
    @timeless
    async def check() -> None:
        limits = Limits(run_time=RunTime(maximum_s=90.0, default_s=70.0), abandon_grace_s=1000.0)
        async with one_house(models("z"), "", Unhurried(), limits=limits, budget=Budget(time_s=budget_s)) as house:
            began = now()
            run = await house.start(detached=detached, time_s=time_s)
            assert failed(await house.events(run.run_id)).reason == "DEADLINE_EXCEEDED"
            assert now() - began == pytest.approx(lasts_s, abs=0.5)

    check()


@timeless
async def test_a_server_that_has_stopped_takes_no_run() -> None:
    async with one_house(models(), "", Unhurried()) as house:
        pass
    with pytest.raises(ShuttingDown):
        await house.start()


class Held(Unhurried):
    """A journal that takes submissions only once it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = asyncio.Event()

    async def submit(self, submission: Submission, owner: str) -> Registered:
        await self.let.wait()
        return await super().submit(submission, owner)


@timeless
async def test_every_run_on_its_way_into_the_journal_has_its_place() -> None:
    journal = Held()
    async with one_house(models("z"), "", journal, limits=Limits(open_runs=3)) as house:
        coming = [asyncio.create_task(house.start(text, detached=True)) for text in ("one", "two", "three", "four")]
        await asyncio.sleep(1)
        assert [task.done() for task in coming] == [False, False, False, True]
        assert isinstance(coming[3].exception(), Overloaded)
        journal.let.set()
        runs = await asyncio.gather(*coming[:3])
        assert [len(run.run_id) for run in runs] == [32, 32, 32]
        await house.engine.cancel(runs[0].run_id, CancelledBy.CALLER)
        await house.start("five", detached=True)


@timeless
async def test_a_run_that_has_ended_is_not_carried_out_again_for_a_repeated_request() -> None:
    boss = FakeModel(spec("z"))
    async with one_house({"z": boss}, "", Unhurried()) as house:
        run = await house.start(request_id="mine", detached=True)
        await house.events(run.run_id)
        assert (await house.start(request_id="mine", detached=True)).run_id == run.run_id
        await asyncio.sleep(1)
        assert len(boss.asked) == 1


@timeless
async def test_a_full_server_says_what_is_full_and_has_room_again_once_a_run_has_ended() -> None:
    async with one_house(models("z"), "", Unhurried(), limits=Limits(open_runs=2)) as house:
        runs = [await house.start(text, detached=True) for text in ("one", "two")]
        with pytest.raises(Overloaded) as told:
            await house.start("three")
        assert (told.value.metadata, told.value.retry_after_s) == ({"limit": "open_runs"}, 1.0)
        await house.engine.cancel(runs[0].run_id, CancelledBy.CALLER)
        await house.start("three", detached=True)
        with pytest.raises(Overloaded):
            await house.start("four")
