"""What holds for every run, whatever its mixture, whoever fails, and whenever it is cancelled."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain.event import (
    AgentFailed,
    AgentStarted,
    AnswerRestarted,
    CancelledBy,
    LayerClosed,
    LayerStarted,
    ProposalReceived,
    RunCancelled,
    RunFailed,
    RunSucceeded,
)
from moa_server.domain.mixture import ReferenceOrder, Rules
from moa_server.domain.proposal import Attempt
from moa_server.domain.usage import Usage
from moa_server.journal.codec import Codec
from moa_server.strategies import STRATEGIES
from tests.engine.facts import told_as_it_happened
from tests.engine.stories import BUDGETS, Story, billed, many, stories, within
from tests.engine.story_runs import Told, patiently, replayed, tell
from tests.strategies.driver import prompt_of
from tests.strategies.settings import SETTINGS

CANCELS = st.none() | st.integers(1, 40)


def attempts(told: Told) -> list[Attempt]:
    """Return every attempt that an agent's own event tells of."""
    found: list[Attempt] = []
    for event in told.events:
        match event.fact:
            case ProposalReceived(_, proposal):
                found += proposal.attempts
            case AgentFailed(_, failure):
                found += failure.attempts
    return found


def was_cut_short(told: Told) -> bool:
    """Whether agents were stopped together with the run, so that no event of their own tells what they used."""
    end = told.end
    return isinstance(end, RunCancelled) or (isinstance(end, RunFailed) and end.reason == "DEADLINE_EXCEEDED")


def test_every_strategy_is_tried() -> None:
    assert {setting.strategy for setting in SETTINGS} == set(STRATEGIES)


@many(100)
@given(stories(failing=st.just(0.0), schema=st.sampled_from([None, '{"type": "object"}'])))
def test_all_that_is_sent_is_in_the_worst_case(story: Story) -> None:
    told = patiently(tell(story))
    if told is None:
        return
    asked = [(one.prompt, model.spec) for model in told.models.values() for one in model.asked]
    sent = sum(prompt.tokens(spec) for prompt, spec in asked)
    written = sum(prompt.sampling.max_tokens or spec.max_output for prompt, spec in asked)
    assert sent + written <= told.plan.worst_case.tokens


@many(250)
@given(stories(budget=BUDGETS, priced=st.sampled_from([True, True, False]), proposal_deltas=st.booleans()), CANCELS)
def test_a_run_tells_whole_and_ends_once(story: Story, cancel_at: int | None) -> None:
    told = patiently(tell(story, cancel_at=cancel_at))
    if told is None:
        return
    assert [event.sequence for event in told.events] == list(range(1, len(told.events) + 1))
    assert [event.epoch for event in told.events] == [1] * len(told.events)
    assert [event.is_terminal for event in told.events].index(True) == len(told.events) - 1
    assert all(before.time <= after.time for before, after in pairwise(told.events))
    order = [
        (event.fact.layer.index, type(event.fact)) for event in told.events
        if isinstance(event.fact, LayerStarted | LayerClosed)
    ]  # fmt: skip
    expected = [(index, kind) for index in range(len(order)) for kind in (LayerStarted, LayerClosed)]
    assert order == expected[: len(order)], "a layer begins when the one before it has closed, and not before"
    assert "SECRET" not in repr([asked.prompt for model in told.models.values() for asked in model.asked])
    if isinstance(told.end, RunSucceeded):
        assert told.end.answer.text == told.shown
        assert told.shown
        less = Counter(told.end.answer.degradations) - Counter(told.plan.degradations)
        assert told_as_it_happened(told.events) >= less
    if isinstance(told.end, RunFailed):
        assert told.end.partial_text == told.shown
    if isinstance(told.end, RunCancelled):
        assert cancel_at is not None
        assert told.end.by is CancelledBy.CALLER


@many(250)
@given(stories(budget=BUDGETS, priced=st.sampled_from([True, True, False])), CANCELS)
def test_usage_is_the_sum_of_all_attempts_and_what_the_endpoints_bill(story: Story, cancel_at: int | None) -> None:
    told = patiently(tell(story, cancel_at=cancel_at))
    if told is None:
        return
    ledger = billed(told.models)
    assert told.end.usage == ledger
    assert all(asked.is_over for model in told.models.values() for asked in model.asked)
    tried = sum((attempt.usage for attempt in attempts(told)), Usage())
    started = sum(isinstance(event.fact, AgentStarted) for event in told.events)
    assert ledger.calls <= started
    if was_cut_short(told):
        assert tried.tokens <= ledger.tokens
    else:
        assert tried == ledger
    restarts = sum(isinstance(event.fact, AnswerRestarted) for event in told.events)
    assert ledger.calls <= told.plan.worst_case.calls + restarts
    assert ledger.tokens <= told.plan.worst_case.tokens or restarts
    if not restarts and told.plan.worst_case.cost_nanousd is not None:
        assert ledger.cost_nanousd is not None
        assert ledger.cost_nanousd <= told.plan.worst_case.cost_nanousd
    within(told.plan.budget, ledger)


@many(300)
@given(stories())
def test_the_journaled_results_give_a_fresh_rule_the_same_layers_and_the_same_answer(story: Story) -> None:
    told = patiently(tell(story))
    assert told is not None
    codec = Codec()
    results = Told(story, told.models, codec.read_events("r", codec.events(told.events))).closed
    assert results == told.closed
    plan = codec.read_plan(codec.plan(told.plan))
    layers, answer = replayed(plan, results)
    started = [event.fact.layer.agents for event in told.events if isinstance(event.fact, LayerStarted)]
    assert [tuple(call.agent for call in layer.calls) for layer in layers][: len(started)] == started
    asked = {name: [one.prompt.messages for one in model.asked] for name, model in told.models.items()}
    restarts = sum(isinstance(event.fact, AnswerRestarted) for event in told.events)
    for layer in layers[: len(started)]:
        for call in layer.calls * (2 if layer.answers and restarts else 1):
            if asked[call.agent.name]:  # who was cut before its call was made has none
                assert asked[call.agent.name].pop(0) == prompt_of(plan, call)
    assert not any(asked.values())
    if isinstance(told.end, RunSucceeded):
        assert answer is not None
        assert answer.text == told.end.answer.text
        assert (answer.agent, answer.judgement) == (told.end.answer.agent, told.end.answer.judgement)


@many(100)
@given(stories(rules=st.builds(Rules, reference_order=st.sampled_from(["configured", "shuffled"]).map(ReferenceOrder))))
def test_the_order_of_arrival_changes_no_prompt(story: Story) -> None:
    """Nobody is cut in these stories but by a settled vote, so that only who comes first differs."""
    patient = Story(story.which, story.rules, story.seed, 0.0)
    other = Story(story.which, story.rules, story.seed, 0.0, pauses=1)
    first, second = patiently(tell(patient)), patiently(tell(other))
    assert first is not None
    assert second is not None
    for name in first.models:
        prompts = [[one.prompt.messages for one in told.models[name].asked] for told in (first, second)]
        unmarked = [
            repr(said).replace(told.plan.mark, "MARK") for said, told in zip(prompts, (first, second), strict=True)
        ]
        assert unmarked[0] == unmarked[1]
    assert isinstance(first.end, RunSucceeded)
    assert isinstance(second.end, RunSucceeded)
    assert first.end.answer.text == second.end.answer.text
