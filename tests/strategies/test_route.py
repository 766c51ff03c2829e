"""A router, or rules, pick who answers."""

import pytest

from moa_server.domain.conversation import Message, Role
from moa_server.domain.mixture import Roster
from moa_server.strategies.route import ROUTE
from tests.strategies.driver import agent, agents, drive, last_text, plan_of, scripted
from tests.strategies.rosters import POOL, ROLES, setting

SETTINGS = (
    setting("route", (POOL,), (2, 2)),
    setting("route", (POOL,), (4, 3), pick=2, then="aggregate"),
    setting("route", (POOL,), (1, 1), by="rules", rules=("hello -> law",)),
)
LAST = agent("z")
OPEN = Roster((POOL,), LAST, ROLES)


def test_a_router_sends_the_query_to_one_who_streams_the_answer() -> None:
    driven = drive(plan_of("route", OPEN), scripted(router='{"agents": [2], "reason": "it is\\nabout law"}'))
    assert (driven.calls, driven.text) == (2, "<p1 in 1>")
    assert driven.layers[1].answers
    assert [(one.kind, one.chosen, one.detail) for one in driven.decisions] == [("route", ("p1",), "it is about law")]


def test_a_router_sees_strengths_and_no_names() -> None:
    driven = drive(plan_of("route", OPEN), scripted())
    said = last_text(driven.plan, driven.layers[0].calls[0])
    assert "1. code\n2. law\n3. prose\n" in said
    assert "p1" not in said


@pytest.mark.parametrize("said", [None, "the lawyer", '{"agents": []}', '{"agents": [4]}', '{"agents": ["1"]}'])
def test_the_first_of_the_pool_answer_when_the_router_picks_nobody(said: str | None) -> None:
    driven = drive(plan_of("route", OPEN, options={"pick": 2, "then": "aggregate"}), scripted(router=said))
    assert [call.agent.name for call in driven.layers[1].calls] == ["p0", "p1"]
    assert driven.text == "<z in 2>"
    assert [one.reason for one in driven.degradations] == ["strategy_fell_back"]


@pytest.mark.parametrize(
    ("query", "picked"), [("My PYTHON fails", "p0"), ("sue them", "p1"), ("pursued", "p2"), ("a poem", "p2")]
)
def test_rules_pick_by_words(query: str, picked: str) -> None:
    options = {"by": "rules", "rules": ("c++, python -> code", "court, sue -> law"), "otherwise": "prose"}
    plan = plan_of("route", OPEN, options=options, messages=(Message.of(Role.USER, query),))
    driven = drive(plan, scripted())
    assert (driven.calls, driven.decisions[0].chosen) == (1, (picked,))


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"pick": 2}, "pick is 2"),
        ({"by": "rules"}, "rules are needed"),
        ({"by": "rules", "rules": ("python",)}, "words and a label"),
        ({"by": "rules", "rules": ("x -> music",)}, "leads to 'music'"),
    ],
)
def test_a_route_that_leads_nowhere_is_told(options: dict[str, object], found: str) -> None:
    assert found in next(ROUTE.problems(OPEN, ROUTE.read(options)))


def test_a_pool_needs_labels_to_be_chosen_from() -> None:
    blank = Roster((agents(2),), LAST, ROLES)
    assert "a0 has no labels" in next(ROUTE.problems(blank, ROUTE.read({})))
