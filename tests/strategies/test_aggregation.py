"""References that do not fit are read a few at a time by a running best, where the mixture allows it."""

import pytest

from moa_server.domain.mixture import Roster, Rules
from moa_server.domain.strategy import Call
from moa_server.strategies import STRATEGIES
from tests.strategies.driver import Driven, agent, agents, drive, last_text, plan_of
from tests.strategies.rosters import ROLES
from tests.strategies.settings import SETTINGS

LAST = agent("z")
FOLD = Rules(fold_when_too_long=True)
FOLDS = {
    **dict.fromkeys(("aggregate", "self_mixture", "self_mixture_sequential", "debate", "coordinate", "cascade"), True),
    **dict.fromkeys(("vote", "rank", "review", "refine", "route"), False),
}
"""Whether a setting of theirs has anything folded; a route picks too few for it."""


def folded(count: int, most: int = 3, rules: Rules = FOLD, schema: str | None = None) -> Driven:
    """Carry an aggregation out whose last agent can read so many proposals at the most."""

    def says(call: Call, layer: int, position: int) -> str | None:
        return f"<{call.agent.name} in {layer} at {position}>" if len(call.shown) <= most else None

    return drive(plan_of("aggregate", Roster((agents(count),), LAST), rules=rules, schema=schema), says)


def test_what_fits_is_read_at_once() -> None:
    driven = folded(3)
    assert (driven.calls, driven.degradations) == (4, [])
    assert driven.layers[1].calls[0].least_shown > folded(3, rules=Rules()).layers[1].calls[0].least_shown


def test_what_does_not_fit_is_folded_and_the_last_merge_is_the_answer() -> None:
    driven = folded(6)
    shown = [[proposal.agent for proposal in layer.calls[0].shown] for layer in driven.layers[1:]]
    assert shown == [["a0", "a1", "a2", "a3", "a4", "a5"], ["a0", "a1", "a2"], ["z", "a3", "a4"], ["z", "a5"]]
    assert [layer.answers for layer in driven.layers] == [False, True, False, False, True]
    assert driven.text == "<z in 4 at 0>"
    assert "<z in 2 at 0>" in last_text(driven.plan, driven.layers[3].calls[0])
    assert [one.reason for one in driven.degradations] == ["strategy_fell_back"]


@pytest.mark.parametrize("count", range(3, 12))
def test_a_folds_prompt_stays_short_and_every_proposal_is_read_once(count: int) -> None:
    driven = folded(count, most=min(3, count - 1))
    merges = driven.layers[2:]
    assert all(len(layer.calls[0].shown) <= min(3, count - 1) for layer in merges)
    read = [shown.agent for layer in merges for shown in layer.calls[0].shown if shown.agent != "z"]
    assert read == [f"a{number}" for number in range(count)]
    assert len(driven.layers) == len(driven.plan.layers)


def test_the_length_and_the_schema_are_told_to_the_last_merge_alone() -> None:
    driven = folded(6, rules=Rules(fold_when_too_long=True, answer_words=50), schema="{}")
    told = ["about 50 words" in last_text(driven.plan, layer.calls[0]) for layer in driven.layers[1:]]
    assert told == [True, False, False, True]
    assert [layer.calls[0].response_schema for layer in driven.layers[1:]] == ["{}", None, None, "{}"]


def test_a_merge_that_failed_leaves_the_best_as_it_was() -> None:
    plan = plan_of("aggregate", Roster((agents(6),), LAST), rules=FOLD)
    driven = drive(plan, lambda call, layer, _: None if layer in (1, 2) else f"{call.agent.name}{layer}")
    assert [proposal.agent for proposal in driven.layers[3].calls[0].shown] == ["a0", "a3", "a4"]
    assert "2 proposals it was to take in are left out" in driven.degradations[1].detail
    assert driven.text == "z4"


def test_the_running_best_stands_in_when_the_last_merge_fails() -> None:
    plan = plan_of("aggregate", Roster((agents(4),), LAST), rules=FOLD)
    driven = drive(plan, lambda call, layer, _: None if layer in (1, 3) else f"{call.agent.name}{layer}")
    assert driven.text == "z2"


@pytest.mark.parametrize(("count", "rules"), [(6, Rules()), (2, FOLD)])
def test_nothing_is_folded_where_it_is_not_allowed_or_would_not_help(count: int, rules: Rules) -> None:
    driven = folded(count, most=1, rules=rules)
    assert len(driven.layers) == 2 == len(driven.plan.layers)
    assert driven.text == "<a0 in 0 at 0>"


@pytest.mark.parametrize(("strategy", "folds"), FOLDS.items())
def test_every_strategy_that_aggregates_can_fold(strategy: str, *, folds: bool) -> None:
    rule = STRATEGIES[strategy]
    outlines = [rule.outline(one.roster, rule.read(one.options)) for one in SETTINGS if one.strategy == strategy]
    assert any(layer.folds for outline in outlines for layer in outline) is folds


def test_a_route_that_picks_enough_can_fold() -> None:
    route = STRATEGIES["route"]
    wide = Roster((tuple(agent(f"p{number}", labels=("x",)) for number in range(3)),), LAST, ROLES)
    assert any(layer.folds for layer in route.outline(wide, route.read({"pick": 3, "then": "aggregate"})))
