"""Refusals are told from answers, and left out while enough others hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain.degradation import DegradationReason
from moa_server.domain.mixture import Rules
from moa_server.domain.proposal import Proposal
from moa_server.engine.runs.refusals import is_refusal, sift
from tests.engine.facts import closed_layers, succeeded
from tests.engine.fakes import FakeModel, saying, spec, texts
from tests.engine.houses import OpenHouse

NO = "I'm sorry, but I can't help with that."


@pytest.mark.parametrize(
    "text",
    [
        NO,
        "I’m sorry, but I can’t assist with that request.",
        "Sorry, I cannot comply.",
        "  I cannot provide instructions for that.",
        "I am unable to answer this question.",
        "I'm not able to discuss that topic. Is there anything else I can do for you?",
        "I must decline to answer.",
        "Unfortunately, I can't help with this.",
        "As an AI language model, I cannot provide that.",
        "I'm sorry, as an AI I won't engage with that.",
        "I apologize, but I won't continue this conversation.",
        "I CAN NOT HELP WITH THAT",
    ],
)
def test_a_text_that_only_declines_is_a_refusal(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "42",
        "I'm sorry to hear that. Try turning it off and on again.",
        "Sorry for the confusion! The capital of Australia is Canberra.",
        "I apologize for the mistake above; 7 times 8 is 56.",
        "I can't help but admire the proof: it is short.",
        "I can't help thinking that it is Paris.",
        "I cannot provide exact figures, but revenue was about 3 million.",
        "I can't answer with certainty; however, it is most likely 1912.",
        "I cannot answer that without the file. Here is how to find it.",
        "I can't provide a proof. The answer is 12.",
        "I am unable to help with the second part:\n1. The first is 7.",
        "I won't continue past 10: 1, 2, 3.",
        "Unfortunately, the train is late.",
        "I can assist with that.",
        "He said: I'm sorry, but I can't help with that.",
        NO + " " + "All the same, this goes on for long. " * 20,
    ],
)
def test_an_answer_that_begins_with_an_apology_is_an_answer(text: str) -> None:
    assert not is_refusal(text)


@given(st.text(max_size=500), st.text(max_size=500))
def test_any_text_can_be_told(before: str, after: str) -> None:
    assert is_refusal(before + NO + after) in (True, False)


def proposals(*said: str) -> tuple[Proposal, ...]:
    return tuple(Proposal(f"a{place}", place, "m", "m", text) for place, text in enumerate(said))


@pytest.mark.parametrize(
    ("said", "needed", "left"),
    [
        (("yes", NO, "yes"), 1, (0, 2)),
        (("yes", NO, "yes"), 2, (0, 2)),
        (("yes", NO, "yes"), 3, (0, 1, 2)),
        ((NO, NO), 1, (0, 1)),
        ((NO, "yes", NO), 1, (1,)),
        ((), 1, ()),
    ],
)
def test_refusals_are_left_out_while_the_quorum_holds(
    said: tuple[str, ...], needed: int, left: tuple[int, ...]
) -> None:
    kept, declined = sift(proposals(*said), needed)
    assert tuple(proposal.position for proposal in kept) == left
    assert {one.position for one in declined} == set(range(len(said))) - set(left)
    assert {one.reason for one in declined} <= {"MODEL_REFUSED"}


async def test_a_refusal_is_shown_to_nobody_and_told(open_house: OpenHouse) -> None:
    boss = FakeModel(spec("boss"))
    models = {"a": FakeModel(spec("a"), saying(NO)), "b": FakeModel(spec("b"), saying("yes")), "boss": boss}
    house = await open_house(models, [["a", "b"]])
    events = await house.carried()
    assert "sorry" not in "".join(texts(boss.asked[0].prompt))
    degradations = succeeded(events).answer.degradations
    assert [(one.reason, one.agent) for one in degradations] == [(DegradationReason.AGENT_REFUSED, "a")]
    [closed, _] = closed_layers(events)
    assert closed.failures[0].usage.calls == 1, "what it used is still counted"


async def test_when_all_refuse_the_refusal_is_passed_on(open_house: OpenHouse) -> None:
    models = {name: FakeModel(spec(name), saying(NO)) for name in ("a", "b", "boss")}
    events = await (await open_house(models, [["a", "b"]])).carried()
    assert NO in "".join(texts(models["boss"].asked[0].prompt))
    assert succeeded(events).answer.text == NO
    assert succeeded(events).answer.degradations == ()


async def test_refusals_count_towards_a_quorum_that_would_be_missed(open_house: OpenHouse) -> None:
    models = {"a": FakeModel(spec("a"), saying(NO)), "b": FakeModel(spec("b")), "boss": FakeModel(spec("boss"))}
    house = await open_house(models, [["a", "b"]], rules=Rules(quorum=2))
    await house.carried()
    assert NO in "".join(texts(models["boss"].asked[0].prompt))
