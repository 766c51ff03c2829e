"""Debaters read one another's last answers and their own, until they agree or the rounds are over."""

import pytest

from moa_server.domain.mixture import Roster
from moa_server.domain.strategy import Call
from moa_server.strategies.debate import DEBATE
from tests.strategies.driver import agent, agents, drive, last_text, plan_of
from tests.strategies.rosters import FOUR, setting

SETTINGS = (
    setting("debate", (FOUR,), (12, 3), extract="choice_letter", last=None),
    setting("debate", (FOUR,), (9, 3), rounds=2, neighbours=1, end="aggregate", agreement=0.7),
)

PANEL = Roster((agents(4),))
LETTERS = {"extract": "choice_letter"}


def stubborn(_call: Call, _layer: int, position: int) -> str:
    return "ABCA"[position]


def test_four_agents_in_three_rounds_and_a_vote_are_twelve_calls() -> None:
    driven = drive(plan_of("debate", PANEL, options=LETTERS), stubborn)
    assert (driven.calls, driven.text) == (12, "A")
    assert driven.answer is not None
    assert driven.answer.judgement is not None
    assert [voice.agent for voice in driven.answer.judgement.votes[0].voices] == ["a0", "a3"]


def test_each_sees_its_own_answer_apart_and_all_others() -> None:
    def says(call: Call, layer: int, _position: int) -> str:
        return f"{call.agent.name} in {layer}"

    driven = drive(plan_of("debate", PANEL), says)
    said = last_text(driven.plan, driven.layers[2].calls[1])
    assert "[[begin your own answer | 5f1c0ffee9a84b21]]\na1 in 1\n" in said
    assert [p.agent for p in driven.layers[2].calls[1].shown] == ["a1", "a0", "a2", "a3"]
    assert "in 0" not in said


def test_neighbours_sit_in_a_ring() -> None:
    driven = drive(plan_of("debate", PANEL, options={**LETTERS, "neighbours": 2}), stubborn)
    assert [p.agent for p in driven.layers[1].calls[3].shown] == ["a3", "a0", "a1"]


def test_one_that_failed_reads_the_others_and_speaks_again() -> None:
    def says(call: Call, layer: int, position: int) -> str | None:
        return None if (layer, position) == (0, 2) else stubborn(call, layer, position)

    driven = drive(plan_of("debate", PANEL, options=LETTERS), says)
    assert [p.agent for p in driven.layers[1].calls[2].shown] == ["a0", "a1", "a3"]
    assert "your own answer" not in last_text(driven.plan, driven.layers[1].calls[2])
    assert len(driven.results[1].proposals) == 4


@pytest.mark.parametrize(("early", "calls"), [(True, 8), (False, 12)])
def test_agreement_ends_it(early: bool, calls: int) -> None:  # noqa: FBT001
    def says(call: Call, layer: int, position: int) -> str:
        return "B" if layer else stubborn(call, layer, position)

    driven = drive(plan_of("debate", PANEL, options={**LETTERS, "stop_on_agreement": early}), says)
    assert (driven.calls, driven.text) == (calls, "B")
    stops = [one.calls_avoided for one in driven.decisions if one.kind == "stop"]
    assert stops == ([4] if early else [])


def test_an_aggregator_can_have_the_last_word() -> None:
    roster = Roster((agents(2),), agent("z"))
    options = {"end": "aggregate", "rounds": 2}
    driven = drive(plan_of("debate", roster, options=options), lambda call, _layer, _position: call.agent.name)
    assert (driven.calls, driven.text, driven.layers[-1].answers) == (5, "z", True)
    agreed = drive(plan_of("debate", roster, options=options), lambda *_: "all the same")
    assert agreed.calls == 3


def test_an_aggregator_is_needed_for_its_word() -> None:
    assert "aggregator" in next(iter(DEBATE.problems(PANEL, DEBATE.read({"end": "aggregate"}))))
