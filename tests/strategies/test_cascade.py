"""Dearer tiers are asked only when the cheaper are not certain."""

import pytest

from moa_server.domain.mixture import Roster, Rules
from moa_server.domain.proposal import Proposal
from moa_server.strategies.cascade import CASCADE, by_likelihood
from tests.strategies.driver import agents, drive, plan_of, scripted
from tests.strategies.rosters import FOUR, ONE, ROLES, THREE, setting

SETTINGS = (
    setting("cascade", (THREE, ONE), (4, 2), threshold=0.6),
    setting("cascade", (ONE, THREE, FOUR), (13, 4), samples=2, extract="choice_letter"),
    setting("cascade", (ONE, ONE, ONE), (5, 5), gate="self_verification"),
    setting("cascade", (ONE, THREE), (4, 2), gate="logprobs", last=None),
)
TIERS = Roster((agents(3, "cheap"), agents(1, "strong")), None, ROLES)


def test_a_tier_that_agrees_is_enough() -> None:
    driven = drive(plan_of("cascade", TIERS), lambda *_: "It is four.")
    assert (driven.calls, driven.text) == (3, "It is four.")
    assert [(one.kind, one.calls_avoided) for one in driven.decisions] == [("stop", 1)]


def test_a_tier_that_does_not_agree_passes_the_query_on_unchanged() -> None:
    driven = drive(plan_of("cascade", TIERS), lambda _call, layer, position: f"{layer}{position}")
    assert (driven.calls, driven.text, driven.layers[1].answers) == (4, "10", True)
    assert driven.prompts[1] == [driven.plan.messages]
    assert [one.kind for one in driven.decisions] == ["escalate"]


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
    assert [one.kind for one in drive(plan, scripted(), logprob=-1.0).decisions] == ["escalate"]


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_without_a_sign_a_tier_is_passed_whatever_the_threshold(threshold: float) -> None:
    roster = Roster((agents(2, "cheap"), agents(1, "strong")))
    plan = plan_of("cascade", roster, options={"gate": "logprobs", "threshold": threshold})
    unknown = drive(plan, scripted())
    assert unknown.calls == 3
    assert unknown.layers[0].calls[0].logprobs
    [decision] = unknown.decisions
    assert (decision.kind, decision.detail) == (
        "escalate",
        "tier 1 of 2 gave no log-probabilities to judge it by",
    )


def proposal(text: str, mean_logprob: float | None = None) -> Proposal:
    return Proposal("a", 0, "m", "m", text, mean_logprob=mean_logprob)


def test_of_a_tier_only_those_are_judged_that_give_a_sign() -> None:
    said = (proposal("certain", -0.01), proposal("silent"), proposal("not certain", -2.0))
    opinion = by_likelihood(said)
    assert (opinion.best.text, round(opinion.confidence or 0, 2)) == ("certain", 0.99)
    assert by_likelihood((proposal("silent"),)).confidence is None


def test_the_outline_says_who_is_asked_for_log_probabilities() -> None:
    roster = Roster((agents(1, "cheap"), agents(1, "strong")))
    for gate in ("logprobs", "self_verification"):
        layers = CASCADE.outlined(roster, CASCADE.read({"gate": gate}), Rules())
        assert [layer.logprobs for layer in layers][:: len(layers) - 1] == [gate == "logprobs", False]


def test_a_tier_of_one_cannot_agree() -> None:
    roster = Roster((agents(1, "cheap"), agents(1, "strong")))
    assert "cannot agree" in next(CASCADE.problems(roster, CASCADE.read({})))
