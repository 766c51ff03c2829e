"""What holds for every strategy, whatever its agents say and whoever of them fails."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain.mixture import PromptForm, ReferenceOrder, Rules
from moa_server.domain.strategy import Call, Layer, OutlinedLayer, as_asked
from moa_server.strategies import STRATEGIES
from tests.strategies.driver import ASKED, MARK, Driven, Says, drive, plan_of, replay
from tests.strategies.rosters import SAYINGS, Setting
from tests.strategies.settings import SETTINGS

RULES = st.builds(
    Rules,
    prompt_form=st.sampled_from(PromptForm),
    reference_order=st.sampled_from([ReferenceOrder.CONFIGURED, ReferenceOrder.SHUFFLED]),
    return_single=st.booleans(),
    fold_when_too_long=st.booleans(),
)
SCRIPTS = st.tuples(st.sampled_from(SETTINGS), RULES, st.integers(0, 2**32), st.sampled_from([0.0, 0.2, 0.6]))
Script = tuple[Setting, Rules, int, float]


def saying(seed: int, failing: float) -> Says:
    """Agents whose words hang on who they are, where, and the seed, never on who came first."""

    def says(call: Call, layer: int, position: int) -> str | None:
        chance = random.Random(f"{seed}:{layer}:{position}:{call.agent.name}")
        return None if chance.random() < failing else chance.choice(SAYINGS)

    return says


def carried(script: Script, arrival: int = 0) -> Driven:
    setting, rules, seed, failing = script
    plan = plan_of(setting.strategy, setting.roster, rules=rules, options=setting.options, seed=seed)
    return drive(plan, saying(seed, failing), shuffle=random.Random(arrival))


def embedded(layers: Sequence[Layer], stages: Sequence[OutlinedLayer]) -> bool:
    """Whether the layers are, in order, each within a stage of its own."""
    left = iter(stages)
    return all(any(within(layer, stage) for stage in left) for layer in layers)


def within(layer: Layer, stage: OutlinedLayer) -> bool:
    asked = Counter(call.agent for call in layer.calls)
    most = len(stage.agents) if stage.most is None else stage.most
    return layer.answers == stage.answers and asked <= Counter(stage.agents) and len(layer.calls) <= most


def test_every_strategy_is_tried() -> None:
    assert {setting.strategy for setting in SETTINGS} == set(STRATEGIES)
    assert all(name == strategy.name for name, strategy in STRATEGIES.items())


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda one: f"{one.strategy}-{one.calls}")
def test_the_outline_is_the_table(setting: Setting) -> None:
    strategy = STRATEGIES[setting.strategy]
    stages = strategy.outlined(setting.roster, strategy.read(setting.options), Rules())
    assert len(stages) == setting.layers
    assert sum(len(stage.agents) if stage.most is None else stage.most for stage in stages) == setting.calls


@given(SCRIPTS)
def test_a_rule_stays_within_its_outline(script: Script) -> None:
    driven = carried(script)
    strategy = STRATEGIES[driven.plan.strategy]
    stages = strategy.outlined(driven.plan.roster, strategy.read(driven.plan.options), driven.plan.rules)
    assert embedded(driven.layers, stages)


@given(SCRIPTS)
def test_references_come_from_no_further_back_than_the_outline_says(script: Script) -> None:
    driven = carried(script)
    strategy = STRATEGIES[driven.plan.strategy]
    outlined = strategy.outlined(driven.plan.roster, strategy.read(driven.plan.options), driven.plan.rules)
    stages = iter(enumerate(outlined))
    said_in: dict[int, OutlinedLayer] = {}
    for layer, result in zip(driven.layers, driven.results, strict=True):
        index, stage = next((index, stage) for index, stage in stages if within(layer, stage))
        read = [shown for call in layer.calls if call.brief is not as_asked for shown in call.shown]
        near = outlined[max(index - stage.looks_back, 0) : index]
        assert all(said_in[id(shown)] in near for shown in read), "a round that was skipped is as the one before it"
        most = stage.shown([len(earlier.agents) for earlier in outlined[:index]])
        assert all(len(call.shown) <= most for call in layer.calls if call.brief is not as_asked)
        said_in |= {id(came): stage for came in result.proposals}


@given(SCRIPTS)
def test_the_same_results_give_the_same_layers_and_the_same_answer(script: Script) -> None:
    driven = carried(script)
    again = replay(driven.plan, driven.results)
    assert again.prompts == driven.prompts
    assert [[call.agent for call in layer.calls] for layer in again.layers] == [
        [call.agent for call in layer.calls] for layer in driven.layers
    ]
    assert (again.answer, again.decisions, again.degradations) == (
        driven.answer,
        driven.decisions,
        driven.degradations,
    )


@given(SCRIPTS, st.integers(1, 9))
def test_the_order_of_arrival_changes_neither_prompts_nor_the_answer(script: Script, arrival: int) -> None:
    first, second = carried(script), carried(script, arrival)
    assert first.prompts == second.prompts
    assert (first.answer is None) == (second.answer is None)
    if first.answer and second.answer:
        assert first.text == second.text


@given(SCRIPTS)
def test_the_callers_messages_stay_in_front_byte_for_byte(script: Script) -> None:
    driven = carried(script)
    fenced = driven.plan.rules.prompt_form is PromptForm.FENCED
    for prompt in (prompt for layer in driven.prompts for prompt in layer):
        assert prompt[-1].parts[0] == ASKED[-1].parts[0]
        assert len(prompt) == len(ASKED)
        assert prompt[0] == ASKED[0] or not fenced
    assert all(call.messages is None for layer in driven.layers[-1:] for call in layer.calls if layer.answers)


@given(SCRIPTS)
def test_every_fence_is_opened_and_closed_once(script: Script) -> None:
    driven = carried(script)
    for layer in driven.prompts:
        for prompt in layer:
            for message in prompt:
                explained = message.text.count(f"the mark {MARK}")
                fences = message.text.count(f"| {MARK}]]")
                assert message.text.count("| " + MARK) == fences
                if explained:
                    assert message.text.count("[[begin ") == message.text.count("[[end ") == fences // 2


@given(SCRIPTS)
def test_there_is_an_answer_as_long_as_somebody_spoke(script: Script) -> None:
    driven = carried(script)
    if script[3] == 0.0:
        assert driven.answer is not None
    if driven.answer is not None:
        assert driven.answer.text
        assert driven.answer.agent
