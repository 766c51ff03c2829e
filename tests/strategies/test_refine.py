"""A chain of drafts, critiques and edits."""

from moa_server.domain.mixture import Roster
from moa_server.strategies.refine import REFINE
from tests.strategies.driver import agent, agents, drive, last_text, named, plan_of
from tests.strategies.rosters import FOUR, ONE, THREE, setting

SETTINGS = (
    setting("refine", (ONE, THREE, ONE, THREE), (9, 5)),
    setting("refine", (THREE, ONE, FOUR), (9, 4), tasks=("critique", "critique")),
)
LAST = agent("z")
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
    assert "tasks names 1" in next(REFINE.problems(CHAIN, REFINE.read({"tasks": ("edit",)})))


def test_criticism_never_stands_in_for_the_answer() -> None:
    driven = drive(plan_of("refine", CHAIN), lambda *call: None if call[0].agent.name == "z" else named(*call))
    assert driven.text == "<editor0 in 2 at 0>"
    assert driven.layers[-1].stand_ins == driven.layers[-1].calls[0].shown[: len(driven.layers[-1].stand_ins or ())]
    assert not any(one.agent.startswith("critic") for one in driven.layers[-1].stand_ins or ())
