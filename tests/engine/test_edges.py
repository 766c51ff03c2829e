"""Moments in a run's life that are seldom, and where something could be lost."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import replace

import pytest

from moa_server.domain.agent import Agent, Sampling
from moa_server.domain.degradation import DegradationReason
from moa_server.domain.errors import JournalUnavailable, ModelUnavailable
from moa_server.domain.event import (
    AgentFailed,
    AgentStarted,
    AnswerDelta,
    CancelledBy,
    Cursor,
    Event,
    ProposalReceived,
    RunSucceeded,
)
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import ReferenceOrder, Rules
from moa_server.domain.ports import Append, Written
from moa_server.journal.memory import MemoryJournal
from tests.engine.facts import closed_layers, ended, failed, one_by_one, succeeded
from tests.engine.fakes import Asked, FakeModel, failing, once, saying, silent, spec, texts
from tests.engine.houses import OpenHouse
from tests.engine.journals import CutOff, LosesTheFirstAnswer, SharedJournal


class Unreadable(MemoryJournal):
    """Takes everything, and gives nothing back."""

    async def read(self, run_id: str, after: Cursor, limit: int, *, strict: bool = False) -> Sequence[Event]:
        raise JournalUnavailable("the store cannot be read")


class Forgetful(MemoryJournal):
    """Loses, once, the last events it had taken, as a store does that fails over to a copy that lags behind."""

    def __init__(self, after: int, loses: int) -> None:
        super().__init__()
        self._after = after
        self._loses = loses

    async def write(self, owner: str, appends: Sequence[Append]) -> Written:
        for append in appends:
            run = self._runs[append.run_id]
            if self._loses and run.last_sequence >= self._after:
                del run.events[-self._loses :]
                run.last_sequence -= self._loses
                self._loses = 0
        return await super().write(owner, appends)


async def test_what_a_store_has_forgotten_is_written_again(open_house: OpenHouse) -> None:
    journal = Forgetful(after=6, loses=3)
    house = await open_house(
        {"a": FakeModel(spec("a")), "b": FakeModel(spec("b")), "boss": FakeModel(spec("boss"))},
        [["a"], ["b"]],
        journal=journal,
    )
    events = await house.carried()
    assert isinstance(events[-1].fact, RunSucceeded)
    kept = await journal.read(events[0].run_id, Cursor(), 1000)
    assert list(kept) == events
    assert journal._loses == 0  # noqa: SLF001 - that it did forget


async def test_no_layer_spends_before_the_one_ahead_of_it_is_durable(open_house: OpenHouse) -> None:
    way, boss, b = CutOff(SharedJournal(), most=4), FakeModel(spec("boss")), FakeModel(spec("b"))
    house = await open_house({"a": FakeModel(spec("a")), "b": b, "boss": boss}, [["a", "b"]], journal=way)
    run = await house.start(detached=True)
    await way.cut.wait()
    assert len(b.asked) == 1
    assert boss.asked == []
    way.mend()
    assert isinstance((await house.events(run.run_id))[-1].fact, RunSucceeded)
    assert len(boss.asked) == 1


async def test_a_cancellation_that_comes_while_the_end_is_written_changes_nothing(open_house: OpenHouse) -> None:
    way = CutOff(SharedJournal(), most=6)
    house = await open_house({"boss": FakeModel(spec("boss"))}, [], journal=way, limits=Limits(cancel_wait_s=0.0))
    run = await house.start(detached=True)
    await way.cut.wait()
    await house.engine.cancel(run.run_id, CancelledBy.CALLER)
    way.mend()
    assert isinstance((await house.events(run.run_id))[-1].fact, RunSucceeded)
    await house.engine.close(1)
    assert house.engine.open_runs() == 0


async def test_an_answer_that_was_journaled_is_shown_by_the_next_owner_and_not_asked_for_again(
    open_house: OpenHouse,
) -> None:
    journal = SharedJournal(ownership_s=0.2, poll_s=0.01)
    first, second = ({"boss": FakeModel(spec("boss"), saying(said))} for said in ("said once", "said twice"))
    one = await open_house(first, [], journal=CutOff(journal, most=5))
    run = await one.start(detached=True)
    two = await open_house(second, [], journal=journal)
    events = await two.events(run.run_id)
    assert second["boss"].asked == []
    assert [event.fact.text for event in events if isinstance(event.fact, AnswerDelta) and event.epoch == 2] == [
        "said once"
    ]
    assert succeeded(events).answer.text == "said once"
    assert ended(events).usage.calls == 1


async def test_a_failed_answer_carries_the_answering_agents_own_failure(open_house: OpenHouse) -> None:
    house = await open_house(
        {"a": FakeModel(spec("a")), "boss": FakeModel(spec("boss"), failing(ModelUnavailable("down"), "Half"))}, [["a"]]
    )
    end = failed(await house.carried())
    assert [(failure.agent, failure.reason) for failure in end.failures] == [("boss", "MODEL_UNAVAILABLE")]


async def test_both_failures_of_an_answer_that_was_begun_twice_are_told(open_house: OpenHouse) -> None:
    boss = FakeModel(spec("boss"), failing(ModelUnavailable("down"), "Half"), failing(ModelUnavailable("gone")))
    rules = Rules(restart_answer=True, best_proposal_on_failure=False)
    house = await open_house({"a": FakeModel(spec("a")), "boss": boss}, [["a"]], rules=rules)
    end = failed(await house.carried())
    assert [failure.detail for failure in end.failures] == ["down", "gone"]
    assert end.partial_text == ""


async def test_an_answer_that_broke_off_twice_is_voided_before_a_proposal_stands_in(open_house: OpenHouse) -> None:
    broken = failing(ModelUnavailable("down"), "Half")
    house = await open_house(
        {"a": FakeModel(spec("a"), saying("mine")), "boss": FakeModel(spec("boss"), broken, broken)},
        [["a"]],
        rules=Rules(restart_answer=True),
    )
    answer = succeeded(await house.carried()).answer
    assert answer.text == "mine"
    assert [(one.reason, one.detail) for one in answer.degradations] == [
        (DegradationReason.AGENT_FAILED, "down"),
        (DegradationReason.ANSWER_RESTARTED, "boss broke off and began again"),
        (DegradationReason.AGENT_FAILED, "down"),
        (DegradationReason.ANSWER_RESTARTED, "boss broke off again"),
        (DegradationReason.AGGREGATOR_FAILED, "boss failed; the answer is a's"),
    ]


async def test_the_weightiest_proposal_stands_in_and_the_first_of_equals(open_house: OpenHouse) -> None:
    agents = {"a": Agent("a", "a"), "b": Agent("b", "b", weight=2.0), "c": Agent("c", "c", weight=2.0)}
    models = {name: FakeModel(spec(name), saying(f"by {name}")) for name in "abc"}
    boss = FakeModel(spec("boss"), failing(ModelUnavailable("down")))
    house = await open_house({**models, "boss": boss}, [["a", "b", "c"]], agents=agents)
    assert succeeded(await house.carried()).answer.text == "by b"


async def test_a_model_whose_window_its_own_answer_fills_is_not_called(open_house: OpenHouse) -> None:
    small = FakeModel(spec("a", window=100, max_output=500))
    house = await open_house({"a": small, "b": FakeModel(spec("b")), "boss": FakeModel(spec("boss"))}, [["a", "b"]])
    events = await house.carried()
    assert small.asked == []
    failed = [event.fact.failure.reason for event in events if isinstance(event.fact, AgentFailed)]
    assert failed == ["MODEL_WINDOW_EXCEEDED"]


async def test_a_proposal_that_comes_as_its_layer_closes_is_never_mixed_in(open_house: OpenHouse) -> None:
    """The straggler answers all the same when it is told to stop: what it used counts, what it says does not."""

    async def stubborn(asked: Asked) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        asked.say("LATE")

    boss = FakeModel(spec("boss"))
    house = await open_house(
        {"a": FakeModel(spec("a")), "late": FakeModel(spec("late"), stubborn), "boss": boss},
        [["late", "a"]],
        rules=Rules(quorum=1),
    )
    events = await house.carried()
    assert "LATE" not in "".join(texts(boss.asked[0].prompt))
    (closed, _) = closed_layers(events)
    assert [proposal.agent for proposal in closed.proposals] == ["a"]
    assert [failure.reason for failure in closed.failures] == ["STRAGGLER_CUT"]
    assert ended(events).usage.calls == 3


async def test_a_straggler_that_comes_within_the_grace_is_heard(open_house: OpenHouse) -> None:
    gate, boss = asyncio.Event(), FakeModel(spec("boss"))

    async def first(asked: Asked) -> None:
        asked.say("first")
        asyncio.get_running_loop().call_later(0.02, gate.set)

    house = await open_house(
        {"a": FakeModel(spec("a"), first), "b": FakeModel(spec("b"), once(gate, "second")), "boss": boss},
        [["a", "b"]],
        rules=Rules(quorum=1, grace_s=30.0),
    )
    events = await house.carried()
    assert sum(isinstance(event.fact, ProposalReceived) for event in events) == 3
    assert succeeded(events).answer.degradations == ()


async def test_a_layer_whose_quorum_cannot_be_met_any_more_closes_at_once(open_house: OpenHouse) -> None:
    down = failing(ModelUnavailable("down"))
    house = await open_house(
        {"a": FakeModel(spec("a"), down), "b": FakeModel(spec("b"), down), "boss": FakeModel(spec("boss"))},
        [["a", "b"]],
        rules=Rules(quorum=1, grace_s=30.0),
    )
    assert failed(await house.carried()).reason == "NO_PROPOSALS"


async def test_an_open_run_stays_while_one_of_two_watchers_stays(open_house: OpenHouse) -> None:
    gate = asyncio.Event()
    house = await open_house(
        {"boss": FakeModel(spec("boss"), once(gate, "done"))}, [], limits=Limits(abandon_grace_s=0.0)
    )
    run = await house.start()
    staying = asyncio.create_task(house.events(run.run_id))
    async with aclosing(house.engine.watch(run.run_id)) as leaving:
        await anext(leaving)
    for _ in range(20):
        await asyncio.sleep(0.001)
    gate.set()
    assert succeeded(await staying).answer.text == "done"


async def test_a_run_taken_over_where_it_is_watched_is_not_taken_for_abandoned(open_house: OpenHouse) -> None:
    journal = SharedJournal(ownership_s=0.2, poll_s=0.01)
    gate = asyncio.Event()
    limits = Limits(abandon_grace_s=0.0)
    one = await open_house({"boss": FakeModel(spec("boss"), silent())}, [], journal=journal)
    slow = FakeModel(spec("boss"), once(gate, "carried on"))
    two = await open_house({"boss": slow}, [], journal=journal, limits=limits)
    run = await one.start()
    watching = asyncio.create_task(two.events(run.run_id))
    await one.engine.close(0)
    await slow.called.wait()
    for _ in range(20):
        await asyncio.sleep(0.001)
    gate.set()
    assert succeeded(await watching).answer.text == "carried on"


async def test_a_watcher_who_asks_for_what_comes_after_the_end_is_told_the_end_again(open_house: OpenHouse) -> None:
    house = await open_house({"boss": FakeModel(spec("boss"))}, [])
    events = await house.carried()
    assert await house.events(events[0].run_id, events[-1].cursor) == events[-1:]
    assert await house.events(events[0].run_id, Cursor(9, 9)) == events[-1:]


async def test_a_call_is_not_made_when_no_time_is_left_for_it(open_house: OpenHouse) -> None:
    a = FakeModel(spec("a"))
    house = await open_house({"a": a, "boss": FakeModel(spec("boss"))}, [["a"]])
    end = failed(await house.carried(time_s=0.012))
    assert end.reason == "DEADLINE_EXCEEDED"
    assert a.asked == []
    assert end.usage.calls == 0


async def test_the_most_tokens_of_an_agent_are_those_it_is_asked_for(open_house: OpenHouse) -> None:
    boss = FakeModel(spec("boss", max_output=100))
    agents = {"boss": replace(Agent("boss", "boss"), sampling=Sampling(max_tokens=7))}
    house = await open_house({"boss": boss}, [], agents=agents)
    await house.carried()
    assert boss.asked[0].prompt.sampling.max_tokens == 7


async def test_a_journal_that_is_out_at_the_start_refuses_the_run_and_leaves_none_behind(open_house: OpenHouse) -> None:
    """The journal had it written before the way was cut: the run is carried out once the journal is back."""
    journal = LosesTheFirstAnswer(ownership_s=0.2, poll_s=0.01)
    house = await open_house({"boss": FakeModel(spec("boss"), saying("done"))}, [], journal=journal)
    with pytest.raises(JournalUnavailable):
        await house.start(request_id="r", detached=True)
    again = await house.start(request_id="r", detached=True)
    events = await house.events(again.run_id)
    assert succeeded(events).answer.text == "done"
    assert sum(isinstance(event.fact, AgentStarted) for event in events) == 1


async def test_references_are_shown_as_they_arrive_where_the_mixture_says_so(open_house: OpenHouse) -> None:
    gate, boss = asyncio.Event(), FakeModel(spec("boss"))

    async def first(asked: Asked) -> None:
        asked.say("EARLY")
        gate.set()

    house = await open_house(
        {"a": FakeModel(spec("a"), once(gate, "LATER")), "b": FakeModel(spec("b"), first), "boss": boss},
        [["a", "b"]],
        rules=Rules(reference_order=ReferenceOrder.ARRIVAL),
    )
    await house.carried()
    shown = "".join(texts(boss.asked[0].prompt))
    assert shown.index("EARLY") < shown.index("LATER")


async def test_a_watcher_that_is_slower_than_its_run_needs_no_journal_for_the_rest(open_house: OpenHouse) -> None:
    gate = asyncio.Event()
    models = {"boss": FakeModel(spec("boss"), once(gate, "now"))}
    house = await open_house(models, [], journal=Unreadable())
    run = await house.start()
    seen: list[Event] = []
    async with aclosing(house.engine.watch(run.run_id)) as news:
        async for event in one_by_one(news):
            seen.append(event)
            gate.set()
            while house.engine.open_runs():  # noqa: ASYNC110 - the run closes while its watcher is busy with an event
                await asyncio.sleep(0)
    assert isinstance(seen[-1].fact, RunSucceeded)
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))


async def test_degradations_stand_in_configured_order_whoever_failed_first(open_house: OpenHouse) -> None:
    gate = asyncio.Event()

    async def first(_asked: Asked) -> None:
        gate.set()
        raise ModelUnavailable("it is down")

    async def second(_asked: Asked) -> None:
        await gate.wait()
        raise ModelUnavailable("it is down too")

    models = {
        "a": FakeModel(spec("a"), second),
        "b": FakeModel(spec("b"), first),
        "c": FakeModel(spec("c")),
        "boss": FakeModel(spec("boss")),
    }
    house = await open_house(models, [["a", "b", "c"]])
    events = await house.carried()
    end = succeeded(events)
    assert [degradation.agent for degradation in end.answer.degradations] == ["a", "b"]
