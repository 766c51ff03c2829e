"""Runs that outlive their server: nothing that was answered is asked again, and no event is lost or doubled."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import pytest

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.event import (
    AgentStarted,
    AnswerDelta,
    Cursor,
    Event,
    RunAdopted,
    RunCancelled,
    RunFailed,
    RunSucceeded,
)
from moa_server.domain.limits import Limits
from moa_server.domain.operation import Ownership
from moa_server.domain.ports import Append, Registered, Written
from moa_server.domain.run import Submission
from moa_server.domain.usage import Budget, Price
from tests.engine.conftest import House, OpenHouse
from tests.engine.fakes import FakeModel, once, saying, silent, spec
from tests.engine.journals import SharedJournal

OWNERSHIP_S = 0.2


class CutOff:
    """A server's way to the journal, until it is cut."""

    def __init__(self, journal: SharedJournal) -> None:
        self._journal = journal
        self.is_cut = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._journal, name)

    async def write(self, owner: str, appends: Sequence[Append]) -> Written:
        if self.is_cut:
            raise JournalUnavailable("the way to the journal is cut")
        return await self._journal.write(owner, appends)


def ownership(name: str, **more: int) -> Ownership:
    return Ownership(ownership_s=OWNERSHIP_S, lazy_s=0.01, owner=name, **more)


async def two_servers(
    open_house: OpenHouse,
    first: dict[str, FakeModel],
    second: dict[str, FakeModel],
    layers: list[list[str]],
    **more: object,
) -> tuple[House, House, CutOff]:
    journal = SharedJournal(ownership_s=OWNERSHIP_S, poll_s=0.01)
    way = CutOff(journal)
    one = await open_house(first, layers, journal=way, ownership=ownership("one"), **more)
    two = await open_house(second, layers, journal=journal, ownership=ownership("two"), **more)
    return one, two, way


async def journaled(house: House, run_id: str, kind: type, count: int) -> None:
    """Wait until the journal has so many facts of a kind."""
    async with aclosing(house.journal.follow(run_id)) as follow:
        async for _ in follow:
            events = await house.journal.read(run_id, Cursor(), 1000)
            if sum(isinstance(event.fact, kind) for event in events) >= count:
                return


async def test_a_silent_servers_run_is_carried_on_without_asking_again_who_has_answered(open_house: OpenHouse) -> None:
    stuck = FakeModel(spec("boss"), silent())
    first = {"a": FakeModel(spec("a"), saying("A")), "b": FakeModel(spec("b"), saying("B")), "boss": stuck}
    second = {name: FakeModel(spec(name), saying("fresh")) for name in ("a", "b", "boss")}
    one, two, way = await two_servers(open_house, first, second, [["a", "b"]])
    run = await one.start(detached=True)
    await journaled(two, run.run_id, AgentStarted, 3)
    way.is_cut = True
    events = await two.events(run.run_id)
    assert isinstance(events[-1].fact, RunSucceeded)
    assert events[-1].fact.answer.text == "fresh"
    assert [second[name].asked for name in ("a", "b")] == [[], []]
    assert "A" in second["boss"].asked[0].prompt.messages[-1].text
    assert [event.epoch for event in events] == sorted(event.epoch for event in events)
    assert sum(isinstance(event.fact, RunAdopted) for event in events) == 1
    assert events[-1].fact.usage.calls == 4, "the call that was lost is counted too"


async def test_the_old_owner_is_refused_and_cancels_its_calls(open_house: OpenHouse) -> None:
    stuck = FakeModel(spec("boss"), silent())
    first = {"a": FakeModel(spec("a")), "boss": stuck}
    second = {name: FakeModel(spec(name)) for name in ("a", "boss")}
    one, two, way = await two_servers(open_house, first, second, [["a"]])
    run = await one.start(detached=True)
    await stuck.called.wait()
    way.is_cut = True
    whole = await two.events(run.run_id)
    way.is_cut = False
    await one.engine.close(5)
    assert stuck.asked[0].cancelled
    assert await one.events(run.run_id) == whole


async def test_a_watcher_ahead_of_the_dead_owners_journal_sees_the_takeover(open_house: OpenHouse) -> None:
    gate = asyncio.Event()

    async def babble(asked: object) -> None:
        asked.say("one ", "two ", "three ")  # type: ignore[attr-defined]
        gate.set()
        await asyncio.Event().wait()

    first = {"boss": FakeModel(spec("boss"), babble)}
    second = {"boss": FakeModel(spec("boss"), saying("again"))}
    one, two, _ = await two_servers(open_house, first, second, [])
    run = await one.start(detached=True)
    await gate.wait()
    ahead = Cursor(1, 40)
    await one.engine.close(0)
    events = await two.events(run.run_id, ahead)
    assert isinstance(events[0].fact, RunAdopted)
    assert [event.fact.text for event in events if isinstance(event.fact, AnswerDelta)] == ["again"]


async def test_a_stopping_server_hands_its_runs_over_at_once(open_house: OpenHouse) -> None:
    stuck = FakeModel(spec("boss"), silent())
    one, two, _ = await two_servers(
        open_house, {"boss": stuck}, {"boss": FakeModel(spec("boss"), saying("carried on"))}, []
    )
    run = await one.start(detached=True)
    await stuck.called.wait()
    await one.engine.close(0)
    assert (await two.events(run.run_id))[-1].fact.answer.text == "carried on"


async def test_a_run_that_lost_too_many_owners_fails_with_a_typed_error(open_house: OpenHouse) -> None:
    journal = SharedJournal(ownership_s=OWNERSHIP_S, poll_s=0.01)
    stuck = {"boss": FakeModel(spec("boss"), silent())}
    one = await open_house(stuck, [], journal=journal, ownership=ownership("one"))
    run = await one.start(detached=True)
    await stuck["boss"].called.wait()
    await one.engine.close(0)
    two = await open_house(stuck, [], journal=journal, ownership=ownership("two", most_owners=1))
    end = (await two.events(run.run_id))[-1].fact
    assert isinstance(end, RunFailed)
    assert end.reason == "RUN_ABANDONED"


async def test_a_cancel_on_another_server_reaches_the_owner(open_house: OpenHouse) -> None:
    stuck = FakeModel(spec("boss"), silent())
    one, two, _ = await two_servers(open_house, {"boss": stuck}, {"boss": FakeModel(spec("boss"), silent())}, [])
    run = await one.start(detached=True)
    await stuck.called.wait()
    await two.engine.cancel(run.run_id, "caller")
    assert (await two.events(run.run_id))[-1].fact.by == "caller"
    assert stuck.asked[0].cancelled


async def test_tokens_flow_while_the_journal_is_out_and_the_run_ends_when_it_is_back(open_house: OpenHouse) -> None:
    gate = asyncio.Event()
    one, _, way = await two_servers(
        open_house,
        {"boss": FakeModel(spec("boss"), once(gate, "all ", "of it"))},
        {"boss": FakeModel(spec("boss"))},
        [],
    )
    run = await one.start(detached=True)
    seen = []
    async for event in one.engine.watch(run.run_id):
        if event is None:
            continue
        seen.append(event)
        if len(seen) == 2:
            way.is_cut = True
            gate.set()
        if isinstance(event.fact, AnswerDelta) and event.fact.text == "of it":
            way.is_cut = False
    assert isinstance(seen[-1].fact, RunSucceeded)


async def test_a_run_without_news_that_another_server_has_taken_is_given_up(open_house: OpenHouse) -> None:
    journal = SharedJournal(ownership_s=OWNERSHIP_S, poll_s=0.01)
    stuck = FakeModel(spec("boss"), silent())
    one = await open_house({"boss": stuck}, [], journal=journal, ownership=ownership("one"))
    run = await one.start(detached=True)
    await stuck.called.wait()
    await journaled(one, run.run_id, AgentStarted, 1)
    await journal.release("one", [run.run_id])
    assert await journal.claim("thief", 1)
    await stuck.finished.wait()
    assert stuck.asked[0].cancelled
    assert journal.is_shared
    assert not any(event.is_terminal for event in await journal.read(run.run_id, Cursor(), 1000))


class LosesTheFirstAnswer(SharedJournal):
    """A journal whose answer to the first submission is lost."""

    has_lost = False

    async def submit(self, submission: Submission, owner: str) -> Registered:
        registered = await super().submit(submission, owner)
        if not self.has_lost:
            self.has_lost = True
            raise JournalUnavailable("the store's answer was lost")
        return registered


async def test_a_run_registered_by_a_submission_whose_answer_was_lost_is_carried_out(open_house: OpenHouse) -> None:
    journal = LosesTheFirstAnswer(ownership_s=OWNERSHIP_S, poll_s=0.01)
    boss = FakeModel(spec("boss"), saying("the answer"))
    one = await open_house({"boss": boss}, [], journal=journal, ownership=ownership("one"))
    with pytest.raises(JournalUnavailable):
        await one.start(request_id="mine", detached=True)
    run = await one.start(request_id="mine", detached=True)
    assert (await one.events(run.run_id))[-1].fact.answer.text == "the answer"
    assert len(boss.asked) == 1


async def test_no_call_is_made_while_the_ownership_is_in_doubt(open_house: OpenHouse) -> None:
    """It waits for the journal, and goes on with it: an agent does not fail because of an outage."""
    first = asyncio.Event()
    slow, boss = FakeModel(spec("a"), once(first, "A")), FakeModel(spec("boss"), saying("the answer"))
    journal = SharedJournal(ownership_s=OWNERSHIP_S, poll_s=0.01)
    way = CutOff(journal)
    house = await open_house({"a": slow, "boss": boss}, [["a"]], journal=way, ownership=ownership("one"))
    run = await house.start(detached=True)
    await slow.called.wait()
    way.is_cut = True
    while house.engine._registry.writer.may_spend:  # noqa: ASYNC110, SLF001 - doubt is not seen from outside
        await asyncio.sleep(0)
    first.set()
    await slow.finished.wait()
    assert not boss.asked
    way.is_cut = False
    assert (await house.events(run.run_id))[-1].fact.answer.text == "the answer"


async def test_a_lost_call_is_charged_its_worst_case_and_the_run_goes_on_within_its_budget(
    open_house: OpenHouse,
) -> None:
    price = Price(input=1_000_000_000, output=1_000_000_000)
    stuck = FakeModel(spec("boss", price=price), silent())
    second = {"boss": FakeModel(spec("boss", price=price), saying("carried on"))}
    one, two, way = await two_servers(
        open_house, {"boss": stuck}, second, [], budget=Budget(calls=2, cost_nanousd=10_000_000)
    )
    run = await one.start(detached=True)
    await journaled(two, run.run_id, AgentStarted, 1)
    way.is_cut = True
    end = (await two.events(run.run_id))[-1].fact
    assert isinstance(end, RunSucceeded)
    assert (end.usage.calls, end.usage.cost_nanousd) == (2, None)


async def test_a_lost_call_counts_against_the_budget(open_house: OpenHouse) -> None:
    stuck = FakeModel(spec("boss"), silent())
    second = {"boss": FakeModel(spec("boss"), saying("one call too many"))}
    one, two, way = await two_servers(open_house, {"boss": stuck}, second, [], budget=Budget(calls=1))
    run = await one.start(detached=True)
    await journaled(two, run.run_id, AgentStarted, 1)
    way.is_cut = True
    assert (await two.events(run.run_id))[-1].fact.reason == "BUDGET_EXCEEDED"
    assert second["boss"].asked == []


class Slow(SharedJournal):
    """A journal whose next answer to a write comes late, once it is told to be slow."""

    def __init__(self) -> None:
        super().__init__(ownership_s=OWNERSHIP_S, poll_s=0.01)
        self.is_slow = False
        self.has_written = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def write(self, owner: str, appends: Sequence[Append]) -> Written:
        written = await super().write(owner, appends)
        if self.is_slow and written.lost:
            self.has_written.set()
            await self.may_answer.wait()
        return written


async def test_a_run_that_came_back_is_not_given_up_for_the_loss_of_its_earlier_epoch(open_house: OpenHouse) -> None:
    """Else nobody would carry it out: it is this server's, which is alive."""
    journal = Slow()
    boss = FakeModel(spec("boss"), silent(), saying("the answer"))
    house = await open_house({"boss": boss}, [], journal=journal, ownership=ownership("one"))
    run = await house.start(detached=True)
    await journaled(house, run.run_id, AgentStarted, 1)
    first = house.engine._registry.get(run.run_id)  # noqa: SLF001 - that it comes back is not seen from outside
    journal.is_slow = True
    await journal.release("one", [run.run_id])
    assert await journal.claim("thief", 1)
    await journal.has_written.wait()
    await journal.release("thief", [run.run_id])
    while house.engine._registry.get(run.run_id) is first:  # noqa: ASYNC110, SLF001
        await asyncio.sleep(0)
    journal.may_answer.set()
    assert (await house.events(run.run_id))[-1].fact.answer.text == "the answer"


async def test_a_run_that_came_back_is_abandoned_as_any_other(open_house: OpenHouse) -> None:
    journal = Slow()
    boss = FakeModel(spec("boss"), silent())
    limits = Limits(abandon_grace_s=0.5)
    house = await open_house({"boss": boss}, [], journal=journal, ownership=ownership("one"), limits=limits)
    run = await house.start()
    await journaled(house, run.run_id, AgentStarted, 1)
    first = house.engine._registry.get(run.run_id)  # noqa: SLF001 - as above
    journal.is_slow = True
    await journal.release("one", [run.run_id])
    assert await journal.claim("thief", 1)
    await journal.has_written.wait()
    await journal.release("thief", [run.run_id])
    while house.engine._registry.get(run.run_id) is first:  # noqa: ASYNC110, SLF001
        await asyncio.sleep(0)
    journal.may_answer.set()
    await journaled(house, run.run_id, RunCancelled, 1)


class CannotReadOne(SharedJournal):
    """A journal in which one run cannot be read."""

    unreadable = ""

    async def read(self, run_id: str, after: Cursor, limit: int) -> Sequence[Event]:
        if run_id == self.unreadable:
            raise JournalUnavailable("a record cannot be read")
        return await super().read(run_id, after, limit)


async def test_a_run_that_cannot_be_read_holds_no_other_up(open_house: OpenHouse) -> None:
    journal = CannotReadOne(ownership_s=OWNERSHIP_S, poll_s=0.01)
    stuck = {"boss": FakeModel(spec("boss"), silent())}
    one = await open_house(stuck, [], journal=journal, ownership=ownership("one"))
    runs = [await one.start(text, detached=True) for text in ("bad", "good")]
    await asyncio.gather(*(journaled(one, run.run_id, AgentStarted, 1) for run in runs))
    journal.unreadable = runs[0].run_id
    await one.engine.close(0)
    two = await open_house({"boss": FakeModel(spec("boss"))}, [], journal=journal, ownership=ownership("two"))
    assert isinstance((await two.events(runs[1].run_id))[-1].fact, RunSucceeded)
    await two.engine.close(1)
    journal.unreadable = ""
    assert [record.run_id for record in await journal.claim("three", 10)] == [runs[0].run_id]
