"""The work is split among specialists, and one combines it."""

import json

import pytest

from moa_server.domain.mixture import Roster
from moa_server.domain.strategy import Call
from moa_server.strategies.coordinate import Unusable, divided
from tests.strategies.driver import MARK, agent, drive, last_text, plan_of, scripted
from tests.strategies.rosters import POOL, ROLES, setting

SETTINGS = (
    setting("coordinate", (POOL,), (9, 5)),
    setting("coordinate", (POOL,), (6, 4), depth=1),
)
LAST = agent("z")
OPEN = Roster((POOL,), LAST, ROLES)


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


def test_a_part_of_the_work_never_stands_in_for_the_answer() -> None:
    driven = drive(plan_of("coordinate", OPEN), scripted(coordinator=work((1, "a", [])), z=None))
    assert (driven.answer, driven.ended) == (None, "NO_PROPOSALS")
