"""Agents review one another, and a chairman answers."""

from moa_server.domain.mixture import Roster, Rules
from tests.strategies.driver import agent, agents, drive, last_text, named, plan_of
from tests.strategies.rosters import THREE, setting

SETTINGS = (setting("review", (THREE,), (7, 3)),)
LAST = agent("z")
COUNCIL = Roster((agents(3),), LAST)


def test_a_review_is_two_calls_an_agent_and_the_chairman() -> None:
    driven = drive(plan_of("review", COUNCIL, rules=Rules(answer_words=90)), named)
    assert (driven.calls, driven.text) == (7, "<z in 2 at 0>")
    said = last_text(driven.plan, driven.layers[2].calls[0])
    assert "[[begin answer 3 | 5f1c0ffee9a84b21]]\n<a2 in 0 at 2>" in said
    assert "[[begin review 1 | 5f1c0ffee9a84b21]]\n<a0 in 1 at 0>" in said
    assert "about 90 words" in said


def test_reviewers_see_all_answers_under_the_same_numbers() -> None:
    driven = drive(plan_of("review", COUNCIL), named)
    assert len({call.shown for call in driven.layers[1].calls}) == 1
    assert "about" not in last_text(driven.plan, driven.layers[1].calls[0]).split("[[end answer 3")[1]


def test_the_chairman_answers_without_reviews_when_all_reviewers_failed() -> None:
    driven = drive(plan_of("review", COUNCIL), lambda *call: None if call[1] == 1 else named(*call))
    assert driven.text == "<z in 2 at 0>"
    assert [p.agent for p in driven.layers[2].calls[0].shown] == ["a0", "a1", "a2"]


def test_criticism_never_stands_in_for_the_answer() -> None:
    driven = drive(plan_of("review", COUNCIL), lambda *call: None if call[0].agent.name == "z" else named(*call))
    assert driven.text == "<a0 in 0 at 0>"
    assert driven.layers[-1].stand_ins == driven.layers[-1].calls[0].shown[: len(driven.layers[-1].stand_ins or ())]
    assert not any(one.agent.startswith("critic") for one in driven.layers[-1].stand_ins or ())
