"""A running best takes in a window of samples at a time."""

from moa_server.domain.agent import Sampling
from moa_server.domain.mixture import Roster
from moa_server.strategies.self_mixture_sequential import SELF_MIXTURE_SEQUENTIAL
from tests.strategies.driver import agent, agents, drive, named, plan_of
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


def test_a_merge_that_failed_leaves_its_samples_out_and_the_run_goes_on() -> None:
    plan = plan_of("self_mixture_sequential", ALONE, options={"samples": 5, "window": 3})
    driven = drive(plan, lambda *call: None if call[0].agent.name == "z" and call[1] == 1 else named(*call))
    assert [p.agent for p in driven.layers[2].calls[0].shown] == ["a0", "a0"]
    assert driven.text == "<z in 2 at 0>"


def test_it_is_one_agent_that_can_differ_from_itself() -> None:
    assert "2 agents" in next(SELF_MIXTURE_SEQUENTIAL.problems(Roster((agents(2),)), SELF_MIXTURE_SEQUENTIAL.read({})))
    fixed = Roster(((agent("a", sampling=Sampling(temperature=0.0)),),))
    assert "temperature 0" in next(SELF_MIXTURE_SEQUENTIAL.problems(fixed, SELF_MIXTURE_SEQUENTIAL.read({})))
