"""Runs that outlive their server: nothing that was answered is asked again, and no event is lost or doubled."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

import pytest

from moa_server.domain.degradation import DegradationReason
from moa_server.domain.errors import JournalUnavailable, ModelStreamCut, ModelTimeout
from moa_server.domain.event import (
    BEGINNING,
    AgentStarted,
    AnswerDelta,
    CancelledBy,
    Cursor,
    Event,
    LayerClosed,
    ProposalReceived,
    RunAdopted,
    RunCancelled,
    RunDegraded,
    RunSucceeded,
)
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Rules
from moa_server.domain.model import ModelSpec, Prompt, Reply
from moa_server.domain.ports import Append, CallTerms, Written
from moa_server.domain.query import Overrides, Query
from moa_server.domain.usage import Budget, Certainty, Price, Usage
from tests.engine.facts import cancelled, ended, facts, failed, one_by_one, succeeded
from tests.engine.fakes import Asked, FakeModel, Script, failing, once, saying, silent, spec, user
from tests.engine.houses import OWNERSHIP_S, House, OpenHouse, ownership
from tests.engine.journals import CutOff, LosesTheFirstAnswer, SharedJournal


async def two_servers(
    open_house: OpenHouse,
    first: dict[str, FakeModel],
    second: dict[str, FakeModel],
    layers: list[list[str]],
    budget: Budget = Budget(),
) -> tuple[House, House, CutOff]:
    journal = SharedJournal(ownership_s=OWNERSHIP_S, poll_s=0.01)
    way = CutOff(journal)
    one = await open_house(first, layers, journal=way, ownership=ownership("one"), budget=budget)
    two = await open_house(second, layers, journal=journal, ownership=ownership("two"), budget=budget)
    return one, two, way


async def test_a_silent_servers_run_is_carried_on_without_asking_again_who_has_answered(open_house: OpenHouse) -> None:
    stuck = FakeModel(spec("boss"), silent())
    first = {"a": FakeModel(spec("a"), saying("A")), "b": FakeModel(spec("b"), saying("B")), "boss": stuck}
    second = {name: FakeModel(spec(name), saying("fresh")) for name in ("a", "b", "boss")}
    one, two, way = await two_servers(open_house, first, second, [["a", "b"]])
    run = await one.start(detached=True)
    await two.journaled(run.run_id, AgentStarted, 3)
    way.cut.set()
    events = await two.events(run.run_id)
    assert isinstance(events[-1].fact, RunSucceeded)
    assert succeeded(events).answer.text == "fresh"
    assert [second[name].asked for name in ("a", "b")] == [[], []]
    assert "A" in second["boss"].asked[0].prompt.messages[-1].text
    assert [event.epoch for event in events] == sorted(event.epoch for event in events)
    assert sum(isinstance(event.fact, RunAdopted) for event in events) == 1
    assert ended(events).usage.calls == 4, "the call that was lost is counted too"


async def test_a_layer_that_had_its_quorum_when_its_owner_was_lost_asks_nobody_any_more(open_house: OpenHouse) -> None:
    """It would begin paid calls only to cut them."""
    journal = SharedJournal(ownership_s=OWNERSHIP_S, poll_s=0.01)
    way = CutOff(journal, most=5)  # the proposal is written, and that its layer has closed is not
    first = {"a": FakeModel(spec("a"), saying("A")), "slow": FakeModel(spec("slow"), silent())}
    second = {name: FakeModel(spec(name), saying("fresh")) for name in ("a", "slow", "boss")}
    one = await open_house(
        first | {"boss": FakeModel(spec("boss"))},
        [["a", "slow"]],
        journal=way,
        ownership=ownership("one"),
        rules=Rules(quorum=1),
    )
    two = await open_house(second, [["a", "slow"]], journal=journal, ownership=ownership("two"))
    events = await two.events((await one.start(detached=True)).run_id)
    answer = succeeded(events).answer
    assert (answer.text, [(one.agent, one.layer) for one in answer.degradations]) == ("fresh", [("slow", 0)])
    assert [len(second[name].asked) for name in ("a", "slow", "boss")] == [0, 0, 1]
    assert "A" in second["boss"].asked[0].prompt.messages[-1].text


async def test_a_run_watched_on_another_server_beats_though_the_store_has_nothing_to_tell(
    open_house: OpenHouse,
) -> None:
    journal = SharedJournal(ownership_s=OWNERSHIP_S, poll_s=600.0)
    models = {"boss": FakeModel(spec("boss"), silent())}
    one = await open_house(models, [], journal=journal, ownership=ownership("one"))
    two = await open_house(models, [], journal=journal, ownership=ownership("two"), limits=Limits(heartbeat_s=0.01))
    run = await one.start()
    await two.journaled(run.run_id, AgentStarted, 1)
    async with asyncio.timeout(20), aclosing(two.engine.watch(run.run_id)) as news:
        beats = 0
        async for events in news:
            beats += not events
            if beats == 3:
                break
    await one.engine.cancel(run.run_id, CancelledBy.CALLER)


async def test_the_old_owner_is_refused_and_cancels_its_calls(open_house: OpenHouse) -> None:
    stuck = FakeModel(spec("boss"), silent())
    first = {"a": FakeModel(spec("a")), "boss": stuck}
    second = {name: FakeModel(spec(name)) for name in ("a", "boss")}
    one, two, way = await two_servers(open_house, first, second, [["a"]])
    run = await one.start(detached=True)
    await stuck.called.wait()
    way.cut.set()
    whole = await two.events(run.run_id)
    way.mend()
    await one.engine.close(5)
    assert stuck.asked[0].cancelled
    assert await one.events(run.run_id) == whole


async def test_a_watcher_ahead_of_the_dead_owners_journal_sees_the_takeover(open_house: OpenHouse) -> None:
    gate = asyncio.Event()

    async def babble(asked: Asked) -> None:
        asked.say("one ", "two ", "three ")
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
    assert succeeded(await two.events(run.run_id)).answer.text == "carried on"


async def test_a_run_that_lost_too_many_owners_fails_with_a_typed_error(open_house: OpenHouse) -> None:
    journal = SharedJournal(ownership_s=OWNERSHIP_S, poll_s=0.01)
    way = CutOff(journal)
    stuck = {"boss": FakeModel(spec("boss"), silent())}
    one = await open_house(stuck, [], journal=way, ownership=ownership("one"))
    run = await one.start(detached=True)
    await stuck["boss"].called.wait()
    way.cut.set()
    two = await open_house(stuck, [], journal=journal, ownership=ownership("two", most_owners=1))
    end = failed(await two.events(run.run_id))
    assert end.reason == "RUN_ABANDONED"


async def test_a_cancel_on_another_server_reaches_the_owner(open_house: OpenHouse) -> None:
    stuck = FakeModel(spec("boss"), silent())
    one, two, _ = await two_servers(open_house, {"boss": stuck}, {"boss": FakeModel(spec("boss"), silent())}, [])
    run = await one.start(detached=True)
    await stuck.called.wait()
    await two.engine.cancel(run.run_id, CancelledBy.CALLER)
    assert cancelled(await two.events(run.run_id)).by is CancelledBy.CALLER
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
    async for event in one_by_one(one.engine.watch(run.run_id)):
        seen.append(event)
        if len(seen) == 2:
            way.cut.set()
            gate.set()
        if isinstance(event.fact, AnswerDelta) and event.fact.text == "of it":
            way.mend()
    assert isinstance(seen[-1].fact, RunSucceeded)


async def test_a_run_without_news_that_another_server_has_taken_is_given_up(open_house: OpenHouse) -> None:
    journal = SharedJournal(ownership_s=OWNERSHIP_S, poll_s=0.01)
    stuck = FakeModel(spec("boss"), silent())
    one = await open_house({"boss": stuck}, [], journal=journal, ownership=ownership("one"))
    run = await one.start(detached=True)
    await stuck.called.wait()
    await one.journaled(run.run_id, AgentStarted, 1)
    await journal.release("one", [run.run_id])
    assert await journal.claim("thief", 1)
    await stuck.finished.wait()
    assert stuck.asked[0].cancelled
    assert journal.is_shared
    assert not any(event.is_terminal for event in await journal.read(run.run_id, Cursor(), 1000))


async def test_a_run_registered_by_a_submission_whose_answer_was_lost_is_carried_out(open_house: OpenHouse) -> None:
    journal = LosesTheFirstAnswer(ownership_s=OWNERSHIP_S, poll_s=0.01)
    boss = FakeModel(spec("boss"), saying("the answer"))
    one = await open_house({"boss": boss}, [], journal=journal, ownership=ownership("one"))
    with pytest.raises(JournalUnavailable):
        await one.start(request_id="mine", detached=True)
    run = await one.start(request_id="mine", detached=True)
    assert succeeded(await one.events(run.run_id)).answer.text == "the answer"
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
    way.cut.set()
    while house.engine._registry.writer.may_spend:  # noqa: ASYNC110, SLF001 - doubt is not seen from outside
        await asyncio.sleep(0)
    first.set()
    await slow.finished.wait()
    assert not boss.asked
    way.mend()
    assert succeeded(await house.events(run.run_id)).answer.text == "the answer"


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
    await two.journaled(run.run_id, AgentStarted, 1)
    way.cut.set()
    end = succeeded(await two.events(run.run_id))
    assert (end.usage.calls, end.usage.cost_nanousd) == (2, None)


async def test_under_a_budget_a_call_is_made_once_the_journal_knows_of_it(open_house: OpenHouse) -> None:
    """So that whoever takes the run over counts it, however soon its owner is lost."""
    journal = SharedJournal(ownership_s=OWNERSHIP_S, poll_s=0.01)
    known: dict[str, bool] = {}

    def looking(agent: str) -> Script:
        async def script(asked: Asked) -> None:
            events = await journal.read(asked.terms.run_id, BEGINNING, 1000)
            begun = [event.fact.agent for event in events if isinstance(event.fact, AgentStarted)]
            known[agent] = agent in begun
            asked.say(agent)

        return script

    models = {agent: FakeModel(spec(agent), looking(agent)) for agent in ("a", "b", "boss")}
    house = await open_house(
        models, [["a", "b"]], journal=journal, ownership=ownership("one"), budget=Budget(tokens=100_000)
    )
    assert succeeded(await house.carried()).answer.text == "boss"
    assert known == {"a": True, "b": True, "boss": True}


async def test_a_lost_call_counts_against_the_budget(open_house: OpenHouse) -> None:
    stuck = FakeModel(spec("boss"), silent())
    second = {"boss": FakeModel(spec("boss"), saying("one call too many"))}
    one, two, way = await two_servers(open_house, {"boss": stuck}, second, [], budget=Budget(calls=1))
    run = await one.start(detached=True)
    await two.journaled(run.run_id, AgentStarted, 1)
    way.cut.set()
    assert failed(await two.events(run.run_id)).reason == "BUDGET_EXCEEDED"
    assert second["boss"].asked == []


async def test_where_nobody_has_answered_whoever_was_lost_is_asked_again_with_what_the_layers_to_come_would_have_had(
    open_house: OpenHouse,
) -> None:
    second = {name: FakeModel(spec(name), saying(f"by {name}")) for name in ("a", "boss")}
    first = {"a": FakeModel(spec("a"), silent()), "boss": FakeModel(spec("boss"))}
    one, two, way = await two_servers(open_house, first, second, [["a"]], budget=Budget(calls=2))
    run = await one.start(detached=True)
    await two.journaled(run.run_id, AgentStarted, 1)
    way.cut.set()
    assert succeeded(await two.events(run.run_id)).answer.text == "by a", "without it there would be no answer at all"
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


async def lost_and_come_back(house: House, journal: Slow, run_id: str) -> None:
    """Have server ``one`` lose a run and take it over again, before it hears that its earlier epoch is lost."""
    registry = house.engine._registry  # noqa: SLF001 - that it comes back is not seen from outside
    first = registry.get(run_id)
    journal.is_slow = True
    await journal.release("one", [run_id])
    assert await journal.claim("thief", 1)
    await journal.has_written.wait()
    await journal.release("thief", [run_id])
    while registry.get(run_id) is first:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0)
    journal.may_answer.set()


async def test_a_run_that_came_back_is_not_given_up_for_the_loss_of_its_earlier_epoch(open_house: OpenHouse) -> None:
    """Else nobody would carry it out: it is this server's, which is alive."""
    journal = Slow()
    boss = FakeModel(spec("boss"), silent(), saying("the answer"))
    house = await open_house({"boss": boss}, [], journal=journal, ownership=ownership("one"))
    run = await house.start(detached=True)
    await house.journaled(run.run_id, AgentStarted, 1)
    await lost_and_come_back(house, journal, run.run_id)
    assert succeeded(await house.events(run.run_id)).answer.text == "the answer"


async def test_a_run_that_came_back_is_abandoned_as_any_other(open_house: OpenHouse) -> None:
    journal = Slow()
    boss = FakeModel(spec("boss"), silent())
    limits = Limits(abandon_grace_s=0.5)
    house = await open_house({"boss": boss}, [], journal=journal, ownership=ownership("one"), limits=limits)
    run = await house.start()
    await house.journaled(run.run_id, AgentStarted, 1)
    await lost_and_come_back(house, journal, run.run_id)
    await house.journaled(run.run_id, RunCancelled, 1)


class CannotReadOne(SharedJournal):
    """A journal in which one run cannot be read."""

    unreadable = ""

    async def read(self, run_id: str, after: Cursor, limit: int, *, strict: bool = False) -> Sequence[Event]:
        if run_id == self.unreadable:
            raise JournalUnavailable("a record cannot be read")
        return await super().read(run_id, after, limit, strict=strict)


async def test_a_run_that_cannot_be_read_holds_no_other_up(open_house: OpenHouse) -> None:
    journal = CannotReadOne(ownership_s=OWNERSHIP_S, poll_s=0.01)
    stuck = {"boss": FakeModel(spec("boss"), silent())}
    one = await open_house(stuck, [], journal=journal, ownership=ownership("one"))
    runs = [await one.start(text, detached=True) for text in ("bad", "good")]
    await asyncio.gather(*(one.journaled(run.run_id, AgentStarted, 1) for run in runs))
    journal.unreadable = runs[0].run_id
    await one.engine.close(0)
    two = await open_house({"boss": FakeModel(spec("boss"))}, [], journal=journal, ownership=ownership("two"))
    assert isinstance((await two.events(runs[1].run_id))[-1].fact, RunSucceeded)
    await two.engine.close(1)
    journal.unreadable = ""
    assert [record.run_id for record in await journal.claim("three", 10)] == [runs[0].run_id]


async def test_what_was_told_to_be_less_than_planned_is_kept_by_the_next_owner(open_house: OpenHouse) -> None:
    """A reference is shortened for a proposal that is given before its owner is lost."""
    wordy = saying("word " * 400)
    stuck = FakeModel(spec("c"), silent())
    panel = [["a"], ["b", "c"]]
    first = {
        "a": FakeModel(spec("a"), wordy),
        "b": FakeModel(spec("b", window=500)),
        "c": stuck,
        "boss": FakeModel(spec("boss")),
    }
    second = {**first, "c": FakeModel(spec("c"))}
    one, two, way = await two_servers(open_house, first, second, panel)
    run = await one.start(detached=True)
    await two.journaled(run.run_id, ProposalReceived, 2)
    await stuck.called.wait()
    way.cut.set()
    events = await two.events(run.run_id)
    end = succeeded(events)
    assert [(one.reason, one.agent) for one in end.answer.degradations] == [(DegradationReason.REFERENCES_TRIMMED, "b")]
    assert [fact.degradation for fact in facts(events, RunDegraded)] == [*end.answer.degradations]
    assert len(first["b"].asked) == 1, "it is not asked again"


async def test_everything_that_is_less_than_planned_is_told_once_when_it_happens(open_house: OpenHouse) -> None:
    failed_first = FakeModel(spec("a"), failing(ModelTimeout("was silent")))
    stuck = FakeModel(spec("c"), silent())
    first = {"a": failed_first, "b": FakeModel(spec("b")), "c": stuck, "boss": FakeModel(spec("boss"), silent())}
    second = {**first, "boss": FakeModel(spec("boss"))}
    journal = SharedJournal(ownership_s=OWNERSHIP_S, poll_s=0.01)
    way, rules = CutOff(journal), Rules(quorum=1)
    panel = [["a", "b", "c"]]
    one = await open_house(first, panel, journal=way, ownership=ownership("one"), rules=rules)
    two = await open_house(second, panel, journal=journal, ownership=ownership("two"), rules=rules)
    run = await one.start(detached=True)
    await two.journaled(run.run_id, LayerClosed, 1)
    way.cut.set()
    events = await two.events(run.run_id)
    told = [(event.epoch, fact.degradation.reason) for event in events if isinstance(fact := event.fact, RunDegraded)]
    assert told == [(1, DegradationReason.AGENT_FAILED), (1, DegradationReason.STRAGGLER_CUT)]
    assert [one.reason for one in succeeded(events).answer.degradations] == [reason for _, reason in told]


class CutOffUpstream(FakeModel):
    """A model whose stream breaks off before it has said what it used."""

    def __init__(self, model_spec: ModelSpec, certainty: Certainty) -> None:
        super().__init__(model_spec)
        self._certainty = certainty

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        entry = terms.account.open(self.spec, terms.kind, prompt)
        entry.close(Usage(input_tokens=10, certainty=self._certainty))
        raise ModelStreamCut("the stream was cut")


@pytest.mark.parametrize("certainty", Certainty)
async def test_what_a_call_may_have_used_beyond_what_is_known_stays_set_aside_for_the_next_owner(
    open_house: OpenHouse, certainty: Certainty
) -> None:
    """The endpoint may bill it still. What is set aside for the call that was lost fits beside what is known alone."""
    cut = CutOffUpstream(spec("a", max_output=3000, price=Price(0, 10**9)), certainty)
    b, boss = FakeModel(spec("b", price=Price(0, 0))), spec("boss", max_output=100, price=Price(0, 10**10))
    first = {"a": cut, "b": b, "boss": FakeModel(boss, silent())}
    second = {"a": cut, "b": b, "boss": FakeModel(boss)}
    journal = SharedJournal(ownership_s=OWNERSHIP_S, poll_s=0.01)
    one = await open_house(first, [["a", "b"]], journal=journal, ownership=ownership("one"))
    two = await open_house(second, [["a", "b"]], journal=journal, ownership=ownership("two"))
    least = one.engine.explain(Query(user("hello"), "mix")).worst_case.cost_nanousd
    run = await one.start(detached=True, overrides=Overrides(budget=Budget(cost_nanousd=least)))
    await two.journaled(run.run_id, AgentStarted, 3)
    await one.engine.close(0)
    end = ended(await two.events(run.run_id))
    assert isinstance(end, RunSucceeded)
    is_known = certainty is Certainty.KNOWN
    assert end.answer.text == ("from boss" if is_known else "from b"), "no call is made that may exceed the budget"


async def test_a_run_whose_strategy_a_server_does_not_have_is_left_to_one_that_has_it(open_house: OpenHouse) -> None:
    """As in a roll-out, where servers of two versions stand beside one another."""
    journal = SharedJournal(ownership_s=OWNERSHIP_S, poll_s=0.01)
    stuck, older, newer = FakeModel(spec("boss"), silent()), FakeModel(spec("boss")), FakeModel(spec("boss"))
    one = await open_house({"boss": stuck}, [], journal=journal, ownership=ownership("one"))
    two = await open_house({"boss": older}, [], journal=journal, ownership=ownership("two"))
    two.engine.catalogue = replace(two.engine.catalogue, strategies={})
    run = await one.start(detached=True)
    await stuck.called.wait()
    await one.engine.close(0)
    while not any(record.epoch > 1 for record in [await journal.find(run.run_id)] if record):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    three = await open_house({"boss": newer}, [], journal=journal, ownership=ownership("three"))
    assert succeeded(await three.events(run.run_id)).answer.text == "from boss"
    assert (older.asked, len(newer.asked)) == ([], 1)


async def test_one_who_is_asked_again_takes_nothing_from_the_agent_that_answers(open_house: OpenHouse) -> None:
    """What was lost is paid for, so that a budget of no more than the worst case has nothing left for it."""
    stuck = FakeModel(spec("b"), silent())
    first = {"a": FakeModel(spec("a")), "b": stuck, "boss": FakeModel(spec("boss"))}
    second = {name: FakeModel(spec(name)) for name in ("a", "b", "boss")}
    journal = SharedJournal(ownership_s=OWNERSHIP_S, poll_s=0.01)
    one = await open_house(first, [["a", "b"]], journal=journal, ownership=ownership("one"))
    two = await open_house(second, [["a", "b"]], journal=journal, ownership=ownership("two"))
    run = await one.start(detached=True, overrides=Overrides(budget=Budget(calls=3)))
    await two.journaled(run.run_id, ProposalReceived, 1)
    await stuck.called.wait()
    await one.engine.close(0)
    answer = succeeded(await two.events(run.run_id)).answer
    assert answer.text == "from boss"
    assert [(one.reason, one.agent) for one in answer.degradations] == [(DegradationReason.AGENT_FAILED, "b")]
    assert [len(second[name].asked) for name in ("a", "b", "boss")] == [0, 0, 1]
