"""No run spends more than its budget."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain.errors import BudgetExceeded
from moa_server.domain.usage import Budget, Certainty, Usage
from moa_server.engine.runs.spending import Spending

WORST = Usage(calls=1, input_tokens=10, output_tokens=10, cost_nanousd=100)


def test_what_is_reserved_counts_until_it_is_settled() -> None:
    spending = Spending(Budget(tokens=30))
    spending.reserve(WORST)
    with pytest.raises(BudgetExceeded):
        spending.reserve(WORST)
    spending.settle(WORST, Usage(calls=1, input_tokens=5, output_tokens=5, cost_nanousd=50))
    spending.reserve(WORST)
    assert spending.spent == Usage(calls=1, input_tokens=5, output_tokens=5, cost_nanousd=50)


def test_what_a_call_may_have_used_beyond_its_estimate_stays_set_aside() -> None:
    spending = Spending(Budget(tokens=50, cost_nanousd=250))
    spending.reserve(WORST)
    spending.settle(WORST, Usage(1, 10, 2, certainty=Certainty.ESTIMATED, cost_nanousd=60))
    assert spending.spent == Usage(1, 10, 2, certainty=Certainty.ESTIMATED, cost_nanousd=60)
    spending.reserve(WORST)
    spending.settle(WORST, Usage(calls=1, input_tokens=1, cost_nanousd=10))
    spending.reserve(WORST)
    with pytest.raises(BudgetExceeded):
        spending.reserve(Usage(calls=1, input_tokens=10))


def test_what_is_kept_for_planned_calls_is_not_had_by_others() -> None:
    spending = Spending(Budget(calls=3, tokens=60))
    spending.keep(Usage(calls=1, input_tokens=20))
    spending.reserve(WORST, extra=True)
    spending.settle(WORST, Usage(calls=1, input_tokens=10, output_tokens=10))
    spending.reserve(WORST, extra=True)
    with pytest.raises(BudgetExceeded):
        spending.reserve(WORST, extra=True)
    spending.reserve(WORST)


def test_a_call_of_unknown_price_cannot_be_kept_within_a_limit_of_money() -> None:
    with pytest.raises(BudgetExceeded):
        Spending(Budget(cost_nanousd=10**9)).reserve(Usage(calls=1, cost_nanousd=None))


@pytest.mark.parametrize(
    ("budget", "limit"),
    [(Budget(calls=1), "calls"), (Budget(tokens=39), "tokens"), (Budget(cost_nanousd=199), "cost_nanousd")],
)
def test_the_limit_that_stops_a_call_is_named_with_what_it_allows(budget: Budget, limit: str) -> None:
    spending = Spending(budget)
    spending.reserve(WORST)
    with pytest.raises(BudgetExceeded) as told:
        spending.reserve(WORST)
    assert told.value.metadata == {"limit": limit, "allowed": str(getattr(budget, limit))}


def test_a_budget_can_be_used_up_to_the_last_of_it() -> None:
    spending = Spending(Budget(calls=2, tokens=40, cost_nanousd=200))
    spending.reserve(WORST)
    spending.reserve(WORST)


def test_what_was_spent_lost_and_set_aside_before_counts_from_the_beginning() -> None:
    budget = Budget(calls=3, tokens=60, cost_nanousd=300)
    past = {"spent": WORST, "lost": WORST, "set_aside": Usage(0, 10, 10, cost_nanousd=100)}
    for left_out in past:
        Spending(budget, **{name: usage for name, usage in past.items() if name != left_out}).reserve(WORST)
    with pytest.raises(BudgetExceeded):
        Spending(budget, **past).reserve(WORST)


def test_a_call_that_was_lost_is_told_as_made_and_of_unknown_use() -> None:
    assert Spending(Budget(), spent=WORST, lost=WORST + WORST).spent == WORST + Usage.unknown(2)


def test_what_may_have_been_used_is_told_count_by_count() -> None:
    spending = Spending(Budget())
    worst = Usage(1, 10, 20, cost_nanousd=100)
    spending.reserve(worst)
    assert spending.settle(worst, Usage(1, 4, 5, certainty=Certainty.ESTIMATED, cost_nanousd=30)) == Usage(
        0, 6, 15, cost_nanousd=70
    )
    spending.reserve(worst)
    over = Usage(2, 11, 21, certainty=Certainty.ESTIMATED, cost_nanousd=101)
    assert spending.settle(worst, over) == Usage(), "never less than nothing"
    spending.reserve(replace(worst, cost_nanousd=None))
    unpriced = Usage(1, 10, 20, certainty=Certainty.ESTIMATED, cost_nanousd=None)
    assert spending.settle(replace(worst, cost_nanousd=None), unpriced) == Usage()


def test_where_it_is_not_known_what_a_call_cost_all_its_money_stays_set_aside() -> None:
    spending = Spending(Budget())
    spending.reserve(WORST)
    unpriced = Usage(1, 10, 10, certainty=Certainty.UNKNOWN, cost_nanousd=None)
    assert spending.settle(WORST, unpriced) == Usage(cost_nanousd=100)


def test_what_is_set_aside_for_other_calls_stays_so_when_one_is_over() -> None:
    spending = Spending(Budget(calls=3))
    for _ in range(2):
        spending.reserve(WORST)
    spending.settle(WORST, WORST)
    spending.reserve(WORST)
    with pytest.raises(BudgetExceeded):
        spending.reserve(WORST)


def test_no_money_is_spent_where_it_is_not_known_what_lost_calls_have_cost() -> None:
    with pytest.raises(BudgetExceeded):
        Spending(Budget(cost_nanousd=10**9), lost=Usage.unknown(1)).reserve(WORST)


def test_a_call_whose_use_is_known_gives_all_the_rest_back() -> None:
    spending = Spending(Budget(tokens=25))
    spending.reserve(WORST)
    assert spending.settle(WORST, Usage(1, 1, 1)) == Usage()
    spending.reserve(WORST)


def test_a_sum_with_an_unknown_cost_is_unknown() -> None:
    total = Usage(calls=1, cost_nanousd=5) + Usage(calls=1, cost_nanousd=None, certainty=Certainty.ESTIMATED)
    assert total == Usage(calls=2, cost_nanousd=None, certainty=Certainty.ESTIMATED)


@given(
    st.integers(0, 200),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.booleans()), max_size=30),
)
def test_spending_never_exceeds_the_budget(limit: int, calls: list[tuple[int, int, int, bool]]) -> None:
    spending, waiting = Spending(Budget(tokens=limit)), []
    for worst_input, worst_output, used, settle in calls:
        worst = Usage(1, worst_input, worst_output)
        try:
            spending.reserve(worst)
        except BudgetExceeded:
            continue
        waiting.append((worst, Usage(1, min(used, worst_input), min(used, worst_output))))
        if settle:
            spending.settle(*waiting.pop(0))
        assert spending.spent.tokens <= limit
    for worst, actual in waiting:
        spending.settle(worst, actual)
    assert spending.spent.tokens <= limit
