"""The weighted majority decides, ties by rule, and what cannot change the outcome is not waited for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain.agent import Sampling
from moa_server.domain.mixture import Roster
from moa_server.domain.model import FinishReason
from moa_server.strategies.parts.ballots import normalised_text
from moa_server.strategies.parts.election import Counting, settled
from moa_server.strategies.vote import VOTE
from tests.strategies.driver import Driven, Says, agent, agents, drive, plan_of, proposal
from tests.strategies.rosters import FOUR, ONE, setting

SETTINGS = (
    setting("vote", (FOUR,), (4, 1), last=None),
    setting("vote", (ONE,), (9, 1), samples=9, extract="choice_letter", last=None),
    setting("vote", (FOUR,), (8, 1), samples=2, extract="last_number", tie="seeded", last=None),
    setting("vote", (FOUR,), (4, 1), extract="json_field", whole=True, last=None),
    setting("vote", (FOUR,), (4, 1), extract="regex", pattern=r"answer: (\w+)", stop_when_decided=False, last=None),
)

WEIGHTS = st.sampled_from([0.0, 0.1, 0.2, 0.3, 1.0, 2.5])
COUNTING = Counting(normalised_text, "first", 7)


def saying(*texts: str | None) -> Says:
    return lambda _call, _layer, position: texts[position]


def voted(*texts: str | None, weights: tuple[float, ...] = (), **options: object) -> Driven:
    voters = tuple(agent(f"a{at}", weight=weights[at] if weights else 1.0) for at in range(len(texts)))
    return drive(plan_of("vote", Roster((voters,)), options=options), saying(*texts))


def test_the_majority_is_the_answer_and_dissent_is_told() -> None:
    driven = voted("It is 4", "so 5.", "4.0!", extract="last_number")
    assert driven.text == "4"
    assert driven.answer is not None
    assert driven.answer.judgement is not None
    votes = driven.answer.judgement.votes
    assert [(vote.choice, vote.weight, [one.agent for one in vote.voices]) for vote in votes] == [
        ("4", 2.0, ["a0", "a2"]),
        ("5", 1.0, ["a1"]),
    ]
    assert driven.answer.finish_reason is FinishReason.STOP


def test_weights_count() -> None:
    assert voted("x", "y", "y", weights=(3.0, 1.0, 1.0)).text == "x"
    assert voted("x", "y", "y", weights=(0.3, 0.1, 0.2)).text == "x"


def test_a_text_without_a_vote_counts_nowhere() -> None:
    assert voted("?", "?", "3", extract="last_number").text == "3"


def test_a_whole_text_can_be_the_answer() -> None:
    assert voted("I say 4", "4 it is", "4", extract="last_number", whole=True).text == "I say 4"
    assert voted("Paris!", "paris", "Rome").text == "Paris!"


def test_a_schema_asks_every_voter_and_keeps_the_answer_whole() -> None:
    plan = plan_of("vote", Roster((agents(2),)), options={"extract": "json_field"}, schema="{}")
    driven = drive(plan, saying('{"answer": 1}', '{"answer": 1}'))
    assert driven.text == '{"answer": 1}'
    assert {call.response_schema for call in driven.layers[0].calls} == {"{}"}


def test_a_tie_goes_to_the_first_or_to_the_seed() -> None:
    assert voted("x", "y").text == "x"
    winners = set()
    for seed in range(20):
        plan = plan_of("vote", Roster((agents(2),)), options={"tie": "seeded"}, seed=seed)
        winners.add(drive(plan, saying("x", "y")).text)
        assert drive(plan, saying("x", "y")).text == drive(plan, saying("y", "x")).text
    assert winners == {"x", "y"}


def test_the_weightiest_text_is_the_answer_when_nobody_votes() -> None:
    driven = voted("hm", "well", weights=(1.0, 2.0), extract="last_number")
    assert driven.text == "well"
    assert [one.reason for one in driven.degradations] == ["strategy_fell_back"]


def test_the_rest_is_cut_as_soon_as_the_vote_is_decided() -> None:
    driven = voted("x", "x", "x", "y", "y", extract="choice_letter", letters="XY")
    assert [p.text for p in driven.results[0].proposals] == ["x", "x", "x"]
    assert (driven.decisions[0].calls_avoided, driven.decisions[0].calls_cut) == (0, 2)


def test_a_lead_that_could_be_met_is_not_enough() -> None:
    enough = settled(COUNTING, (1.0, 1.0, 1.0, 1.0), whole=False)
    assert not enough((proposal(agent("a"), 0, "x"), proposal(agent("b"), 1, "x")))
    assert not enough(())


def test_samples_of_one_agent_differ_in_their_seeds() -> None:
    voter = agent("a", sampling=Sampling(temperature=0.7, seed=3))
    driven = drive(plan_of("vote", Roster(((voter,),)), options={"samples": 3}), saying("x", "y", "y"))
    assert [call.agent.sampling.seed for call in driven.layers[0].calls] == [3, 4, 5]
    assert driven.text == "y"


@given(
    st.lists(st.tuples(st.sampled_from(["x", "y", "z", " "]), WEIGHTS), min_size=1, max_size=7),
    st.data(),
    st.booleans(),
)
def test_a_settled_vote_cannot_be_changed(ballots: list[tuple[str, float]], data: st.DataObject, whole: bool) -> None:  # noqa: FBT001
    weights = tuple(weight for _, weight in ballots)
    cast = tuple(proposal(agent("a", weight=weight), at, text) for at, (text, weight) in enumerate(ballots))
    came = sorted(data.draw(st.sets(st.integers(0, len(cast) - 1))))
    early = tuple(cast[at] for at in came)
    if settled(COUNTING, weights, whole=whole)(early):
        first, last = COUNTING.choices(early)[0], COUNTING.choices(cast)[0]
        assert first.text == last.text
        assert not whole or first.voters[0] is last.voters[0]


@given(st.permutations([("x", 0.1), ("x", 0.2), ("y", 0.3)]))
def test_no_rounding_breaks_a_tie(ballots: list[tuple[str, float]]) -> None:
    cast = tuple(proposal(agent("a", weight=weight), at, text) for at, (text, weight) in enumerate(ballots))
    assert COUNTING.choices(cast)[0].text == ballots[0][0]


@pytest.mark.parametrize(
    ("roster", "options", "found"),
    [
        (Roster(), {}, "0 layers"),
        (Roster((agents(2), agents(2))), {}, "2 layers"),
        (Roster((agents(2),)), {"samples": 0}, "samples"),
        (Roster((agents(2),)), {"tie": "random"}, "tie"),
        (Roster(((agent("a", weight=0.0),),)), {}, "weigh nothing"),
        (Roster(((agent("a", sampling=Sampling(temperature=0)),),)), {"samples": 3}, "temperature 0"),
    ],
)
def test_what_cannot_be_is_told(roster: Roster, options: dict[str, object], found: str) -> None:
    assert found in next(VOTE.problems(roster, VOTE.read(options)))
