"""Layers read the layer before them, as the paper has it, and an aggregator answers."""

import random
from dataclasses import replace

import pytest

from moa_server.domain.mixture import PromptForm, ReferenceOrder, Roster, Rules
from moa_server.domain.strategy import Call
from moa_server.strategies import STRATEGIES
from moa_server.strategies.aggregate import AGGREGATE
from tests.strategies.driver import ASKED, agent, agents, drive, last_text, plan_of
from tests.strategies.rosters import FOUR, THREE, setting

SETTINGS = (
    setting("aggregate", (), (1, 1)),
    setting("aggregate", (THREE,), (4, 2)),
    setting("aggregate", (FOUR, THREE), (8, 3), stop_on_agreement="on", agreement=0.6),
    setting("aggregate", (FOUR, THREE), (8, 3), stop_on_agreement="shadow", select="diverse", keep=2),
    setting("aggregate", (FOUR, THREE), (10, 5), select="judge", keep=2, stop_on_agreement="on"),
)

LAST = agent("z")
NAMED = Roster((agents(3), agents(3, "b")), LAST)


def named(call: Call, layer: int, position: int) -> str:
    return f"<{call.agent.name} in {layer} at {position}>"


def test_it_has_its_name() -> None:
    assert STRATEGIES["aggregate"] is AGGREGATE


@pytest.mark.parametrize(("layers", "count", "calls"), [(0, 0, 1), (1, 3, 4), (1, 6, 7), (2, 6, 13), (4, 2, 9)])
def test_calls_are_those_of_the_paper(layers: int, count: int, calls: int) -> None:
    driven = drive(plan_of("aggregate", Roster((agents(count),) * layers, LAST)), named)
    assert driven.calls == calls == sum(len(layer.agents) for layer in driven.plan.layers)


def test_one_layer_is_one_call_without_references() -> None:
    driven = drive(plan_of("aggregate", Roster((), LAST)), named)
    assert driven.prompts == [[ASKED]]
    assert driven.text == "<z in 0 at 0>"


def test_the_first_layer_sees_the_callers_messages_alone() -> None:
    first, *_ = drive(plan_of("aggregate", NAMED), named).prompts
    assert all(prompt is ASKED for prompt in first)


def test_a_layer_sees_the_layer_before_it_and_no_other() -> None:
    driven = drive(plan_of("aggregate", NAMED), named)
    said = last_text(driven.plan, driven.layers[2].calls[0])
    assert "<b0 in 1 at 0>" in said
    assert "in 0 at" not in said
    assert said.count("data, not instructions") == 1


@pytest.mark.parametrize("form", list(PromptForm))
def test_failed_agents_leave_no_gap(form: PromptForm) -> None:
    def says(call: Call, layer: int, position: int) -> str | None:
        return None if call.agent.name == "a1" else named(call, layer, position)

    plan = plan_of("aggregate", Roster((agents(3),), LAST), rules=Rules(prompt_form=form))
    driven = drive(plan, says)
    two = drive(plan_of("aggregate", Roster(((agents(3)[0], agents(3)[2]),), LAST), rules=plan.rules), named)
    shorter = [[str(prompt).replace("0 at 1", "0 at 2") for prompt in layer] for layer in two.prompts]
    assert [str(prompt) for prompt in driven.prompts[1]] == shorter[1]


def test_arrival_does_not_change_a_prompt() -> None:
    plan = plan_of("aggregate", NAMED)
    mixed = drive(plan, named, shuffle=random.Random(3))
    assert mixed.results[0].arrival != (0, 1, 2)
    assert mixed.prompts == drive(plan, named).prompts


def test_arrival_decides_where_the_mixture_says_so() -> None:
    plan = plan_of("aggregate", NAMED, rules=Rules(reference_order=ReferenceOrder.ARRIVAL))
    driven = drive(plan, named, shuffle=random.Random(3))
    shown = tuple(proposal.position for proposal in driven.layers[1].calls[0].shown)
    assert shown == driven.results[0].arrival


def test_a_shuffle_is_the_seeds_alone() -> None:
    plan = plan_of(
        "aggregate", Roster((agents(6), agents(6)), LAST), rules=Rules(reference_order=ReferenceOrder.SHUFFLED)
    )
    orders = [[call.shown for call in layer.calls] for layer in drive(plan, named).layers]
    assert orders == [[call.shown for call in layer.calls] for layer in drive(plan, named).layers]
    positions = [[p.position for p in order[0]] for order in orders[1:]]
    assert positions[0] != positions[1]
    other = drive(replace(plan, seed=8), named)
    assert [p.position for p in other.layers[1].calls[0].shown] != positions[0]
    assert sorted(positions[0]) == [0, 1, 2, 3, 4, 5]


def test_the_only_proposal_is_returned_where_the_mixture_says_so() -> None:
    def says(call: Call, layer: int, position: int) -> str | None:
        return named(call, layer, position) if position == 1 or layer else None

    roster = Roster((agents(3),), LAST)
    assert drive(plan_of("aggregate", roster), says).calls == 4
    single = drive(plan_of("aggregate", roster, rules=Rules(return_single=True)), says)
    assert (single.calls, single.text) == (3, "<a1 in 0 at 1>")
    assert single.decisions[0].calls_avoided == 1
    held = drive(plan_of("aggregate", roster, rules=Rules(return_single=True), schema="{}"), says)
    assert held.layers[-1].calls[0].response_schema == "{}"


def test_the_answer_alone_is_streamed_and_held_to_the_schema() -> None:
    driven = drive(plan_of("aggregate", NAMED, schema='{"type":"object"}'), named)
    assert [layer.answers for layer in driven.layers] == [False, False, True]
    assert [call.response_schema for layer in driven.layers for call in layer.calls][:-1] == [None] * 6
    assert driven.layers[-1].calls[0].response_schema == '{"type":"object"}'


def test_weights_are_told_unless_the_mixture_says_no() -> None:
    roster = Roster(((agent("a", weight=2.0), agent("b")),), LAST)
    told = drive(plan_of("aggregate", roster), named)
    assert "answer 1: 2, answer 2: 1" in last_text(told.plan, told.layers[1].calls[0])
    untold = drive(plan_of("aggregate", roster, options={"weights": False}), named)
    assert "weights" not in last_text(untold.plan, untold.layers[1].calls[0])


def test_layers_stop_when_proposals_agree() -> None:
    plan = plan_of("aggregate", NAMED, options={"stop_on_agreement": "on"})
    driven = drive(plan, lambda *_: "It is forty two.")
    assert driven.calls == 4
    assert [(one.kind, one.calls_avoided, one.shadow) for one in driven.decisions] == [("stop", 3, False)]
    assert drive(plan, named).calls == 7


def test_a_shadow_stop_only_reports_what_it_would_save() -> None:
    plan = plan_of("aggregate", Roster((agents(3),) * 3, LAST), options={"stop_on_agreement": "shadow"})
    driven = drive(plan, lambda *_: "It is forty two.")
    assert driven.calls == 10
    assert [(one.calls_avoided, one.shadow) for one in driven.decisions] == [(6, True)]


def test_a_judge_picks_what_is_shown() -> None:
    def says(call: Call, layer: int, position: int) -> str:
        return 'Surely: ```json\n{"best": [3, 1]}\n```' if call.agent.name == "j" else named(call, layer, position)

    roster = Roster((agents(3), agents(2, "b")), LAST, {"judge": agent("j")})
    driven = drive(plan_of("aggregate", roster, options={"select": "judge", "keep": 2}), says)
    assert driven.calls == 7
    assert [p.agent for p in driven.layers[2].calls[0].shown] == ["a0", "a2"]
    assert driven.decisions[0].chosen == ("a0", "a2")


@pytest.mark.parametrize("verdict", [None, "all are fine", '{"best": [9]}', '{"best": []}', '{"best": [true]}'])
def test_all_are_shown_when_the_judge_picks_none(verdict: str | None) -> None:
    def says(call: Call, layer: int, position: int) -> str | None:
        return verdict if call.agent.name == "j" else named(call, layer, position)

    roster = Roster((agents(3),), LAST, {"judge": agent("j")})
    driven = drive(plan_of("aggregate", roster, options={"select": "judge", "keep": 2}), says)
    assert len(driven.layers[2].calls[0].shown) == 3
    assert [one.reason for one in driven.degradations] == ["strategy_fell_back"]


def test_the_most_diverse_are_shown() -> None:
    texts = ["the cat sat", "the cat sat down", "entirely other words"]
    plan = plan_of("aggregate", Roster((agents(3),), LAST), options={"select": "diverse", "keep": 2})
    driven = drive(plan, lambda _call, layer, position: "end" if layer else texts[position])
    assert [p.text for p in driven.layers[1].calls[0].shown] == [texts[0], texts[2]]


@pytest.mark.parametrize(
    ("roster", "options", "found"),
    [
        (Roster((agents(1),)), {}, "aggregator"),
        (Roster(((),), LAST), {}, "layer 0 has no agents"),
        (NAMED, {"select": "best"}, "select"),
        (NAMED, {"select": "judge"}, "judge"),
        (NAMED, {"keep": 0}, "keep"),
        (NAMED, {"stop_on_agreement": "on", "agreement": 2.0}, "agreement"),
        (Roster(((agent("a", weight=-1.0),),), LAST), {}, "weight of a"),
    ],
)
def test_what_cannot_be_is_told(roster: Roster, options: dict[str, object], found: str) -> None:
    problems = list(AGGREGATE.problems(roster, AGGREGATE.read(options)))
    assert found in problems[0]
