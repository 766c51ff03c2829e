"""What an agent's calls are entered with, and when none may be made."""

from datetime import timedelta

import pytest

from moa_server.domain.agent import Sampling
from moa_server.domain.errors import BudgetExceeded, DeadlineExceeded, JournalUnavailable, ModelTimeout
from moa_server.domain.model import AttemptKind, Prompt
from moa_server.domain.proposal import Attempt
from moa_server.domain.usage import Budget, Certainty, Price, Usage
from moa_server.engine.plans.worst_case import UpperBounds
from moa_server.engine.runs.spending import Spending, TurnAccount
from tests.engine.fakes import spec, user
from tests.journal.clock import HandClock
from tests.models.timeless_loop import now, timeless

MODEL = spec("m", price=Price(1_000_000, 2_000_000))
PROMPT = Prompt(user("hello"), Sampling(max_tokens=50))
BOUNDS = UpperBounds({})
WORST = BOUNDS.worst_call(MODEL, PROMPT)


def account(
    spending: Spending, clock: HandClock | None = None, *, left_s: float = 5.0, may: bool = True
) -> TurnAccount:
    return TurnAccount(spending, BOUNDS, clock or HandClock(), now() + left_s, lambda: may)


@timeless
async def test_no_call_is_made_in_the_last_moment_of_the_time() -> None:
    account(Spending(Budget()), left_s=0.02).open(MODEL, AttemptKind.FIRST, PROMPT)
    for left_s in (0.005, 0.0, -1.0):
        spending = Spending(Budget(calls=1))
        with pytest.raises(DeadlineExceeded):
            account(spending, left_s=left_s).open(MODEL, AttemptKind.FIRST, PROMPT)
        spending.reserve(WORST)


@timeless
async def test_a_call_that_may_not_be_paid_for_takes_nothing_from_the_budget() -> None:
    spending = Spending(Budget(calls=1))
    with pytest.raises(JournalUnavailable):
        account(spending, may=False).open(MODEL, AttemptKind.FIRST, PROMPT)
    spending.reserve(WORST)


@timeless
async def test_only_an_agents_first_call_has_what_is_kept_for_those_to_come() -> None:
    for kind in AttemptKind:
        spending = Spending(Budget(calls=1))
        spending.keep(Usage(calls=1))
        if kind is AttemptKind.FIRST:
            account(spending).open(MODEL, kind, PROMPT)
        else:
            with pytest.raises(BudgetExceeded):
                account(spending).open(MODEL, kind, PROMPT)


@timeless
async def test_an_attempt_is_entered_with_its_moments_and_what_it_cost() -> None:
    clock = HandClock()
    began = clock.now()
    turn = TurnAccount(Spending(Budget()), BOUNDS, clock, now() + 5, lambda: True)
    entry = turn.open(MODEL, AttemptKind.HEDGE, PROMPT)
    for _ in range(2):  # the second is not the first
        clock.advance(1)
        entry.first_token()
    clock.advance(1)
    used = Usage(input_tokens=10, output_tokens=5)
    entry.close(used, served_model="m-1")
    first, end = began + timedelta(seconds=1), began + timedelta(seconds=3)
    cost = Usage(1, 10, 5, cost_nanousd=20)
    assert turn.attempts == [Attempt("m", AttemptKind.HEDGE, began, end, first, "m-1", "", cost)]
    assert turn.usage == cost


@timeless
async def test_a_failed_attempt_says_why_and_keeps_aside_what_it_may_have_used() -> None:
    turn = account(Spending(Budget(tokens=WORST.tokens)))
    guess = Usage(input_tokens=1, certainty=Certainty.ESTIMATED)
    failure = ModelTimeout("silent")
    failure.told = {"code": "too_slow"}
    turn.open(MODEL, AttemptKind.FIRST, PROMPT).close(guess, failure=failure)
    (attempt,) = turn.attempts
    assert (attempt.failure, attempt.upstream_code) == ("MODEL_TIMEOUT", "too_slow")
    assert (attempt.first_token, attempt.served_model) == (None, "")
    assert attempt.set_aside.tokens == WORST.tokens - 1
    with pytest.raises(BudgetExceeded):
        turn.open(MODEL, AttemptKind.FIRST, PROMPT)
