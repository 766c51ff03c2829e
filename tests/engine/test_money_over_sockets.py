"""Whatever endpoints do to real connections, no run spends beyond its budget, and the account is the endpoints' own."""

import asyncio
import random
import ssl
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain.agent import Agent
from moa_server.domain.errors import BudgetTooSmall
from moa_server.domain.event import AgentFailed, Event, ProposalReceived
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Mixture, Roster, Rules
from moa_server.domain.model import ModelSpec
from moa_server.domain.plan import WorstCase
from moa_server.domain.proposal import Attempt
from moa_server.domain.query import Overrides, Query
from moa_server.domain.reliability import HedgeRule, Reliability, RetryRule
from moa_server.domain.usage import Budget, Certainty, Price, Usage
from moa_server.engine.engine import Engine
from moa_server.engine.plans.catalogue import Catalogue
from moa_server.journal.memory import MemoryJournal
from moa_server.models import build_models
from moa_server.providers import PROVIDERS, Transport
from moa_server.strategies import STRATEGIES
from tests.engine.facts import ended
from tests.engine.fakes import user
from tests.engine.houses import House
from tests.engine.stories import many, within
from tests.upstream import Call, Cut, Reset, Script, Speech, Status, Upstream

TLS = ssl.create_default_context()
PROPOSERS = ("a", "b", "c")
CUT = "STRAGGLER_CUT"
RULES = Reliability(
    RetryRule(attempts=2, base_s=0.0, least_in_window=100),
    hedge=HedgeRule("rival", least_seen=1, quantile=0.5, share=1.0),
    fallbacks=("spare",),
)


@dataclass(frozen=True)
class Tale:
    """Prices, the ways of endpoints and budgets that hang on a seed alone."""

    seed: int

    def draw(self, of: str) -> random.Random:
        return random.Random(f"{self.seed}:{of}")

    def spec(self, name: str, place: int, endpoint: str) -> ModelSpec:
        draw, rules = self.draw(f"spec:{name}"), RULES if name in {*PROPOSERS, "boss"} else Reliability()
        price = Price(draw.randint(0, 10**7), draw.randint(0, 10**7))
        provider = ("openai", "anthropic")[place % 2]
        return ModelSpec(name, provider, endpoint, name, max_output=20, price=price, reliability=rules)

    def scripts(self, name: str) -> list[Script]:
        draw = self.draw(f"scripts:{name}")
        return [_script(draw) for _ in range(12)]

    def rules(self) -> Rules:
        draw = self.draw("rules")
        quorum = draw.choice((None, 1, 2))
        return Rules(quorum=quorum, fail_below_quorum=False, restart_answer=draw.random() < 0.5)

    def budget(self, worst: WorstCase, number: int) -> Budget:
        """A budget that often binds: about what the plan needs without retries, hedges and stand-ins."""
        draw = self.draw(f"budget:{number}")
        assert worst.cost_nanousd is not None
        return Budget(
            calls=draw.choice((None, worst.calls + draw.randint(-2, 3))),
            tokens=draw.choice((None, int(worst.tokens * draw.uniform(0.5, 2)))),
            cost_nanousd=draw.choice((None, int(worst.cost_nanousd * draw.uniform(0.5, 2)))),
        )


def _script(draw: random.Random) -> Script:
    words = Speech(" ".join(["word"] * draw.randint(1, 9)), first_token_s=draw.choice((0.0, 0.0, 0.03)))
    return draw.choice((
        words, words, words, words,
        Speech("word word", usage=None), Speech(""),
        Status(429, {"retry-after": "0"}), Status(500), Status(529), Reset(before_headers=False), Reset(), Reset(),
        Cut(words, 1, "reset"), Cut(words, 1, "end"), Cut(words, 1, "error"),
    ))  # fmt: skip


@many(15)
@given(st.integers(0, 2**32))
def test_the_account_is_the_endpoints_own_ledger_and_no_budget_is_exceeded(seed: int) -> None:
    asyncio.run(_check(Tale(seed)))


async def _check(tale: Tale) -> None:
    async with Upstream() as upstream, Transport(TLS) as http:
        names = (*PROPOSERS, "boss", "spare", "rival")
        specs = {name: tale.spec(name, place, upstream.endpoint) for place, name in enumerate(names)}
        for name in names:
            upstream.script(name, *tale.scripts(name))
        models = build_models(specs.values(), lambda spec: PROVIDERS[spec.provider](spec, http))
        agents = {name: Agent(name, name) for name in (*PROPOSERS, "boss")}
        proposers = tuple(agents[name] for name in PROPOSERS)
        mixture = Mixture("mix", "aggregate", Roster((proposers,), agents["boss"]), tale.rules())
        catalogue, journal = Catalogue(models, {"mix": mixture}, STRATEGIES, agents, "mix"), MemoryJournal()
        async with Engine(catalogue, journal, Limits()) as engine:
            house = House(engine, journal)
            worst = engine.explain(Query(user("hello"), "mix")).worst_case
            for number in range(4):
                await _compare(house, upstream, specs, tale.budget(worst, number))


async def _compare(house: House, upstream: Upstream, specs: dict[str, ModelSpec], budget: Budget) -> None:
    upstream.calls.clear()
    try:
        events = await house.carried(overrides=Overrides(budget=budget))
    except BudgetTooSmall:
        assert not upstream.calls
        return
    await upstream.wait_for(lambda: not upstream.open_calls)
    end = ended(events)
    attempts = list(_attempts(events))
    assert end.usage == sum((attempt.usage for attempt in attempts), Usage())
    for name, spec in specs.items():
        _agree([one for one in attempts if one.model == name], upstream.calls_of(name), spec)
    bill = sum((_billed(call, specs[call.model]) for call in upstream.calls), Usage())
    within(budget, end.usage)
    within(budget, bill)


def _attempts(events: Iterable[Event]) -> Iterable[Attempt]:
    for event in events:
        match event.fact:
            case ProposalReceived(_, proposal):
                yield from proposal.attempts
            case AgentFailed(_, failure):
                yield from failure.attempts


def _agree(attempts: list[Attempt], calls: list[Call], spec: ModelSpec) -> None:
    """What an endpoint reported is in the account to the token; what it did not is not taken for less than its bill."""
    known = Counter(_tokens(one.usage) for one in attempts if one.usage.certainty is Certainty.KNOWN)
    reported = Counter(_tokens(_billed(call, spec)) for call in calls if call.reported)
    known.pop((0, 0), None)  # turned away
    if all(attempt.failure != CUT for attempt in attempts):
        assert len(attempts) == len(calls)
        assert known == reported
    assert known <= reported
    assert len(attempts) >= len(calls), "a call that was cut may not have reached its endpoint"
    account = sum((attempt.usage for attempt in attempts), Usage())
    bill = sum((_billed(call, spec) for call in calls), Usage())
    assert account.tokens >= bill.tokens
    assert account.cost_nanousd is not None
    assert account.input_tokens >= bill.input_tokens


def _tokens(usage: Usage) -> tuple[int, int]:
    return usage.input_tokens, usage.output_tokens


def _billed(call: Call, spec: ModelSpec) -> Usage:
    """What an endpoint bills: what it reported, or the prompt once it has begun, and the words that it has said."""
    used = Usage(calls=1)
    if call.reported or call.tokens_sent:
        used = Usage(1, call.input_tokens, call.tokens_sent)
    assert spec.price is not None
    return replace(used, cost_nanousd=spec.price.cost_nanousd(used))
