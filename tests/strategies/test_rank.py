"""A judge says which proposal is returned, word for word."""

import json

import pytest

from moa_server.domain.mixture import Roster
from moa_server.domain.strategy import Call
from moa_server.strategies.rank import RANK, read_scores
from tests.strategies.driver import Says, agent, agents, drive, last_text, plan_of
from tests.strategies.rosters import FOUR, ONE, setting

SETTINGS = (
    setting("rank", (FOUR,), (5, 2), last=None),
    setting("rank", (FOUR,), (16, 2), method="pairwise", last=None),
    setting("rank", (ONE,), (4, 2), samples=3, last=None),
)

ROSTER = Roster((agents(3),), None, {"judge": agent("judge")})
TEXTS = ("first ", "second\n", "third")


def judged(verdict: str | None) -> Says:
    return lambda call, _layer, position: verdict if call.agent.name == "judge" else TEXTS[position]


def test_the_highest_score_is_the_answer_word_for_word() -> None:
    driven = drive(plan_of("rank", ROSTER), judged('{"scores": [3, 9, 4]}'))
    assert (driven.calls, driven.text) == (4, "second\n")
    assert driven.decisions[0].chosen == ("a1", "a2", "a0")


def test_the_judge_sees_neither_names_nor_models() -> None:
    driven = drive(plan_of("rank", ROSTER, options={"rubric": ("kind",)}), judged("{}"))
    said = last_text(driven.plan, driven.layers[1].calls[0])
    assert "a0" not in said
    assert "by these criteria: kind." in said


@pytest.mark.parametrize(
    "verdict",
    [
        None,
        "the second",
        '{"scores": [1, 2]}',
        '{"scores": [1, 2, "3"]}',
        '{"scores": [1, 2, true]}',
        '{"scores": [0, 0, 1e999]}',
    ],
)
def test_without_a_verdict_the_weightiest_is_the_answer(verdict: str | None) -> None:
    driven = drive(plan_of("rank", ROSTER), judged(verdict))
    assert driven.text == "first "
    assert [one.reason for one in driven.degradations] == ["strategy_fell_back"]


def test_equal_scores_go_to_the_weightier_then_to_the_first() -> None:
    heavy = Roster(((agent("a"), agent("b", weight=2.0), agent("c")),), None, ROSTER.roles)
    assert drive(plan_of("rank", heavy), judged('{"scores": [5, 5, 5]}')).text == "second\n"
    assert drive(plan_of("rank", ROSTER), judged('{"scores": [5, 5, 5]}')).text == "first "


def test_pairs_are_judged_in_both_orders_so_that_position_earns_nothing() -> None:
    plan = plan_of("rank", ROSTER, options={"method": "pairwise"})
    biased = drive(plan, judged('{"better": 1}'))
    assert biased.calls == 3 + 6
    assert biased.decisions[0].detail == "scores 4, 4, 4"

    def fair(call: Call, layer: int, position: int) -> str:
        if not layer:
            return TEXTS[position]
        texts = [shown.text for shown in call.shown]
        return json.dumps({"better": texts.index("third") + 1 if "third" in texts else 0})

    assert drive(plan, fair).text == "third"


def test_a_judge_that_failed_on_some_pairs_still_decides() -> None:
    plan = plan_of("rank", ROSTER, options={"method": "pairwise"})

    def says(_call: Call, layer: int, position: int) -> str | None:
        return TEXTS[position] if not layer else '{"better": 2}' if position == 0 else None

    driven = drive(plan, says)
    assert (driven.text, driven.degradations) == ("second\n", [])


def test_a_single_proposal_needs_no_judge() -> None:
    driven = drive(plan_of("rank", ROSTER), lambda _call, _layer, position: "only" if position == 2 else None)
    assert (driven.calls, driven.text) == (3, "only")


def test_scores_are_numbers_from_0_to_10() -> None:
    assert read_scores('{"scores": [0, 10.0]}', 2) == [0.0, 10.0]
    assert read_scores('{"scores": [-1, 5]}', 2) is None
    assert read_scores(f'{{"scores": [{"9" * 400}, 5]}}', 2) is None


def test_a_judge_and_a_rubric_are_needed() -> None:
    problems = [*RANK.problems(Roster((agents(2),)), RANK.read({"rubric": ()}))]
    assert ["judge" in problems[0], "rubric" in problems[1]] == [True, True]
