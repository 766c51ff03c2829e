"""Runs that are opened here: from where they go on, what is told of them, and when they are let go of."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from moa_server.domain.agent import Agent
from moa_server.domain.event import BEGINNING, CancelledBy, Event, LayerStarted, RunAdopted, RunStarted
from moa_server.domain.limits import Limits, RunTime
from moa_server.domain.mixture import Mixture, Roster
from moa_server.domain.operation import Ownership
from moa_server.domain.ports import Append, SystemClock, Written
from moa_server.domain.query import Query
from moa_server.domain.run import RunRecord, RunState, RunTrial, Submission, Ticket, run_of
from moa_server.engine.plans.catalogue import Catalogue
from moa_server.engine.plans.planner import Planner
from moa_server.engine.records.history import History
from moa_server.engine.registry import Registry
from moa_server.strategies import STRATEGIES
from moa_server.telemetry import names
from tests.engine.facts import cancelled, facts, failed, succeeded
from tests.engine.fakes import FakeModel, once, silent, spec, user
from tests.engine.journals import SharedJournal
from tests.models.timeless_loop import now, timeless
from tests.telemetry.spans import recorded

RENEWAL_S = 2.0


class Noting(SharedJournal):
    """A journal that notes which runs it was asked to write."""

    def __init__(self) -> None:
        super().__init__(ownership_s=6.0, poll_s=0.01, monotonic=now)
        self.asked: list[str] = []

    async def write(self, owner: str, appends: Sequence[Append]) -> Written:
        self.asked += [append.run_id for append in appends]
        return await super().write(owner, appends)


class Desk:
    """A registry at work, and runs for it."""

    def __init__(self, **models: FakeModel) -> None:
        self.models = models
        agents = {name: Agent(name, name) for name in models}
        layers = tuple((agents[name],) for name in models if name != "z")
        mixture = Mixture("mix", "aggregate", Roster(layers, agents["z"]))
        self.catalogue = Catalogue(models, {"mix": mixture}, STRATEGIES, agents, "mix")
        self.journal = Noting()
        self.registry = Registry(
            self.journal,
            SystemClock(),
            Limits(run_time=RunTime(default_s=60.0), abandon_grace_s=1000.0),
            Ownership(6.0, most_owners=2, lazy_s=0.01, owner="me"),
            lambda: self.catalogue,
            on_fact=lambda _mixture, _fact: None,
        )

    async def record(self, run_id: str = "r1", epoch: int = 1) -> RunRecord:
        """Return a run that the journal has as this server's, in this epoch."""
        plan = Planner(self.catalogue, Limits()).plan(Query(user("hello"), "mix"))
        owner = "me" if epoch == 1 else "other"
        ticket = Ticket("tester", "", "f", detached=True)
        record = (await self.journal.submit(Submission(run_id, ticket, plan), owner)).record
        for _ in range(epoch - 1):
            await self.journal.release(owner, [run_id])
            (record,) = await self.journal.claim("me", 1)
            owner = "me"
        assert record.epoch == epoch
        return record

    async def events(self, run_id: str = "r1") -> Sequence[Event]:
        """Wait until a run has ended, and return what the journal has of it."""
        await self.registry.emptied()
        return await self.journal.read(run_id, BEGINNING, 1000)


@asynccontextmanager
async def desk(**models: FakeModel) -> AsyncIterator[Desk]:
    made = Desk(**models)
    async with made.registry.carrying():
        yield made


def quick(name: str = "z") -> FakeModel:
    return FakeModel(spec(name))


def stuck(name: str = "z") -> FakeModel:
    return FakeModel(spec(name), silent())


@timeless
async def test_a_run_may_spend_from_when_it_was_claimed_and_a_new_one_from_a_renewal_before() -> None:
    async with desk(z=stuck()) as made:
        began = now()
        made.registry.open(await made.record("r1"), History(), began)
        assert made.registry.writer.renewed_at == began - RENEWAL_S
    async with desk(z=stuck()) as made:
        made.registry.open(await made.record("r1", epoch=2), History(), began)
        assert made.registry.writer.renewed_at == began


@timeless
async def test_a_run_that_was_taken_over_is_unsettled_until_it_closes_a_layer_or_ends() -> None:
    gate, boss = asyncio.Event(), asyncio.Event()
    async with desk(a=FakeModel(spec("a"), once(gate, "A")), z=FakeModel(spec("z"), once(boss, "Z"))) as made:
        new, taken = await made.record("new"), await made.record("taken", epoch=2)
        for record in (new, taken):
            made.registry.open(record, History(), now())
        await asyncio.sleep(1)
        assert made.registry.unsettled() == [taken]
        gate.set()
        await asyncio.sleep(1)
        assert made.registry.unsettled() == []
        assert len(made.registry) == 2
        boss.set()
        await made.registry.emptied()
    async with desk(z=stuck()) as made:
        made.registry.open(await made.record("r1", epoch=2), History(), now())
        assert made.registry.unsettled()
        made.registry.cancel_all(CancelledBy.OPERATOR)
        await made.registry.emptied()
        assert made.registry.unsettled() == []


@timeless
async def test_a_run_whose_cancelling_was_asked_of_its_last_owner_is_cancelled_without_a_call() -> None:
    async with desk(z=quick()) as made:
        record = await made.record(epoch=2)
        made.registry.open(replace(record, cancel_asked="caller"), History(), now())
        assert cancelled(await made.events()).by is CancelledBy.CALLER
        assert made.models["z"].asked == []


@timeless
async def test_a_run_that_is_given_up_before_it_has_begun_makes_no_call_and_tells_no_end() -> None:
    async with desk(z=quick()) as made:
        made.registry.open(await made.record(), History(), now())
        assert made.registry.let_go() == ["r1"]
        assert not any(event.is_terminal for event in await made.events())
        assert made.models["z"].asked == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"trial": RunTrial.FAILED}, "RUN_QUARANTINED"),
        ({"owners_lost": 2}, "RUN_ABANDONED"),
        ({"owners_lost": 1}, ""),
        ({"trial": RunTrial.OPEN}, ""),
    ],
)
def test_a_run_that_has_cost_too_many_owners_ends_at_once_and_says_in_which_epoch(
    changes: dict[str, object], reason: str
) -> None:
    @timeless
    async def check() -> None:
        async with desk(z=quick()) as made:
            record = await made.record(epoch=2)
            made.registry.open(replace(record, **changes), History(), now())  # type: ignore[arg-type]
            events = await made.events()
            if reason:
                assert failed(events).reason == reason
                assert dict(failed(events).metadata) == {"run_id": "r1", "epoch": "2"}
                assert made.models["z"].asked == []
            else:
                assert succeeded(events).answer.text == "from z"

    check()


@timeless
async def test_what_an_owner_had_told_is_not_told_again() -> None:
    for history in (History(), History(started=True)):
        async with desk(z=quick()) as made:
            made.registry.open(await made.record(epoch=2), history, now())
            events = await made.events()
            assert len(facts(events, RunStarted)) == (not history.started)
            assert facts(events, RunAdopted) == [RunAdopted(0, after_loss=False)]
    async with desk(z=quick()) as made:
        made.registry.open(await made.record(), History(), now())
        assert facts(await made.events(), RunAdopted) == []


@timeless
async def test_a_run_whose_time_is_over_opens_no_layer() -> None:
    async with desk(z=quick()) as made:
        record = await made.record(epoch=2)
        made.registry.open(replace(record, age_s=61.0), History(), now())
        events = await made.events()
        assert failed(events).reason == "DEADLINE_EXCEEDED"
        assert facts(events, LayerStarted) == []


@timeless
async def test_nothing_is_asked_of_the_journal_for_a_run_that_has_ended() -> None:
    async with desk(z=quick()) as made:
        made.registry.open(await made.record(), History(), now())
        await made.registry.emptied()
        made.journal.asked.clear()
        made.registry.writer.renew_now()
        await asyncio.sleep(10 * RENEWAL_S)
        assert made.journal.asked == []


@timeless
async def test_those_who_hear_a_run_are_told_that_it_is_let_go_of() -> None:
    async with desk(z=stuck()) as made:
        made.registry.open(await made.record(), History(), now())
        log = made.registry.log("r1")
        assert log is not None
        await asyncio.sleep(1)
        left = [log.is_left]
        made.registry.let_go()
        await made.registry.emptied()
        assert [*left, log.is_left] == [False, True]
        assert made.registry.log("r1") is None


@timeless
async def test_a_run_that_another_server_has_is_given_up_and_one_that_is_to_be_cancelled_is() -> None:
    async with desk(z=stuck()) as made:
        for run_id in ("lost", "asked"):
            made.registry.open(await made.record(run_id), History(), now())
        await asyncio.sleep(1)
        await made.journal.release("me", ["lost"])
        assert await made.journal.claim("other", 1)
        await made.journal.cancel("asked", CancelledBy.CALLER)
        await asyncio.sleep(10 * RENEWAL_S)
        assert made.registry.run_ids() == []
        assert all(asked.cancelled for asked in made.models["z"].asked)
        assert cancelled(await made.events("asked")).by is CancelledBy.CALLER
        lost = await made.journal.find("lost")
        assert lost is not None
        assert lost.state is RunState.RUNNING


@timeless
async def test_every_task_of_a_run_bears_its_name() -> None:
    """So that the one whose work holds the event loop is known."""
    async with desk(a=stuck("a"), z=quick()) as made:
        before = asyncio.all_tasks()
        made.registry.open(await made.record(), History(), now())
        run = made.registry.get("r1")
        assert run is not None
        run.beside(asyncio.sleep(10))
        await asyncio.sleep(1)
        runs = [run_of(task.get_name()) for task in asyncio.all_tasks() - before]
        assert runs == ["r1"] * 3, "the run, its agent, and what is done beside it"


@timeless
async def test_only_a_run_that_was_taken_over_is_in_the_trace_in_which_it_was_asked_for() -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    for epoch, traces in ((1, []), (2, [trace_id])):
        with recorded() as spans:
            async with desk(z=quick()) as made:
                record = await made.record(epoch=epoch)
                asked = replace(record.ticket, traceparent=f"00-{trace_id}-b7ad6b7169203331-01")
                made.registry.open(replace(record, ticket=asked), History(), now())
                await made.registry.emptied()
            (span,) = spans.named(names.run_span("mix"))
        assert [format(parent.trace_id, "032x") for parent in (span.parent,) if parent] == traces


class Overdue:
    """Work in which something is too late that is not the run."""

    failures = ()
    withheld = ""

    async def to_the_end(self) -> None:
        raise TimeoutError("a fault with a secret in it")


@timeless
async def test_a_time_out_that_is_not_the_runs_own_is_a_fault_of_that_run_alone() -> None:
    async with desk(z=stuck()) as made:
        for run_id in ("other", "r1"):
            made.registry.open(await made.record(run_id), History(), now())
        run = made.registry.get("r1")
        assert run is not None
        run.work = Overdue()  # type: ignore[assignment]
        await run.ended.wait()
        end = failed(await made.journal.read("r1", BEGINNING, 100))
        assert (end.reason, "secret" in end.detail) == ("INTERNAL_ERROR", False)
        assert made.registry.run_ids() == ["other"]
