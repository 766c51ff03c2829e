"""How a run is driven by its rule: what it decides is told once, and each layer has its share of the time."""

import asyncio
from dataclasses import dataclass, replace

import pytest

from moa_server.domain.answer import Answer, Judgement
from moa_server.domain.degradation import DegradationReason
from moa_server.domain.errors import JournalUnavailable, ModelUnavailable
from moa_server.domain.event import AgentFailed, AgentStarted, CancelledBy, DecisionMade, RunDegraded
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Roster, Rules
from moa_server.domain.model import FinishReason, Prompt, Reply
from moa_server.domain.plan import Plan
from moa_server.domain.ports import CallTerms
from moa_server.domain.query import Overrides
from moa_server.domain.strategy import Call, Decision, DecisionKind, Layer, OutlinedLayer, Rule, Strategy
from moa_server.domain.usage import Budget, Usage
from moa_server.telemetry import names
from tests.engine.facts import closed_layers, facts, failed, succeeded
from tests.engine.fakes import Asked, FakeModel, failing, saying, silent, spec
from tests.engine.houses import one_house
from tests.engine.journals import CutOff, SharedJournal
from tests.models.timeless_loop import now, timeless
from tests.telemetry.spans import recorded

RUN_S = 100.0
SHARE = Rules().answer_share


def shared() -> SharedJournal:
    return SharedJournal(ownership_s=1.0, poll_s=0.01, monotonic=now)


def model(name: str, text: str = "") -> FakeModel:
    return FakeModel(spec(name), saying(text or f"from {name}"))


def decision(what: str) -> Decision:
    return Decision(DecisionKind.STOP, (what,), "because")


@dataclass(frozen=True, slots=True)
class NoOptions:
    """No options."""


def of(rule: object, *, answers: bool = True) -> Strategy[NoOptions]:
    """Return a strategy of this rule, whose plans have the roster's layers."""

    def outline(roster: Roster, _options: NoOptions) -> tuple[OutlinedLayer, ...]:
        proposing = tuple(OutlinedLayer(agents) for agents in roster.layers)
        assert roster.aggregator is not None
        return (*proposing, OutlinedLayer((roster.aggregator,), answers=True)) if answers else proposing

    return Strategy("own", rule, outline, lambda _roster, _options: (), NoOptions)  # type: ignore[arg-type]


def deciding(plan: Plan, _options: NoOptions) -> Rule:
    boss = plan.roster.aggregator
    assert boss is not None
    yield decision("first")
    yield decision("second")
    result = yield Layer((Call(boss),), answers=True)
    yield decision("third")
    assert result is not None
    return Answer.of(result.proposals[0])


@timeless
async def test_each_decision_is_told_once_over_all_the_owners_of_a_run() -> None:
    journal = shared()
    stuck = FakeModel(spec("z"), silent())
    async with one_house({"z": stuck}, "", journal, strategy=of(deciding)) as one:
        run = await one.start(detached=True)
        await one.journaled(run.run_id, AgentStarted, 1)
    async with one_house({"z": model("z")}, "", journal, owner="two", strategy=of(deciding)) as two:
        events = await two.events(run.run_id)
    told = [(event.epoch, event.fact.decision.chosen[0]) for event in events if isinstance(event.fact, DecisionMade)]
    assert told == [(1, "first"), (1, "second"), (2, "third")]


def passing(plan: Plan, _options: NoOptions) -> Rule:
    result = None
    for agents in plan.roster.layers:
        result = yield Layer(tuple(Call(agent) for agent in agents))
    assert result is not None
    return Answer.of(result.proposals[0])


async def shares(layers: str, *, answers: bool) -> list[float]:
    """Return how much of its time a run gives its layers, in none of which any time goes by."""
    models = {name: model(name) for name in (*layers.split(), "z")}
    own = of(passing, answers=answers)
    more = {} if answers else {"strategy": own}
    async with one_house(models, layers, shared(), budget=Budget(time_s=RUN_S), **more) as house:  # type: ignore[arg-type]
        began = now()
        await house.carried()
    return [one.asked[0].terms.deadline - began for one in models.values() if one.asked]


@timeless
async def test_layers_share_the_time_that_is_not_the_answering_agents() -> None:
    own = (1 - SHARE) / 3
    first, second, third, last = await shares("a b c", answers=True)
    assert first == pytest.approx(RUN_S * own, abs=0.2)
    assert second == pytest.approx(RUN_S * own / (SHARE + 2 * own), abs=0.2)
    assert third == pytest.approx(RUN_S * own / (SHARE + own), abs=0.2)
    assert last == pytest.approx(RUN_S - 0.25, abs=0.01)


@timeless
async def test_where_nobody_answers_the_last_layer_has_the_answering_agents_share() -> None:
    first, second, last = await shares("a b c", answers=False)
    own = (1 - SHARE) / 2
    assert first == pytest.approx(RUN_S * own, abs=0.2)
    assert second == pytest.approx(RUN_S * own / (SHARE + own), abs=0.2)
    assert last == pytest.approx(RUN_S - 0.25, abs=0.01)


@timeless
async def test_an_answer_that_was_cut_by_its_limit_is_told_to_be_so() -> None:
    async def cut(asked: Asked) -> None:
        asked.say("half of")
        asked.finish = FinishReason.LENGTH

    async with one_house({"z": FakeModel(spec("z"), cut)}, "", shared()) as house:
        events = await house.carried()
    assert [one.reason for one in succeeded(events).answer.degradations] == [DegradationReason.ANSWER_TRUNCATED]
    assert len(facts(events, RunDegraded)) == 1


def judged(plan: Plan, _options: NoOptions) -> Rule:
    boss = plan.roster.aggregator
    assert boss is not None
    result = yield Layer((Call(boss),), answers=True)
    assert result is not None
    return Answer.of(result.proposals[0], Judgement(0))


@timeless
async def test_a_repaired_answer_is_judged_as_the_first_was_and_repaired_by_whoever_gave_it() -> None:
    boss, other = FakeModel(spec("z"), saying("three"), saying("3")), model("a")
    asked = Overrides(response_schema='{"type": "number"}')
    async with one_house({"a": other, "z": boss}, "a", shared(), strategy=of(judged)) as house:
        answer = succeeded(await house.carried(overrides=asked)).answer
    assert (answer.text, answer.agent, answer.judgement) == ("3", "z", Judgement(0))
    assert other.asked == []
    assert boss.asked[1].prompt.response_schema == '{"type": "number"}'


@timeless
async def test_a_layer_below_its_quorum_is_told_of_once_though_its_run_has_two_owners() -> None:
    journal, rules = shared(), Rules(quorum=2, fail_below_quorum=False)
    models = {"a": model("a"), "b": FakeModel(spec("b"), failing(ModelUnavailable("x"))), "z": model("z")}
    async with one_house({**models, "z": FakeModel(spec("z"), silent())}, "ab", journal, rules=rules) as one:
        run = await one.start(detached=True)
        await one.journaled(run.run_id, AgentStarted, 3)
    async with one_house(models, "ab", journal, owner="two", rules=rules) as two:
        events = await two.events(run.run_id)
    told = [fact.degradation.reason for fact in facts(events, RunDegraded)]
    assert sorted(told) == [DegradationReason.AGENT_FAILED, DegradationReason.QUORUM_MISSED]
    assert sorted(one.reason for one in succeeded(events).answer.degradations) == sorted(told)


@timeless
async def test_a_span_tells_how_long_the_answer_is_beside_what_it_was_written_from_and_what_it_lacks() -> None:
    down = FakeModel(spec("c"), failing(ModelUnavailable("x")))
    models = {"a": model("a", "1234"), "b": model("b", "12"), "c": down, "z": model("z", "123456789")}
    with recorded() as spans:
        async with one_house(models, "abc", shared()) as house:
            await house.carried()
        (span,) = spans.named(names.run_span("mix"))
    attributes = dict(span.attributes or {})
    assert attributes[names.LENGTH_RATIO] == 3.0
    assert attributes[names.DEGRADATIONS] == ("agent_failed",)
    assert span.status.is_unset
    assert span.parent is None
    with recorded() as spans:
        async with one_house({"z": FakeModel(spec("z"), failing(ModelUnavailable("x")))}, "", shared()) as house:
            end = failed(await house.carried())
        (span,) = spans.named(names.run_span("mix"))
    assert names.DEGRADATIONS not in dict(span.attributes or {})
    assert (span.status.is_ok, span.status.description) == (False, end.reason)
    with recorded() as spans:
        models = {"a": model("a"), "b": model("b"), "z": FakeModel(spec("z"), failing(ModelUnavailable("x")))}
        async with one_house(models, "a b", shared()) as house:
            await house.carried()
        (span,) = spans.named(names.run_span("mix"))
    assert names.LENGTH_RATIO not in dict(span.attributes or {}), "a proposal is no answer"


@timeless
async def test_a_layer_knows_when_it_began_and_ended() -> None:
    async with one_house({"a": model("a"), "z": model("z")}, "a", shared()) as house:
        first, last = closed_layers(await house.carried())
    assert first.started is not None
    assert first.ended is not None
    assert last.started is not None
    assert first.started <= first.ended <= last.started


@timeless
async def test_without_a_grace_the_rest_is_cut_as_soon_as_the_quorum_is_there() -> None:
    models = {"a": model("a"), "b": FakeModel(spec("b"), silent()), "z": model("z")}
    async with one_house(models, "ab", shared(), rules=Rules(quorum=1)) as house:
        began = now()
        await house.carried()
        assert now() - began < 0.5


@timeless
async def test_an_agent_of_a_cancelled_run_is_not_told_to_have_failed() -> None:
    async with one_house({"a": FakeModel(spec("a"), silent()), "z": model("z")}, "a", shared()) as house:
        run = await house.start(detached=True)
        await house.journaled(run.run_id, AgentStarted, 1)
        began = now()
        await house.engine.cancel(run.run_id, CancelledBy.CALLER)
        assert now() - began < 0.1
        assert facts(await house.events(run.run_id), AgentFailed) == []


@timeless
async def test_texts_that_nobody_watches_may_be_gathered_for_longer() -> None:
    models = {"a": model("a"), "z": model("z")}
    async with one_house(models, "a", shared(), limits=Limits(gather_window_s=0.02)) as house:
        await house.carried()
        await house.carried("again", proposal_deltas=True)
    assert [asked.terms.gather_s for asked in models["a"].asked] == [0.2, 0.02]
    assert [asked.terms.gather_s for asked in models["z"].asked] == [0.02, 0.02]


@timeless
async def test_an_agent_that_says_no_limit_has_its_models() -> None:
    boss = FakeModel(spec("z", max_output=70))
    async with one_house({"z": boss}, "", shared()) as house:
        await house.carried()
    assert boss.asked[0].prompt.sampling.max_tokens == 70


class StoodIn(FakeModel):
    """A model in whose place another one answers, after it has failed."""

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        terms.account.open(self.spec, terms.kind, prompt).close(Usage(), failure=ModelUnavailable("down"))
        other = replace(self.spec, name="spare")
        terms.account.open(other, terms.kind, prompt).close(Usage(input_tokens=10, output_tokens=5))
        terms.hear("instead")
        return Reply("instead", FinishReason.STOP, Usage(input_tokens=10), "spare-1", mean_logprob=-0.5)


@timeless
async def test_who_has_answered_in_an_agents_place_is_told() -> None:
    async with one_house({"a": StoodIn(spec("a")), "z": model("z")}, "a", shared()) as house:
        events = await house.carried()
        assert house.engine._registry.estimates.most("a", 100) == 100  # noqa: SLF001 - nothing is learned of the model
    (proposal,) = closed_layers(events)[0].proposals
    assert (proposal.model, proposal.served_model, proposal.mean_logprob) == ("a", "spare", -0.5)
    (told,) = succeeded(events).answer.degradations
    assert (told.reason, told.detail, told.layer, told.agent) == (
        DegradationReason.FALLBACK_SERVED,
        "spare served in place of a",
        0,
        "a",
    )


@timeless
async def test_an_agent_that_had_no_time_left_because_the_journal_was_away_says_so() -> None:
    way = CutOff(shared(), most=2)
    a = model("a")
    async with one_house({"a": a, "z": model("z")}, "a", way, budget=Budget(time_s=RUN_S, calls=5)) as house:
        run = await house.start(detached=True)
        await way.cut.wait()
        await asyncio.sleep(RUN_S * 0.7)
        way.mend()
        events = await house.events(run.run_id)
    assert a.asked == []
    assert next(fact.failure.reason for fact in facts(events, AgentFailed)) == "JOURNAL_UNAVAILABLE"


@timeless
async def test_a_call_that_is_refused_while_the_ownership_is_not_in_doubt_is_not_made_again() -> None:
    a = FakeModel(spec("a"), failing(JournalUnavailable("away")), saying("again"))
    async with one_house({"a": a, "z": model("z")}, "a", shared()) as house:
        events = await house.carried()
    assert [fact.failure.reason for fact in facts(events, AgentFailed)] == ["JOURNAL_UNAVAILABLE"]
    assert len(a.asked) == 1
