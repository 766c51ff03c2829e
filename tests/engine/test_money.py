"""Retries, hedges, fallbacks and all: no run spends more than its budget, and it reports what the endpoints bill."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain.errors import BudgetTooSmall
from moa_server.domain.event import Terminal
from moa_server.domain.model import Prompt, Reply
from moa_server.domain.ports import CallTerms
from moa_server.domain.reliability import HedgeRule, Reliability, RetryRule
from moa_server.domain.usage import Certainty, Usage
from moa_server.engine.engine import Engine
from moa_server.journal.memory import MemoryJournal
from moa_server.models import build_models
from tests.engine.facts import ended
from tests.engine.stories import BUDGETS, NAMES, BilledCall, Story, Teller, billed, many, stories, within
from tests.engine.story_runs import LIMITS, follow, start
from tests.models.timeless_loop import timeless


class Vendor(Teller):
    """An endpoint: it has no business with the account, and bills a token once it speaks."""

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        line = self._lines(self.spec.name, len(self.asked))
        asked = BilledCall(prompt, terms)
        self.asked.append(asked)
        whole = self._bill(prompt, self.spec.name, len(self.asked))

        def hear(piece: str) -> None:
            asked.bill = Usage(input_tokens=whole.input_tokens, output_tokens=1)
            terms.hear(piece)

        try:
            await self._say(replace(line, error=None), replace(terms, hear=hear))
        except asyncio.CancelledError:
            asked.cancelled = True
            raise
        finally:
            asked.is_over = True
        asked.bill = whole
        if line.error is not None:
            error = type(line.error)(line.error.detail)
            error.usage = whole
            raise error
        return Reply("".join(line.pieces), usage=whole)


def reliability(name: str) -> Reliability:
    """Each may be asked again, has a rival, and somebody to stand in for it."""
    after = NAMES[(NAMES.index(name) + 1) % len(NAMES)]
    beyond = NAMES[(NAMES.index(name) + 2) % len(NAMES)]
    return Reliability(
        RetryRule(attempts=2, base_s=0.1, least_in_window=100),
        hedge=HedgeRule(after, least_seen=1, share=1.0),
        fallbacks=(beyond,),
    )


@many(400)
@given(stories(budget=BUDGETS, priced=st.just(True)), st.integers(1, 3))  # noqa: FBT003
def test_spend_stays_within_the_budget_and_equals_the_ledger(story: Story, runs: int) -> None:
    @timeless
    async def check() -> None:
        vendors = {
            name: Vendor(replace(story.spec(name), reliability=reliability(name)), story.line, story.bill)
            for name in NAMES
        }
        models = build_models([vendor.spec for vendor in vendors.values()], lambda spec: vendors[spec.name])
        async with Engine(story.catalogue(models), MemoryJournal(), LIMITS) as engine:
            for number in range(runs):
                before = billed(vendors)
                try:
                    run = await start(engine, story, text=f"hello {number}")
                except BudgetTooSmall:
                    return
                end = ended(await follow(engine, run.run_id))
                _agree(story, end, before, vendors)

    check()


def _agree(story: Story, end: Terminal, before: Usage, vendors: Mapping[str, Vendor]) -> None:
    """Known counts are the bill to the token; where a call was cut, the estimate is never below it."""
    after, spent = billed(vendors), end.usage
    assert spent.calls == after.calls - before.calls
    assert after.cost_nanousd is not None
    assert before.cost_nanousd is not None
    assert spent.cost_nanousd is not None
    tokens, cost = after.tokens - before.tokens, after.cost_nanousd - before.cost_nanousd
    if spent.certainty is Certainty.KNOWN:
        assert (spent.tokens, spent.cost_nanousd) == (tokens, cost)
    assert spent.tokens >= tokens
    within(story.budget, spent)
