"""What holds while models fail: time and places are shared, budgets of time are kept, a brown-out goes unnoticed."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from moa_server.domain.agent import Agent
from moa_server.domain.errors import ModelTimeout, ModelUnavailable
from moa_server.domain.event import RunFailed, RunSucceeded, Terminal
from moa_server.domain.limits import Limits, RunTime
from moa_server.domain.mixture import Mixture, Roster, Rules
from moa_server.domain.model import ModelSpec, Prompt, Reply
from moa_server.domain.ports import CallTerms, Model
from moa_server.domain.query import Overrides, Query
from moa_server.domain.reliability import BreakerRule, ConcurrencyRule, HedgeRule, Reliability, RetryRule
from moa_server.domain.run import Ticket
from moa_server.domain.usage import Budget, Price, Usage
from moa_server.engine.engine import Engine
from moa_server.engine.plans.catalogue import Catalogue
from moa_server.journal.memory import MemoryJournal
from moa_server.models import build_models
from moa_server.strategies import STRATEGIES
from tests.engine.facts import ended as last_fact
from tests.engine.facts import one_by_one
from tests.engine.fakes import FakeModel, saying, silent, spec, user
from tests.models.fakes import Script, scripted
from tests.models.fakes import spec as model_spec
from tests.models.timeless_loop import now, timeless

PLAIN = Rules()
NO_BUDGET = Budget()
NO_RETRY = RetryRule(attempts=0)


def mixture(name: str, layers: Sequence[Sequence[str]], rules: Rules = PLAIN, budget: Budget = NO_BUDGET) -> Mixture:
    """Agents of so many names, each on the model its name begins with."""
    proposers = tuple(tuple(Agent(one, one.partition("-")[0]) for one in layer) for layer in layers)
    return Mixture(name, "aggregate", Roster(proposers, Agent("boss", "boss")), rules, budget=budget)


@asynccontextmanager
async def housed(models: Mapping[str, Model], *mixtures: Mixture, time_s: float = 100.0) -> AsyncIterator[Engine]:
    agents = {agent.name: agent for one in mixtures for agent in one.roster.agents()}
    catalogue = Catalogue(models, {one.name: one for one in mixtures}, STRATEGIES, agents, mixtures[0].name)
    async with Engine(catalogue, MemoryJournal(), Limits(run_time=RunTime(default_s=time_s))) as engine:
        yield engine
        await engine.close(0)


async def ended(engine: Engine, name: str, budget: Budget = NO_BUDGET, time_s: float | None = None) -> Terminal:
    query = Query(user("hello"), name, Overrides(budget=budget))
    run = await engine.start(query, Ticket("tester", "", "hello"), time_s)
    async with aclosing(engine.watch(run.run_id)) as news:
        return last_fact([event async for event in one_by_one(news)])


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("share", [0.2, 0.4, 0.8])
def test_whatever_hangs_the_aggregator_keeps_its_share_of_the_time(layers: int, share: float) -> None:
    @timeless
    async def check() -> None:
        boss = FakeModel(spec("boss"), saying("made it"))
        models = {"a": FakeModel(spec("a")), "slow": FakeModel(spec("slow"), silent()), "boss": boss}
        recipe = mixture("mix", [["a", "slow"]] * layers, Rules(answer_share=share))
        async with housed(models, recipe) as engine:
            deadline = now() + 100.0
            last = await ended(engine, "mix")
            took = now() - (deadline - 100.0)
        assert isinstance(last, RunSucceeded)
        assert took == pytest.approx(100.0 * (1 - share), abs=0.1)
        assert deadline - 0.5 < boss.asked[0].terms.deadline < deadline

    check()


@timeless
async def test_no_call_starts_for_which_no_time_is_left() -> None:
    boss = FakeModel(spec("boss"))
    async with housed({"boss": boss}, mixture("mix", [])) as engine:
        last = await ended(engine, "mix", time_s=0.008)
    assert isinstance(last, RunFailed)
    assert (last.reason, last.usage.calls, boss.asked) == ("DEADLINE_EXCEEDED", 0, [])


@pytest.mark.parametrize(
    ("of_mixture", "of_request", "of_call", "least"),
    [
        (7.0, None, None, 7.0),
        (7.0, 3.0, None, 3.0),
        (7.0, 30.0, 20.0, 7.0),
        (None, 30.0, 5.0, 5.0),
        (None,) * 3 + (100.0,),
    ],
)
def test_a_run_takes_no_longer_than_the_least_of_its_times(
    of_mixture: float | None, of_request: float | None, of_call: float | None, least: float
) -> None:
    @timeless
    async def check() -> None:
        boss = FakeModel(spec("boss"), silent())
        recipe = mixture("mix", [], budget=Budget(time_s=of_mixture))
        async with housed({"boss": boss}, recipe) as engine:
            started = now()
            last = await ended(engine, "mix", Budget(time_s=of_request), of_call)
            assert now() - started <= least
            assert now() - started > least * 0.9
        assert isinstance(last, RunFailed)
        assert boss.asked[0].cancelled

    check()


@timeless
async def test_a_run_of_sixty_agents_does_not_starve_a_run_of_two() -> None:
    shared = scripted(
        model_spec("shared", Reliability(NO_RETRY, ConcurrencyRule(limit=2), breaker=BreakerRule(enabled=False))),
        [1.0, "a proposal"],
    )
    boss = scripted(model_spec("boss"), ["the answer"])
    models = build_models([shared.spec, boss.spec], lambda one: {"shared": shared, "boss": boss}[one.name])
    large = mixture("large", [[f"shared-{number}" for number in range(60)]])
    small = mixture("small", [["shared-0", "shared-1"]])
    took: dict[str, float] = {}

    async def timed(name: str) -> None:
        started = now()
        assert isinstance(await ended(engine, name), RunSucceeded)
        took[name] = now() - started

    async with housed(models, large, small) as engine:
        first = asyncio.create_task(timed("large"))
        await asyncio.sleep(0.5)
        await timed("small")
        await first
    assert took["large"] == pytest.approx(31.0, abs=0.1)
    assert took["small"] < 4.0


@pytest.mark.parametrize("of", ["calls", "tokens", "cost_nanousd"])
def test_retries_hedges_and_stand_ins_leave_the_aggregator_what_was_planned_for_it(of: str) -> None:
    @timeless
    async def check() -> None:
        greedy = Reliability(
            RetryRule(attempts=10, base_s=0.0, least_in_window=100),
            breaker=BreakerRule(enabled=False),
            fallbacks=("spare",),
        )
        price = Price(1_000_000, 1_000_000)
        cut: Script = [1.0, ModelTimeout("silent")]
        voices = {
            "a": scripted(model_spec("a", greedy, price=price), cut),
            "b": scripted(model_spec("b", greedy, price=price), ["a proposal"]),
            "spare": scripted(model_spec("spare", price=price), cut),
            "boss": scripted(model_spec("boss", price=price), ["the answer"]),
        }
        models = build_models([one.spec for one in voices.values()], lambda one: voices[one.name])
        recipe = mixture("mix", [["a", "b"]], Rules(degrade_to_budget=False))
        async with housed(models, recipe) as engine:
            worst = engine.explain(Query(user("hello"), "mix")).worst_case
            budget = Budget(**{of: getattr(worst, of)})
            last = await ended(engine, "mix", budget)
        assert isinstance(last, RunSucceeded)
        assert (last.answer.text, last.answer.agent) == ("the answer", "boss")

    check()


@dataclass(eq=False)
class Moody:
    """A model of even temper, until it is made to fail and dawdle now and then."""

    spec: ModelSpec
    first_s: float
    chance: random.Random
    is_brown: bool = False
    calls: int = 0
    kinds: list[str] = field(default_factory=list)

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        self.calls += 1
        self.kinds.append(terms.kind)
        mood = self.chance.random() if self.is_brown else 1.0
        first_s = self.first_s * self.chance.uniform(0.8, 1.2)
        if mood < 0.3:
            await asyncio.sleep(first_s)
            raise ModelUnavailable("500", metadata={"status": "500"})
        slower = 10.0 if mood < 0.6 else 1.0
        await asyncio.sleep(first_s * slower)
        for _ in range(20):
            terms.hear("word ")
            await asyncio.sleep(0.001 * slower)
        return Reply("word " * 20, usage=Usage(input_tokens=10, output_tokens=20))


def panel(seed: int) -> dict[str, Moody]:
    guarded = Reliability(RetryRule(), ConcurrencyRule(), BreakerRule(), HedgeRule("instead"), fallbacks=("instead",))
    firsts = {"one": 0.08, "two": 0.09, "brown": 0.085, "instead": 0.085, "boss": 0.05}
    return {
        name: Moody(
            model_spec(name, guarded if name == "brown" else Reliability()), first_s, random.Random(f"{seed}{name}")
        )
        for name, first_s in firsts.items()
    }


async def steady(engine: Engine, seconds: int) -> list[float | None]:
    """Ask ten times a second; return how long each answer took, None for those that failed."""

    async def one() -> float | None:
        started = now()
        return now() - started if isinstance(await ended(engine, "mix"), RunSucceeded) else None

    tasks = []
    for _ in range(seconds * 10):
        tasks.append(asyncio.create_task(one()))
        await asyncio.sleep(0.1)
    return list(await asyncio.gather(*tasks))


def p99(times: Sequence[float | None]) -> float:
    known = sorted(one for one in times if one is not None)
    return known[int(len(known) * 0.99)]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_brown_out_of_one_model_goes_unnoticed(seed: int) -> None:
    @timeless
    async def check() -> None:
        voices = panel(seed)
        models = build_models([one.spec for one in voices.values()], lambda one: voices[one.name])
        recipe = mixture("mix", [["one", "two", "brown"]], Rules(quorum=2, grace_s=0.08))
        async with housed(models, recipe) as engine:
            well = await steady(engine, 5)
            before = sum(one.calls for one in voices.values())
            voices["brown"].is_brown = True
            bad = await steady(engine, 15)
        calls = sum(one.calls for one in voices.values()) - before
        assert None not in bad
        assert p99(bad) <= 1.5 * p99(well)
        assert calls <= 1.15 * 4 * len(bad)
        assert {"hedge", "fallback"} <= set(voices["instead"].kinds)

    check()
