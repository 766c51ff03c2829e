"""A run ends at its own deadline: with nobody's call to end it, while the journal is away, and after a takeover."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import pytest

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.event import AgentStarted, AnswerDelta, Cursor, Event
from moa_server.domain.ports import Journal
from moa_server.domain.usage import Budget
from tests.engine.facts import facts, failed, succeeded
from tests.engine.fakes import FakeModel, once, saying, silent, spec
from tests.engine.houses import House, one_house
from tests.engine.journals import CutOff, SharedJournal
from tests.journal.clock import HandClock
from tests.models.timeless_loop import now, timeless

RUN_S = 60.0
AWAY_S = 30.0


class Unread(SharedJournal):
    """A journal that cannot be read until it is said."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(ownership_s=1.0, poll_s=0.01, clock=clock, monotonic=clock.monotonic)
        self.readable = asyncio.Event()

    async def read(self, run_id: str, after: Cursor, limit: int, *, strict: bool = False) -> Sequence[Event]:
        if not self.readable.is_set():
            raise JournalUnavailable("it cannot be read now")
        return await super().read(run_id, after, limit, strict=strict)


def housed(
    models: dict[str, FakeModel], layers: str, journal: Journal, owner: str = "one"
) -> AbstractAsyncContextManager[House]:
    """A server whose runs may take a minute; no call to it has a deadline."""
    return one_house(models, layers, journal, owner=owner, budget=Budget(time_s=RUN_S))


def shared(clock: HandClock) -> SharedJournal:
    return SharedJournal(ownership_s=1.0, poll_s=0.01, clock=clock, monotonic=clock.monotonic)


def model(name: str, *scripts: object) -> FakeModel:
    return FakeModel(spec(name), *scripts)  # type: ignore[arg-type]


@pytest.mark.parametrize("detached", [False, True])
def test_a_model_that_hangs_ends_the_run_at_the_runs_own_deadline(*, detached: bool) -> None:
    @timeless
    async def check() -> None:
        stuck = model("z", silent())
        async with housed({"z": stuck}, "", shared(HandClock())) as house:
            began = now()
            end = failed(await house.carried(detached=detached))
            assert RUN_S * 0.9 < now() - began <= RUN_S
        assert end.reason == "DEADLINE_EXCEEDED"
        assert dict(end.metadata)["agent.z"] == "MODEL_TIMEOUT"
        assert stuck.asked[0].cancelled

    check()


@timeless
async def test_a_proposal_stands_in_for_a_model_that_hangs_before_the_runs_time_is_over() -> None:
    models = {"a": model("a", saying("A")), "z": model("z", silent())}
    async with housed(models, "a", shared(HandClock())) as house:
        began = now()
        end = succeeded(await house.carried(detached=True))
        assert now() - began < RUN_S
    assert (end.answer.text, end.answer.degradations[-1].reason) == ("A", "aggregator_failed")


@timeless
async def test_what_was_said_by_the_deadline_is_kept() -> None:
    async def half(asked: object) -> None:
        asked.say("half of ")  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async with housed({"z": model("z", half)}, "", shared(HandClock())) as house:
        end = failed(await house.carried())
    assert (end.reason, end.partial_text) == ("DEADLINE_EXCEEDED", "half of ")


@timeless
async def test_an_answer_that_is_not_durable_by_the_deadline_comes_too_late() -> None:
    """It was shown, and could be told as a success only after the time that the caller gave."""
    gate = asyncio.Event()
    way = CutOff(shared(HandClock()))
    async with housed({"z": model("z", once(gate, "the answer"))}, "", way) as house:
        run = await house.start(detached=True)
        watching = asyncio.create_task(house.events(run.run_id))
        await house.journaled(run.run_id, AgentStarted, 1)
        way.cut.set()
        gate.set()
        await asyncio.sleep(RUN_S + AWAY_S)
        way.mend()
        events = await watching
    assert "".join(delta.text for delta in facts(events, AnswerDelta)) == "the answer"
    assert failed(events).reason == "DEADLINE_EXCEEDED"
    assert failed(events).partial_text == "the answer"


@timeless
async def test_calls_are_cancelled_at_the_deadline_while_the_journal_is_away() -> None:
    way, stuck = CutOff(shared(HandClock())), model("z", silent())
    async with housed({"z": stuck}, "", way) as house:
        began = now()
        run = await house.start(detached=True)
        await house.journaled(run.run_id, AgentStarted, 1)
        way.cut.set()
        await stuck.finished.wait()
        assert now() - began <= RUN_S
        assert way.is_cut
        assert stuck.asked[0].cancelled
        await asyncio.sleep(AWAY_S)
        assert len(stuck.asked) == 1
        way.mend()
        assert failed(await house.events(run.run_id)).reason == "DEADLINE_EXCEEDED"


@timeless
async def test_nothing_is_spent_after_the_deadline_when_the_journal_comes_back() -> None:
    gate, boss = asyncio.Event(), model("z")
    way = CutOff(shared(HandClock()))
    async with housed({"a": model("a", once(gate, "A")), "z": boss}, "a", way) as house:
        run = await house.start(detached=True)
        await house.journaled(run.run_id, AgentStarted, 1)
        way.cut.set()
        gate.set()
        await asyncio.sleep(RUN_S + AWAY_S)
        way.mend()
        assert failed(await house.events(run.run_id)).reason == "DEADLINE_EXCEEDED"
    assert boss.asked == []


async def taken_over(journal: SharedJournal, clock: HandClock, unread_s: float = 0.0) -> float:
    """Lose a run's owner after half its time, and return how long its next owner's call may take from then on."""
    way, stuck, second = CutOff(journal), model("z", silent()), model("z", saying("carried on"))
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(housed({"z": stuck}, "", way))
        two = await stack.enter_async_context(housed({"z": second}, "", journal, "two"))
        run = await one.start(detached=True)
        await stuck.called.wait()
        await asyncio.sleep(0.1)  # its beginning is written
        way.cut.set()
        clock.advance(AWAY_S)
        lost = now()
        await asyncio.sleep(unread_s)
        if isinstance(journal, Unread):
            journal.readable.set()
        await two.events(run.run_id)
        return second.asked[0].terms.deadline - lost


@timeless
async def test_the_deadline_is_the_same_moment_after_a_takeover() -> None:
    clock = HandClock()
    assert await taken_over(shared(clock), clock) == pytest.approx(RUN_S - AWAY_S, abs=1.0)


@timeless
async def test_the_deadline_does_not_wait_for_a_journal_that_lets_a_run_be_claimed_and_not_read() -> None:
    clock = HandClock()
    assert await taken_over(Unread(clock), clock, unread_s=10.0) == pytest.approx(RUN_S - AWAY_S, abs=1.0)
