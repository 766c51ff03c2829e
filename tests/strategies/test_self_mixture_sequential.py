"""A running best takes in a window of samples at a time."""

from moa_server.domain.agent import Sampling
from moa_server.domain.degradation import DegradationReason
from moa_server.domain.mixture import Roster
from moa_server.strategies.self_mixture_sequential import SELF_MIXTURE_SEQUENTIAL
from tests.strategies.driver import Driven, agent, agents, drive, named, plan_of
from tests.strategies.rosters import ONE, setting

SETTINGS = (
    setting("self_mixture_sequential", (ONE,), (9, 4), samples=6, window=3),
    setting("self_mixture_sequential", (ONE,), (3, 2), samples=2, window=3),
)
LAST = agent("z")
ALONE = Roster((agents(1),), LAST)


def test_a_prompt_never_holds_more_than_the_window() -> None:
    driven = drive(plan_of("self_mixture_sequential", ALONE, options={"samples": 30, "window": 4}), named)
    assert max(len(call.shown) for layer in driven.layers for call in layer.calls) == 4
    assert sum(call.agent.name == "a0" for layer in driven.layers for call in layer.calls) == 30
    assert driven.layers[-1].calls[0].shown[0].agent == "z"


def texts_of_the_last_call(driven: Driven) -> list[str]:
    return [proposal.text for proposal in driven.layers[-1].calls[0].shown]


def test_the_running_best_goes_on_when_a_merge_fails() -> None:
    plan = plan_of("self_mixture_sequential", ALONE, options={"samples": 7, "window": 3})
    driven = drive(plan, lambda *call: None if call[0].agent.name == "z" and call[1] == 2 else named(*call))
    assert texts_of_the_last_call(driven) == ["<z in 1 at 0>", "<a0 in 2 at 1>", "<a0 in 2 at 2>"]
    assert [told.reason for told in driven.degradations] == [DegradationReason.STRATEGY_FELL_BACK]
    assert "2 of 3 texts are left out" in driven.degradations[0].detail


def test_before_there_is_a_running_best_the_first_sample_goes_on_when_a_merge_fails() -> None:
    plan = plan_of("self_mixture_sequential", ALONE, options={"samples": 5, "window": 3})
    driven = drive(plan, lambda *call: None if call[0].agent.name == "z" and call[1] == 1 else named(*call))
    assert texts_of_the_last_call(driven) == ["<a0 in 0 at 0>", "<a0 in 1 at 1>", "<a0 in 1 at 2>"]


def test_a_window_in_which_all_fail_leaves_everything_that_was_there() -> None:
    plan = plan_of("self_mixture_sequential", ALONE, options={"samples": 7, "window": 3})
    driven = drive(plan, lambda *call: None if call[1] == 2 else named(*call))
    assert texts_of_the_last_call(driven) == ["<z in 1 at 0>", "<a0 in 1 at 1>", "<a0 in 1 at 2>"]
    assert driven.degradations == [], "nothing was left out"


def test_the_running_best_stands_in_for_the_answer_whatever_it_weighs() -> None:
    roster = Roster(ALONE.layers, agent("z", weight=0.1))
    plan = plan_of("self_mixture_sequential", roster, options={"samples": 5, "window": 3})
    driven = drive(plan, lambda *call: None if call[1] == 2 else named(*call))
    assert driven.text == "<z in 1 at 0>"


def test_it_is_one_agent_that_can_differ_from_itself() -> None:
    assert "2 agents" in next(SELF_MIXTURE_SEQUENTIAL.problems(Roster((agents(2),)), SELF_MIXTURE_SEQUENTIAL.read({})))
    fixed = Roster(((agent("a", sampling=Sampling(temperature=0.0)),),))
    assert "temperature 0" in next(SELF_MIXTURE_SEQUENTIAL.problems(fixed, SELF_MIXTURE_SEQUENTIAL.read({})))
