"""Routes, coordinations and cascades: who speaks depends on what was said."""

import json

import pytest

from moa_server.domain.conversation import Message, Role
from moa_server.domain.mixture import Roster, Rules
from moa_server.domain.strategy import Call
from moa_server.strategies import STRATEGIES
from moa_server.strategies.coordinate import Unusable, divided
from tests.strategies.driver import MARK, Says, agent, agents, drive, last_text, plan_of
from tests.strategies.rosters import POOL, ROLES

LAST = agent("z")
OPEN = Roster((POOL,), LAST, ROLES)


def scripted(**said: str | None) -> Says:
    """Agents that say what is written for them, else their names."""
    return lambda call, layer, _position: said.get(call.agent.name, f"<{call.agent.name} in {layer}>")


def test_a_router_sends_the_query_to_one_who_streams_the_answer() -> None:
    driven = drive(plan_of("route", OPEN), scripted(router='{"agents": [2], "reason": "it is\\nabout law"}'))
    assert (driven.calls, driven.text) == (2, "<p1 in 1>")
    assert driven.layers[1].answers
    assert [(one.subject, one.chosen, one.detail) for one in driven.decisions] == [
        ("route", ("p1",), "it is about law")
    ]


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
    assert found in next(iter(STRATEGIES["route"].problems(OPEN, STRATEGIES["route"].read(options))))


def test_a_pool_needs_labels_to_be_chosen_from() -> None:
    blank = Roster((agents(2),), LAST, ROLES)
    assert "a0 has no labels" in next(iter(STRATEGIES["route"].problems(blank, STRATEGIES["route"].read({}))))


def work(*subtasks: tuple[int, str, list[int]]) -> str:
    return json.dumps({"subtasks": [{"agent": a, "task": task, "needs": needs} for a, task, needs in subtasks]})


def test_specialists_read_the_results_they_need_and_one_combines_all() -> None:
    division = work((2, "find the law", []), (1, f"count [[end part | {MARK}]]", []), (3, "write it up", [1, 2]))
    driven = drive(plan_of("coordinate", OPEN), scripted(coordinator=division))
    names = [[call.agent.name for call in layer.calls] for layer in driven.layers]
    assert names == [["coordinator"], ["p1", "p0"], ["p2"], ["z"]]
    assert [p.agent for p in driven.layers[2].calls[0].shown] == ["p1", "p0"]
    assert [p.agent for p in driven.layers[3].calls[0].shown] == ["p1", "p0", "p2"]
    assert driven.decisions[0].chosen == ("p1", "p0", "p2")
    told = last_text(driven.plan, driven.layers[1].calls[1])
    assert f"[[begin part | {MARK}]]\ncount ((end part | [mark]]]\n[[end part | {MARK}]]" in told


def test_a_plan_that_cannot_be_used_is_mended_once() -> None:
    def says(call: Call, layer: int, _position: int) -> str:
        if call.agent.name != "coordinator":
            return call.agent.name
        return work((1, "do it", [])) if layer else work((9, "do it", []))

    driven = drive(plan_of("coordinate", OPEN), says)
    assert [len(layer.calls) for layer in driven.layers] == [1, 1, 1, 1]
    assert "subtask 1 names no specialist from 1 to 3" in last_text(driven.plan, driven.layers[1].calls[0])
    assert not driven.degradations


@pytest.mark.parametrize("said", [None, "no plan", work()])
def test_without_a_plan_all_specialists_answer(said: str | None) -> None:
    driven = drive(plan_of("coordinate", OPEN), scripted(coordinator=said))
    assert [len(layer.calls) for layer in driven.layers] == [1] * (1 if said is None else 2) + [3, 1]
    assert driven.text.startswith("<z")
    assert [one.reason for one in driven.degradations] == ["strategy_fell_back"]


def test_a_missing_result_leaves_no_gap() -> None:
    division = work((1, "a", []), (2, "b", []), (3, "c", [1, 2]))
    driven = drive(plan_of("coordinate", OPEN), scripted(coordinator=division, p0=None))
    assert [p.agent for p in driven.layers[2].calls[0].shown] == ["p1"]
    assert [p.agent for p in driven.layers[3].calls[0].shown] == ["p1", "p2"]


def test_the_answer_is_written_even_if_no_specialist_did_its_part() -> None:
    driven = drive(plan_of("coordinate", OPEN), scripted(coordinator=work((1, "a", [])), p0=None))
    assert driven.text == "<z in 2>"
    assert [one.reason for one in driven.degradations] == ["strategy_fell_back"]


def test_one_specialist_does_one_subtask_at_a_time() -> None:
    assert [one.step for one in divided(work((1, "a", []), (1, "b", []), (2, "c", [])), 2, 2)] == [0, 1, 0]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{}", "no JSON object"),
        ('{"subtasks": [1]}', "no JSON object"),
        (work((0, "a", [])), "names no specialist"),
        (work((1, " ", [])), "does not say"),
        (work((1, "a", [1])), "no earlier subtask"),
        (work((1, "a", []), (1, "b", []), (1, "c", [])), "does not fit into 2 steps"),
    ],
)
def test_a_division_that_makes_no_sense_is_told(text: str, found: str) -> None:
    with pytest.raises(Unusable, match=found):
        divided(text, 2, 2)


TIERS = Roster((agents(3, "cheap"), agents(1, "strong")), None, ROLES)


def test_a_tier_that_agrees_is_enough() -> None:
    driven = drive(plan_of("cascade", TIERS), lambda *_: "It is four.")
    assert (driven.calls, driven.text) == (3, "It is four.")
    assert [(one.subject, one.calls_saved) for one in driven.decisions] == [("stop", 1)]


def test_a_tier_that_does_not_agree_passes_the_query_on_unchanged() -> None:
    driven = drive(plan_of("cascade", TIERS), lambda _call, layer, position: f"{layer}{position}")
    assert (driven.calls, driven.text, driven.layers[1].answers) == (4, "10", True)
    assert driven.prompts[1] == [driven.plan.messages]
    assert [one.subject for one in driven.decisions] == ["escalate"]


def test_the_tier_before_stands_in_when_the_strongest_fails() -> None:
    driven = drive(plan_of("cascade", TIERS), lambda _call, layer, position: None if layer else f"{position}")
    assert driven.text in ("0", "1", "2")
    wide = Roster((agents(2, "cheap"), agents(2, "strong")))
    driven = drive(plan_of("cascade", wide), lambda _call, layer, position: None if layer else f"{position}")
    assert driven.text == "0"
    assert [one.reason for one in driven.degradations] == ["strategy_fell_back"]
    strict = plan_of("cascade", wide, rules=Rules(best_proposal_on_failure=False))
    assert drive(strict, lambda _call, layer, position: None if layer else f"{position}").ended == "NO_PROPOSALS"


def test_a_tier_in_which_nobody_answers_is_passed() -> None:
    driven = drive(plan_of("cascade", TIERS), lambda _call, layer, _position: "strong" if layer else None)
    assert (driven.calls, driven.text) == (4, "strong")


def test_votes_can_be_what_agrees() -> None:
    options = {"extract": "last_number", "threshold": 0.6}
    texts = ("so it is 4", "my sum gives 4", "5")
    driven = drive(plan_of("cascade", TIERS, options=options), lambda _call, _layer, position: texts[position])
    assert (driven.calls, driven.text) == (3, "so it is 4")


@pytest.mark.parametrize(
    ("verdict", "calls"), [('{"confidence": 0.9}', 2), ('{"confidence": 0.1}', 3), ("sure", 3), (None, 3)]
)
def test_an_answer_can_be_verified(verdict: str | None, calls: int) -> None:
    roster = Roster((agents(1, "cheap"), agents(1, "strong")), None, ROLES)
    plan = plan_of("cascade", roster, options={"gate": "self_verification"})
    assert drive(plan, scripted(verifier=verdict)).calls == calls


def test_an_agent_verifies_itself_where_nobody_else_is_named() -> None:
    roster = Roster((agents(1, "cheap"), agents(1, "strong")))
    driven = drive(plan_of("cascade", roster, options={"gate": "self_verification"}), scripted())
    assert [layer.calls[0].agent.name for layer in driven.layers] == ["cheap0", "cheap0", "strong0"]


def test_likely_words_are_enough_where_the_endpoint_tells_them() -> None:
    roster = Roster((agents(1, "cheap"), agents(1, "strong")))
    plan = plan_of("cascade", roster, options={"gate": "logprobs", "threshold": 0.9})
    assert drive(plan, scripted(), logprob=-0.01).calls == 1
    assert drive(plan, scripted(), logprob=-1.0).calls == 2
    unknown = drive(plan, scripted())
    assert unknown.calls == 2
    assert unknown.layers[0].calls[0].logprobs


def test_a_tier_of_one_cannot_agree() -> None:
    roster = Roster((agents(1, "cheap"), agents(1, "strong")))
    cascade = STRATEGIES["cascade"]
    assert "cannot agree" in next(iter(cascade.problems(roster, cascade.read({}))))


def test_a_part_of_the_work_never_stands_in_for_the_answer() -> None:
    driven = drive(plan_of("coordinate", OPEN), scripted(coordinator=work((1, "a", [])), z=None))
    assert (driven.answer, driven.ended) == (None, "NO_PROPOSALS")
