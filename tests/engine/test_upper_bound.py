"""A budget is an upper bound: endpoints that count as the densest tokenizers do never bill more, over real sockets."""

import asyncio
import json
import random
import ssl
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain.agent import Agent
from moa_server.domain.errors import BudgetTooSmall
from moa_server.domain.event import Event
from moa_server.domain.mixture import Mixture, PromptForm, Roster, Rules
from moa_server.domain.model import ModelSpec
from moa_server.domain.plan import Plan
from moa_server.domain.query import Overrides, Query
from moa_server.domain.reliability import Reliability, RetryRule
from moa_server.domain.usage import Budget, Price, Usage
from moa_server.engine.engine import Engine
from moa_server.engine.plans.catalogue import Catalogue
from moa_server.journal.memory import MemoryJournal
from moa_server.models import build_models
from moa_server.providers import PROVIDERS, Transport
from moa_server.strategies import STRATEGIES
from tests.engine.dense_texts import DENSE, PROSE, CountedText, DenseTokenizer, dense
from tests.engine.facts import ended
from tests.engine.fakes import user
from tests.engine.houses import House
from tests.engine.stories import many, within
from tests.strategies.settings import SETTINGS
from tests.upstream import Script, Status, Upstream

TLS = ssl.create_default_context()
PRICE = Price(2_500_000_000, 10_000_000_000)
RULES = Reliability(RetryRule(attempts=1, base_s=0.0, least_in_window=1000))
AS_IT_IS = Overrides()
SCHEMA = json.dumps({
    "type": "object",
    "properties": {f"field_{number}": {"type": "string", "enum": ["yes", "no", "unsure"]} for number in range(12)},
    "additionalProperties": False,
})  # fmt: skip
FIVE = Roster((tuple(Agent(f"a{number}", "m") for number in range(5)),), Agent("z", "m"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run, and what its endpoint billed."""

    plan: Plan
    billed: Usage
    events: Sequence[Event]


async def carry_out(
    mixture: Mixture,
    text: str,
    known: tuple[CountedText, ...],
    answers: Iterator[CountedText],
    *,
    overrides: Overrides = AS_IT_IS,
    share: float | None = 1.0,
    failing: float = 0.0,
) -> Outcome | None:
    """Carry one run out with so much of its worst case for a budget; None where that is refused."""
    longest = max(one.tokens for one in known)
    draw = random.Random(text)
    async with Upstream() as upstream, Transport(TLS) as http:
        spec = ModelSpec(
            "m", "openai", upstream.endpoint, "m", window=10**6, max_output=longest, price=PRICE, reliability=RULES
        )
        answer = DenseTokenizer(known).answering(answers)
        fails: Script = Status(500)
        scripts = [fails if draw.random() < failing else answer for _ in range(30)]
        upstream.script("m", *scripts, answer)
        models = build_models([spec], lambda spec: PROVIDERS[spec.provider](spec, http))
        agents = {agent.name: agent for agent in mixture.roster.agents()}
        catalogue, journal = Catalogue(models, {"mix": mixture}, STRATEGIES, agents, "mix"), MemoryJournal()
        async with Engine(catalogue, journal) as engine:
            plan = engine.explain(Query(user(text), "mix", overrides))
            budget = _share_of(plan, share)
            try:
                events = await House(engine, journal).carried(text, overrides=replace(overrides, budget=budget))
            except BudgetTooSmall:
                assert not upstream.calls
                return None
            await upstream.wait_for(lambda: not upstream.open_calls)
            billed = Usage(calls=len(upstream.calls))
            for call in upstream.calls:
                if call.reported:
                    billed += Usage(0, call.reported["prompt_tokens"], call.reported["completion_tokens"])
            billed = replace(billed, cost_nanousd=PRICE.cost_nanousd(billed))
            within(budget, billed)
            within(budget, ended(events).usage)
            return Outcome(plan, billed, events)


def _share_of(plan: Plan, share: float | None) -> Budget:
    worst = plan.worst_case
    if share is None:
        return Budget()
    assert worst.cost_nanousd is not None
    return Budget(tokens=max(int(worst.tokens * share), 1), cost_nanousd=int(worst.cost_nanousd * share))


@pytest.mark.parametrize("schema", [None, SCHEMA])
@pytest.mark.parametrize("kind", ["prose", *DENSE])
async def test_a_vote_of_five_stays_within_its_worst_case(kind: str, schema: str | None) -> None:
    known = PROSE if kind == "prose" else (dense(kind, 1),)
    asked = " ".join(one.text for one in known)
    mixture = Mixture("mix", "vote", FIVE)
    outcome = await carry_out(mixture, asked, known, cycle(known), overrides=Overrides(response_schema=schema))
    assert outcome is not None
    assert outcome.billed.calls >= 3
    assert outcome.billed.tokens <= outcome.plan.worst_case.tokens


@pytest.mark.parametrize("kind", DENSE)
async def test_dense_proposals_that_are_read_are_within_the_budget_too(kind: str) -> None:
    known = tuple(dense(kind, seed) for seed in range(5))
    mixture = Mixture("mix", "aggregate", FIVE)
    assert await carry_out(mixture, known[0].text, known, cycle(known)) is not None


@dataclass(frozen=True)
class Draft:
    """A plan and texts that hang on a seed alone."""

    seed: int

    def draw(self, of: str) -> random.Random:
        return random.Random(f"{self.seed}:{of}")

    def known(self) -> tuple[CountedText, ...]:
        draw = self.draw("texts")
        kinds = draw.sample([*DENSE], draw.randint(1, 4))
        texts = tuple(dense(kind, draw.randint(0, 20)) for kind in kinds)
        return (*texts, *draw.sample(PROSE, draw.randint(0, 2)))

    def mixture(self) -> Mixture:
        draw = self.draw("mixture")
        setting = draw.choice(SETTINGS)
        rules = Rules(
            prompt_form=draw.choice([*PromptForm]),
            fail_below_quorum=False,
            restart_answer=draw.random() < 0.3,
            degrade_to_budget=draw.random() < 0.5,
        )
        return Mixture("mix", setting.strategy, setting.roster, rules, setting.options)

    async def outcome(self) -> Outcome | None:
        draw, known = self.draw("run"), self.known()
        asked = "\n".join(draw.choice(known).text for _ in range(draw.randint(1, 5)))
        schema = SCHEMA if draw.random() < 0.3 else None
        return await carry_out(
            self.mixture(),
            asked,
            known,
            iter(lambda: draw.choice(known), None),
            overrides=Overrides(response_schema=schema, seed=draw.randint(0, 99)),
            share=draw.choice((0.4, 0.8, 1.0, 1.0, 1.5)),
            failing=draw.choice((0.0, 0.2)),
        )


@many(120)
@given(st.integers(0, 2**32))
def test_no_plan_of_any_texts_spends_beyond_its_budget(seed: int) -> None:
    asyncio.run(Draft(seed).outcome())


@pytest.mark.long
def test_none_of_ten_thousand_plans_spends_beyond_its_budget() -> None:
    shares, refused = list[float](), 0
    for seed in range(10_000):
        outcome = asyncio.run(Draft(seed).outcome())
        if outcome is None:
            refused += 1
        elif outcome.billed.calls:
            shares.append(outcome.billed.tokens / outcome.plan.worst_case.tokens)
    figures = f"{len(shares)} carried out, {refused} refused; billed of the worst case: {max(shares):.3f} at the most"
    sys.stdout.write(f"{figures}\n")
    assert len(shares) > 5_000


def _council(width: int, layers: int) -> Mixture:
    agents = tuple(Agent(f"a{number}", "m") for number in range(width))
    return Mixture("mix", "aggregate", Roster((agents,) * layers, Agent("z", "m")))


@pytest.mark.parametrize(("width", "layers"), [(1, 1), (3, 1), (6, 1), (3, 2), (6, 3)])
async def test_a_plan_of_prose_is_no_dearer_than_a_third_more_than_it_uses(width: int, layers: int) -> None:
    said = tuple(CountedText("prose", f"{a.text} {b.text}", a.tokens + b.tokens) for a in PROSE for b in PROSE)
    length = max(one.tokens for one in said)
    said = tuple(one for one in said if one.tokens == length)
    text = "\n\n".join(one.text for one in PROSE)
    known = (*said, *PROSE)
    outcome = await carry_out(_council(width, layers), text, known, cycle(said))
    assert outcome is not None
    assert outcome.billed.calls == outcome.plan.worst_case.calls
    assert outcome.billed.tokens <= outcome.plan.worst_case.tokens <= 1.3 * outcome.billed.tokens
