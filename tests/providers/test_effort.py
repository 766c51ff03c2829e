"""An effort is said in the steps that an endpoint knows, or as a share of the tokens that there are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain.agent import ReasoningEffort
from moa_server.providers.effort import ALL_EFFORTS, LEAST_BUDGET, USUAL_EFFORTS, Effort, budget, nearest


@pytest.mark.parametrize(
    ("wanted", "known", "step"),
    [
        ("none", USUAL_EFFORTS, "low"),
        ("none", ("none", "high"), "none"),
        ("minimal", USUAL_EFFORTS, "low"),
        ("minimal", ("none", "low"), "low"),
        ("low", ("none", "high"), "high"),
        ("medium", USUAL_EFFORTS, "medium"),
        ("medium", ("low", "high"), "low"),
        ("max", USUAL_EFFORTS, "high"),
        ("max", ("low", "xhigh"), "xhigh"),
        ("max", ALL_EFFORTS, "max"),
        ("high", ("none",), None),
        ("none", (), None),
    ],
)
def test_a_step_that_is_not_known_takes_the_nearest(wanted: str, known: tuple[Effort, ...], step: str | None) -> None:
    assert nearest(ReasoningEffort(wanted), known) == step


@pytest.mark.parametrize(
    ("effort", "most", "output", "tokens"),
    [
        ("medium", None, 10_000, 5000),
        ("high", None, 10_000, 8000),
        ("high", 3000, 10_000, 3000),
        ("low", 9000, 10_000, 2000),
        (None, 4000, 10_000, 4000),
        (None, 20_000, 10_000, 9000),
        ("minimal", None, 2048, LEAST_BUDGET),
        ("max", None, 1024, None),
        ("none", 4000, 10_000, None),
        (None, 500, 10_000, None),
    ],
)
def test_a_budget_is_a_share_of_what_there_is(
    effort: str | None, most: int | None, output: int, tokens: int | None
) -> None:
    assert budget(None if effort is None else ReasoningEffort(effort), most, output) == tokens


@given(
    st.none() | st.sampled_from(ReasoningEffort),
    st.none() | st.integers(1, 10**6),
    st.integers(1, 10**6),
)
def test_a_budget_never_takes_all_of_the_output(effort: ReasoningEffort | None, most: int | None, output: int) -> None:
    tokens = budget(effort, most, output)
    assert tokens is None or LEAST_BUDGET <= tokens < output
    assert tokens is None or most is None or tokens <= most
