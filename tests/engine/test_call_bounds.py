"""What a call is counted at before it is made, figure by figure: by models that count a token a letter."""

from dataclasses import replace
from math import ceil

import pytest

from moa_server.domain import tokens
from moa_server.domain.agent import Agent, Sampling
from moa_server.domain.mixture import Roster, Rules
from moa_server.domain.model import ModelSpec
from moa_server.domain.plan import Plan, PlannedLayer, WorstCase
from moa_server.domain.reliability import Reliability, RetryRule
from moa_server.domain.strategy import OutlinedLayer
from moa_server.domain.usage import Budget, Certainty, Price, Usage
from moa_server.engine.plans.worst_case import UpperBounds
from tests.engine.fakes import FakeModel, spec, user

LETTERS = tokens.Remembered(len, 100)
ASKED = 45
"""The conversation: a call, a message, and the five letters of hello."""
SCHEMA = '{"type": "number"}'
SCHEMA_TOLD = tokens.TOKENS_PER_SCHEMA + len(SCHEMA) + 10
A, B, BOSS = Agent("a", "a"), Agent("b", "b"), Agent("z", "z")


def letters(name: str, output: int, price: Price | None = None, retries: int = 0) -> ModelSpec:
    rules = Reliability(RetryRule(attempts=retries))
    made = spec(name, window=1_000_000, max_output=output, price=price)
    return replace(made, counted_by=LETTERS, reliability=rules)


def bounds(*specs: ModelSpec) -> UpperBounds:
    offered = specs or (letters("a", 100), letters("b", 50), letters("z", 30))
    return UpperBounds({one.name: FakeModel(one) for one in offered})


def plan(*layers: tuple[Agent, ...], schema: str | None = None, rules: Rules = Rules()) -> Plan:
    planned = tuple(PlannedLayer(index, agents, 1, 0.0) for index, agents in enumerate(layers))
    return Plan(
        mixture="mix",
        strategy="own",
        messages=user("hello"),
        roster=Roster(((A, B),), BOSS),
        layers=planned,
        worst_case=WorstCase(0, 0, 0),
        budget=Budget(),
        rules=rules,
        mark="",
        seed=0,
        response_schema=schema,
    )


@pytest.mark.parametrize(
    ("agent", "told", "sent"),
    [
        (A, 0, ASKED),
        (A, 10, ASKED + 8 + 10),
        (replace(A, instructions="Be brief."), 0, ASKED + 8 + 9),
        (replace(A, instructions="Be brief."), 10, ASKED + 8 + 10 + 8 + 9),
    ],
)
def test_a_call_sends_the_conversation_and_what_its_agent_is_told(agent: Agent, told: int, sent: int) -> None:
    worst = bounds().worst_case(plan(), [OutlinedLayer((agent,), told=told)])
    assert (worst.calls, worst.tokens, worst.cost_nanousd) == (1, sent + 100, None)


def test_an_agent_is_counted_at_what_it_is_asked_for_where_that_is_less() -> None:
    brief = replace(A, sampling=Sampling(max_tokens=7))
    assert bounds().worst_case(plan(), [OutlinedLayer((brief,), told=0)]).tokens == ASKED + 7


@pytest.mark.parametrize(("most", "written", "count"), [(None, 150, 2), (1, 100, 1)])
def test_references_are_counted_by_the_longest_that_may_be_written(most: int | None, written: int, count: int) -> None:
    layers = [OutlinedLayer((B, A), told=0, most=most), OutlinedLayer((BOSS,), told=10)]
    first = bounds().worst_case(plan(), layers[:1]).tokens
    read = count * 72 + ceil(written * 1.25)
    assert bounds().worst_case(plan(), layers).tokens - first == ASKED + 8 + 10 + read + 30


def test_a_schema_is_sent_with_each_call_and_the_layers_own_in_its_place() -> None:
    own = '{"type": "object"}' * 2
    layers = [OutlinedLayer((A,), told=0), OutlinedLayer((A,), told=0, schema=own)]
    without = bounds().worst_case(plan(), layers[1:]).tokens
    assert without == ASKED + tokens.TOKENS_PER_SCHEMA + len(own) + 2 * 10 + 100
    assert bounds().worst_case(plan(), layers[:1]).tokens == ASKED + 100


def test_a_structured_answer_may_have_to_be_repaired_by_the_dearest_of_all_agents() -> None:
    worst = bounds().worst_case(plan(schema=SCHEMA), [OutlinedLayer((BOSS,), told=0)])
    answer = ASKED + SCHEMA_TOLD + 30
    shown = 72 + ceil(100 * 1.25)
    repair = ASKED + 8 + 100 + len(SCHEMA) + shown + SCHEMA_TOLD + 100
    assert (worst.calls, worst.tokens) == (2, answer + repair)


def test_the_most_of_some_agents_is_told_by_calls_by_tokens_and_by_money_apart() -> None:
    wordy = letters("a", 1000, Price(0, 1_000_000), retries=0)
    dear = letters("b", 10, Price(0, 10**9), retries=0)
    again = letters("z", 10, Price(0, 0), retries=3)
    for agents in ((A, B, BOSS), (BOSS, B, A), (B, A, BOSS)):
        layer = OutlinedLayer(agents, told=0, most=1)
        worst = bounds(wordy, dear, again).worst_case(plan(), [layer], failing=True)
        assert worst == WorstCase(5, 2 * (ASKED + 1000), 20_000), "each once more, without a limit that it refuses"
    unknown = bounds(wordy, letters("b", 10), again)
    assert unknown.worst_case(plan(), [OutlinedLayer((A, B), told=0, most=1)]).cost_nanousd is None


def test_an_answer_that_may_begin_again_is_counted_twice_when_calls_fail() -> None:
    layer, again = OutlinedLayer((BOSS,), told=0, answers=True), Rules(restart_answer=True)
    offered = bounds(letters("a", 100), letters("b", 50), letters("z", 30, retries=1))
    once, twice = (offered.worst_case(plan(rules=rules), [layer], failing=True) for rules in (Rules(), again))
    assert (once.calls, once.tokens) == (3, 3 * (ASKED + 30))
    assert (twice.calls, twice.tokens) == (6, 6 * (ASKED + 30))
    assert offered.worst_case(plan(rules=again), [layer]).calls == 1


def test_calls_that_were_lost_are_counted_at_their_most_and_those_of_unknown_agents_as_unknown() -> None:
    asked = plan((A, B), (BOSS,))
    told = ASKED + 8 + 2 * 220 + 1_000
    shown = 2 * 72 + ceil(150 * 1.25)
    assert bounds().lost_calls([(1, "z")], asked) == Usage(1, told + shown, 30, cost_nanousd=None)
    assert bounds().lost_calls([(0, "a"), (0, "b")], asked) == Usage(2, 2 * told, 150, cost_nanousd=None)
    lost = [(0, "gone"), (0, "a"), (0, "went"), (1, "z")]
    counted = bounds().lost_calls(lost, asked)
    assert (counted.calls, counted.certainty) == (4, Certainty.UNKNOWN)
    assert counted.tokens == told + 100 + told + shown + 30


def test_what_is_lost_was_shown_nothing_of_models_that_are_not_known_here() -> None:
    asked = plan((A, B), (BOSS,))
    here = bounds(letters("a", 100), letters("z", 30))
    told = ASKED + 8 + 2 * 220 + 1_000
    assert here.lost_calls([(1, "z")], asked).input_tokens == told + 72 + ceil(100 * 1.25)
    assert here.lost_calls([(0, "b")], asked) == Usage.unknown(1)


def test_each_parameter_that_may_be_refused_is_another_call_when_calls_fail() -> None:
    warm = replace(A, sampling=Sampling(temperature=0.5))
    layer = OutlinedLayer((warm,), told=0)
    plain, likely = (
        bounds().worst_case(plan(), [one], failing=True).calls for one in (layer, replace(layer, logprobs=True))
    )
    assert (plain, likely) == (3, 4), "the temperature, the limit's name, and the log-probabilities"
