"""Reviews, chains of drafts, and mixtures of one agent with itself."""

import pytest

from moa_server.domain.mixture import Roster, Rules
from moa_server.domain.sampling import Sampling
from moa_server.domain.strategy import Call
from moa_server.strategies import STRATEGIES
from tests.strategies.driver import agent, agents, drive, last_text, plan_of

LAST = agent("z")
COUNCIL = Roster((agents(3),), LAST)


def named(call: Call, layer: int, position: int) -> str:
    return f"<{call.agent.name} in {layer} at {position}>"


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


CHAIN = Roster((agents(1, "drafter"), agents(2, "critic"), agents(1, "editor"), agents(2, "critic")), LAST)


def test_a_chain_drafts_criticises_and_edits() -> None:
    driven = drive(plan_of("refine", CHAIN), named)
    assert (driven.calls, driven.text) == (7, "<z in 4 at 0>")
    shown = [[p.agent for p in layer.calls[0].shown] for layer in driven.layers]
    assert shown == [
        [],
        ["drafter0"],
        ["drafter0", "critic0", "critic1"],
        ["editor0"],
        ["editor0", "critic0", "critic1"],
    ]
    assert "do not write it anew" in last_text(driven.plan, driven.layers[1].calls[0]).lower()
    assert "[[begin critique 2 |" in last_text(driven.plan, driven.layers[4].calls[0])


def test_a_draft_stands_until_somebody_has_edited_it() -> None:
    driven = drive(plan_of("refine", CHAIN), lambda *call: None if call[1] in (1, 2) else named(*call))
    assert [p.agent for p in driven.layers[3].calls[0].shown] == ["drafter0"]
    assert driven.text == "<z in 4 at 0>"


def test_aspects_can_be_criticised_one_after_the_other() -> None:
    driven = drive(plan_of("refine", CHAIN, options={"tasks": ("critique",) * 3}), named)
    assert [p.agent for p in driven.layers[4].calls[0].shown] == [
        *("drafter0", "critic0", "critic1", "editor0", "critic0", "critic1")
    ]


def test_every_layer_after_the_first_needs_a_task() -> None:
    refine = STRATEGIES["refine"]
    assert "tasks names 1" in next(iter(refine.problems(CHAIN, refine.read({"tasks": ("edit",)}))))


ALONE = Roster((agents(1),), LAST)


def test_one_agent_is_sampled_and_aggregated() -> None:
    driven = drive(plan_of("self_mixture", ALONE, options={"samples": 6}), named)
    assert (driven.calls, driven.text) == (7, "<z in 1 at 0>")
    assert len(driven.layers[1].calls[0].shown) == 6


def test_the_agent_itself_answers_where_nobody_else_is_named() -> None:
    assert drive(plan_of("self_mixture", Roster(ALONE.layers)), named).text == "<a0 in 1 at 0>"


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


@pytest.mark.parametrize("strategy", ["self_mixture", "self_mixture_sequential"])
def test_it_is_one_agent_that_can_differ_from_itself(strategy: str) -> None:
    rule = STRATEGIES[strategy]
    assert "2 agents" in next(iter(rule.problems(Roster((agents(2),)), rule.read({}))))
    fixed = Roster(((agent("a", sampling=Sampling(temperature=0.0)),),))
    assert "temperature 0" in next(iter(rule.problems(fixed, rule.read({}))))


@pytest.mark.parametrize(("strategy", "roster"), [("review", COUNCIL), ("refine", CHAIN)])
def test_criticism_never_stands_in_for_the_answer(strategy: str, roster: Roster) -> None:
    driven = drive(plan_of(strategy, roster), lambda *call: None if call[0].agent.name == "z" else named(*call))
    assert driven.text in ("<a0 in 0 at 0>", "<editor0 in 2 at 0>")
    assert driven.layers[-1].stand_ins == driven.layers[-1].calls[0].shown[: len(driven.layers[-1].stand_ins or ())]
    assert not any(one.agent.startswith("critic") for one in driven.layers[-1].stand_ins or ())
