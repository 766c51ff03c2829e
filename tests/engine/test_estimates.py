"""Estimates of tokens are corrected for each model by what its endpoint reports."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain.errors import BudgetTooSmall
from moa_server.domain.model import Prompt, Reply
from moa_server.domain.ports import CallTerms
from moa_server.domain.query import Overrides, Query
from moa_server.domain.usage import Budget, Certainty, Usage
from moa_server.engine.plans.estimates import Estimates
from tests.engine.fakes import FakeModel, saying, sizes, spec, texts, user
from tests.engine.houses import House, OpenHouse

LONG = "many words " * 900


def learned(*seen: tuple[int, int]) -> Estimates:
    estimates = Estimates()
    for estimate, reported in seen:
        estimates.learn("m", estimate, reported)
    return estimates


def test_an_estimate_is_as_it_is_until_something_is_known() -> None:
    assert learned().corrected("m", 1000) == 1000
    assert learned((1000, 2000)).corrected("other", 1000) == 1000


def test_a_correction_goes_up_at_once_and_down_slowly() -> None:
    assert learned((1000, 2000)).corrected("m", 1000) == 2000
    assert learned((1000, 2000), (1000, 1000)).corrected("m", 1000) == 1900
    assert learned((1000, 500)).corrected("m", 1000) == 950
    assert learned((1000, 1)).corrected("m", 1000) == 950, "no report moves it further than by half"


def test_a_prompt_has_the_room_that_its_answer_leaves_as_the_model_counts() -> None:
    assert learned().room(spec("m", window=1100), 100) == 1000
    assert learned((1000, 3000)).room(spec("m", window=1100), 100) == 333
    assert [learned().room(spec("m", window=window), 100) for window in (99, 100, 101)] == [0, 0, 1]


def test_nothing_is_reserved_beyond_an_estimate_that_was_never_seen_to_be_too_low() -> None:
    for reported in (500, 1000):
        assert learned((1000, reported)).most("m", 1000) == 1000
    assert learned((1000, 1500)).most("m", 1000) > 1500


@pytest.mark.parametrize(("estimate", "reported"), [(10, 100), (1000, 0), (1000, -1)])
def test_what_tells_nothing_is_not_learned(estimate: int, reported: int) -> None:
    assert learned((estimate, reported)).corrected("m", 1000) == 1000


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**9))))
def test_no_report_makes_a_correction_absurd(seen: list[tuple[int, int]]) -> None:
    assert 500 <= learned(*seen).corrected("m", 1000) <= 4000


@given(st.lists(st.tuples(st.integers(64, 10**6), st.integers(1, 10**9)), min_size=1, max_size=100))
def test_what_is_reserved_is_no_less_than_the_estimate_nor_than_what_was_seen(seen: list[tuple[int, int]]) -> None:
    reserved = learned(*seen).most("m", 1000)
    highest = max(reported / estimate for estimate, reported in seen)
    assert 1000 <= reserved <= 4001
    assert reserved >= min(1000 * highest, 4000)


def test_an_absurd_report_is_forgotten_in_time() -> None:
    assert learned((1000, 10**9)).most("m", 1000) == 4001
    assert learned((1000, 10**9), *[(1000, 700)] * 99).most("m", 1000) == 4001
    assert learned((1000, 10**9), *[(1000, 700)] * 100).most("m", 1000) == 1000


async def test_what_an_endpoint_counted_beyond_the_estimate_is_reserved_and_planned_from_then_on(
    open_house: OpenHouse,
) -> None:
    house = await council(open_house, Counting(3.0))
    before = house.engine.explain(Query(user("one"), "mix")).worst_case
    await house.carried("one")
    after = house.engine.explain(Query(user("one"), "mix")).worst_case
    assert after.tokens > before.tokens
    with pytest.raises(BudgetTooSmall):
        await house.carried("one", overrides=Overrides(budget=Budget(tokens=before.tokens)))


class Counting(FakeModel):
    """A model that counts so many tokens for each that is estimated."""

    def __init__(self, factor: float, certainty: Certainty = Certainty.KNOWN) -> None:
        super().__init__(spec("boss", window=4000), saying("done"))
        self.factor = factor
        self.certainty = certainty

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        reply = await super().speak(prompt, terms)
        size = sum(len(text) for text in texts(prompt)) * 0.325
        usage = Usage(input_tokens=int(size * self.factor), output_tokens=1, certainty=self.certainty)
        return Reply(reply.text, reply.finish_reason, usage, reply.served_model)


async def council(open_house: OpenHouse, boss: FakeModel) -> House:
    return await open_house({"a": FakeModel(spec("a"), saying(LONG)), "boss": boss}, [["a"]])


async def test_the_next_prompt_is_cut_by_what_the_endpoint_reported(open_house: OpenHouse) -> None:
    boss = Counting(2.0)
    house = await council(open_house, boss)
    await house.carried("one")
    await house.carried("two")
    first, second = sizes(boss)
    assert 0.4 < second / first < 0.6


@pytest.mark.parametrize(("factor", "certainty"), [(2.0, Certainty.ESTIMATED), (1.0, Certainty.KNOWN)])
async def test_a_guess_or_a_good_estimate_changes_nothing(
    open_house: OpenHouse, factor: float, certainty: Certainty
) -> None:
    boss = Counting(factor, certainty)
    house = await council(open_house, boss)
    await house.carried("one")
    await house.carried("two")
    first, second = sizes(boss)
    assert 0.95 < second / first < 1.06
