"""One agent is sampled, and its samples are aggregated."""

from moa_server.domain.agent import Sampling
from moa_server.domain.mixture import Roster
from moa_server.strategies.self_mixture import SELF_MIXTURE
from tests.strategies.driver import agent, agents, drive, named, plan_of
from tests.strategies.rosters import ONE, setting

SETTINGS = (
    setting("self_mixture", (ONE,), (7, 2), samples=6),
    setting("self_mixture", (ONE,), (4, 2), samples=3, last=None),
)
LAST = agent("z")
ALONE = Roster((agents(1),), LAST)


def test_one_agent_is_sampled_and_aggregated() -> None:
    driven = drive(plan_of("self_mixture", ALONE, options={"samples": 6}), named)
    assert (driven.calls, driven.text) == (7, "<z in 1 at 0>")
    assert len(driven.layers[1].calls[0].shown) == 6


def test_the_agent_itself_answers_where_nobody_else_is_named() -> None:
    assert drive(plan_of("self_mixture", Roster(ALONE.layers)), named).text == "<a0 in 1 at 0>"


def test_it_is_one_agent_that_can_differ_from_itself() -> None:
    assert "2 agents" in next(SELF_MIXTURE.problems(Roster((agents(2),)), SELF_MIXTURE.read({})))
    fixed = Roster(((agent("a", sampling=Sampling(temperature=0.0)),),))
    assert "temperature 0" in next(SELF_MIXTURE.problems(fixed, SELF_MIXTURE.read({})))
