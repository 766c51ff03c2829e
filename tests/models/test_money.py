"""Whatever fails, no run spends more than its budget, and what it reports is what the endpoints bill."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain.errors import LimitError, ModelError, ModelStreamCut, ModelThrottled, ModelUnavailable
from moa_server.domain.model import ModelSpec, Prompt, Reply
from moa_server.domain.ports import CallTerms, Model, SystemClock
from moa_server.domain.reliability import HedgeRule, Reliability, RetryRule
from moa_server.domain.usage import Budget, Certainty, Price, Usage
from moa_server.engine.plans.worst_case import UpperBounds
from moa_server.engine.runs.spending import Spending, TurnAccount
from tests.models.fakes import PLAIN, PROMPT, spec, wrap
from tests.models.timeless_loop import now, timeless, unhurried

INPUT_TOKENS = 6
Plan = tuple[float, int, str]
RULES = Reliability(
    RetryRule(attempts=2, base_s=0.1, least_in_window=100),
    hedge=HedgeRule("b", least_seen=1, share=1.0),
    fallbacks=("c",),
)


@dataclass
class Billing:
    """An endpoint that keeps a ledger of its own: the prompt once it begins, and each word it says."""

    spec: ModelSpec
    plans: list[Plan]
    """For each call: how long it thinks, how much it says, how it ends."""
    billed: list[Usage] = field(default_factory=list)

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        thinks, says, end = self.plans[len(self.billed) % len(self.plans)]
        place = len(self.billed)
        self.billed.append(Usage())
        await asyncio.sleep(thinks)
        if end == "throttled":
            raise ModelThrottled("429")
        for words in range(says + 1):
            self.billed[place] = Usage(input_tokens=INPUT_TOKENS, output_tokens=words)
            if words:
                terms.hear("word ")
                await asyncio.sleep(0.1)
        if end == "cut":
            raise ModelStreamCut("cut")
        if end == "reported":
            error = ModelUnavailable("500")
            error.usage = self.billed[place]
            raise error
        return Reply("word " * says, usage=self.billed[place])


PLANS = st.lists(
    st.tuples(st.floats(0, 2), st.integers(0, 20), st.sampled_from(["well", "throttled", "cut", "reported"])),
    min_size=1,
    max_size=6,
)
PRICES = st.builds(
    Price,
    input=st.integers(0, 10**13),
    output=st.integers(0, 10**13),
    cached_input=st.one_of(st.none(), st.integers(0, 10**13)),
    cache_write=st.one_of(st.none(), st.integers(0, 10**13)),
)
BUDGETS = st.builds(
    Budget,
    calls=st.one_of(st.none(), st.integers(0, 10)),
    tokens=st.one_of(st.none(), st.integers(0, 2000)),
    cost_nanousd=st.one_of(st.none(), st.integers(0, 10**10)),
)


@unhurried
@given(
    st.tuples(PLANS, PLANS, PLANS), st.tuples(PRICES, PRICES, PRICES), BUDGETS, st.lists(st.floats(0.1, 5), max_size=8)
)
def test_spend_stays_within_the_budget_and_equals_what_is_billed(
    plans: Sequence[list[Plan]], prices: Sequence[Price], budget: Budget, times: list[float]
) -> None:
    @timeless
    async def check() -> None:
        endpoints = [
            Billing(spec(name, rules, price=price), plan)
            for name, rules, price, plan in zip("abc", (RULES, PLAIN, PLAIN), prices, plans, strict=True)
        ]
        model, spending = wrap(*endpoints), Spending(budget)
        accounts = [
            TurnAccount(spending, UpperBounds({}), SystemClock(), now() + time_s, lambda: True) for time_s in times
        ]
        await asyncio.gather(*(_ask(model, *pair) for pair in zip(accounts, times, strict=True)))
        attempts = [attempt for account in accounts for attempt in account.attempts]
        for endpoint in endpoints:
            _agree(endpoint, [attempt.usage for attempt in attempts if attempt.model == endpoint.spec.name])
        assert spending.spent == sum((attempt.usage for attempt in attempts), Usage())
        assert spending.spent.calls <= (spending.spent.calls if budget.calls is None else budget.calls)
        assert spending.spent.tokens <= (spending.spent.tokens if budget.tokens is None else budget.tokens)
        assert budget.cost_nanousd is None or (spending.spent.cost_nanousd or 0) <= budget.cost_nanousd

    check()


async def _ask(model: Model, account: TurnAccount, time_s: float) -> None:
    try:
        async with asyncio.timeout(time_s):
            await model.speak(PROMPT, CallTerms(lambda _: None, account, now() + time_s))
    except (ModelError, LimitError, TimeoutError):
        pass


def _agree(endpoint: Billing, reported: list[Usage]) -> None:
    """Known counts are the bill to the token; estimates are never below it."""
    assert len(reported) == len(endpoint.billed)
    tokens = sum(usage.tokens for usage in reported)
    billed = sum(usage.tokens for usage in endpoint.billed)
    if all(usage.certainty is Certainty.KNOWN for usage in reported):
        assert tokens == billed
    assert tokens >= billed
