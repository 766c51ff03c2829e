"""The table of counts: how many calls every strategy can come to, by its options, known before the first is made."""

from collections.abc import Mapping

import pytest

from moa_server.domain.agent import Agent
from moa_server.domain.mixture import Mixture, Roster, Rules
from moa_server.domain.query import Overrides, Query
from moa_server.domain.usage import Price, Usage
from moa_server.engine.engine import Engine
from moa_server.engine.plans.catalogue import Catalogue
from moa_server.engine.plans.worst_case import UpperBounds
from moa_server.journal.memory import MemoryJournal
from moa_server.strategies import STRATEGIES
from tests.engine.fakes import FakeModel, spec, user
from tests.strategies.rosters import Setting
from tests.strategies.settings import SETTINGS

LAST = Agent("last", "m")
ROLES = {role: Agent(role, "m") for role in ("judge", "router", "coordinator", "verifier")}
FOLD = Rules(fold_when_too_long=True)

JUDGE = {"select": "judge", "keep": 2}
PAIRS = {"method": "pairwise"}
THEN = {"then": "aggregate", "pick": 2}
BY_RULES = {"by": "rules", "rules": ("code -> skill",)}
VERIFIED = {"gate": "self_verification"}
LIKELY = {"gate": "logprobs"}
Count = tuple[str, tuple[int, ...], Mapping[str, object], int, str]
"""A strategy, how many agents each of its layers has, its options, the calls it comes to, and why."""

COUNTS: tuple[Count, ...] = (
    ("aggregate", (), {}, 1, "one layer is one call"),
    ("aggregate", (3,), {}, 4, "2 layers of 3 proposers: n(L - 1) + 1"),
    ("aggregate", (6,), {}, 7, "as the smaller form of the paper"),
    ("aggregate", (6, 6), {}, 13, "as the paper"),
    ("aggregate", (4, 3, 2), {}, 10, "each layer has agents of its own"),
    ("aggregate", (6, 6), JUDGE, 15, "a judge's call after each layer"),
    ("aggregate", (6, 2), JUDGE, 10, "and none where nothing is left to pick"),
    ("aggregate", (6, 6), {"select": "diverse", "keep": 2}, 13, "words are compared without a call"),
    ("aggregate", (6, 6), {"stop_on_agreement": "on"}, 13, "stopping saves calls and costs none"),
    ("self_mixture", (1,), {"samples": 6}, 7, "n + 1"),
    ("self_mixture", (1,), {"samples": 1}, 2, "n + 1"),
    ("self_mixture_sequential", (1,), {"samples": 6, "window": 3}, 9, "n, two merges, and the answer"),
    ("self_mixture_sequential", (1,), {"samples": 30, "window": 6}, 36, "n, five merges, and the answer"),
    ("self_mixture_sequential", (1,), {"samples": 3, "window": 6}, 4, "all fit into one window"),
    ("vote", (5,), {}, 5, "n agents, and nobody aggregates"),
    ("vote", (1,), {"samples": 9}, 9, "n samples"),
    ("vote", (3,), {"samples": 4}, 12, "samples of agents"),
    ("rank", (4,), {}, 5, "n + 1"),
    ("rank", (1,), {"samples": 8}, 9, "n + 1"),
    ("rank", (4,), PAIRS, 16, "n + n(n - 1): each pair in both orders"),
    ("rank", (1,), {}, 1, "one candidate needs no judge"),
    ("debate", (4,), {}, 12, "4 agents in 3 rounds, and a vote"),
    ("debate", (4,), {"rounds": 2, "neighbours": 1}, 8, "neighbours change what is read, not what is called"),
    ("debate", (4,), {"rounds": 2, "end": "aggregate"}, 9, "and an aggregator"),
    ("review", (4,), {}, 9, "2n + 1"),
    ("review", (3,), {}, 7, "2n + 1"),
    ("route", (5,), {}, 2, "the router, and whom it picks"),
    ("route", (5,), BY_RULES, 1, "rules cost nothing"),
    ("route", (5,), THEN, 4, "the router, k agents, and an aggregator"),
    ("route", (5,), {**BY_RULES, **THEN}, 3, "k + 1"),
    ("coordinate", (3,), {"depth": 1}, 6, "the plan, its repair, n, and who combines"),
    ("coordinate", (3,), {"depth": 2}, 9, "the plan, its repair, n in each step, and who combines"),
    ("refine", (1, 3), {}, 5, "a draft, three critiques, and the editor"),
    ("refine", (1, 3, 1, 3), {}, 9, "two rounds of it"),
    ("cascade", (3, 1), {}, 4, "every tier"),
    ("cascade", (1, 1, 1), LIKELY, 3, "log-probabilities come with the answer"),
    ("cascade", (1, 1, 1), VERIFIED, 5, "a check after each tier but the last"),
    ("cascade", (2, 3), {"samples": 2}, 8, "samples below the last tier, and an aggregator after it"),
)
FOLDED: tuple[Count, ...] = (
    ("aggregate", (2,), {}, 3, "two cannot be read fewer at a time"),
    ("aggregate", (3,), {}, 4 + 2, "two at a time"),
    ("aggregate", (6,), {}, 7 + 3, "three at a time"),
    ("aggregate", (6, 6), {"select": "diverse", "keep": 3}, 13 + 2, "what is picked"),
    ("aggregate", (9, 3), {"stop_on_agreement": "on"}, 13 + 4, "the first layer can be the last"),
    ("self_mixture", (1,), {"samples": 7}, 8 + 3, "the samples"),
    ("self_mixture_sequential", (1,), {"samples": 6, "window": 3}, 9 + 2, "the last window"),
    ("debate", (4,), {"end": "aggregate"}, 13 + 2, "the last round"),
    ("debate", (4,), {}, 12, "a vote reads nothing"),
    ("coordinate", (3,), {"depth": 1}, 6 + 2, "the answers of all, where the plan could not be used"),
    ("route", (5,), {"then": "aggregate", "pick": 4}, 6 + 2, "whom the router picked"),
    ("cascade", (2, 3), {"samples": 2}, 8 + 2, "the last tier"),
    ("review", (4,), {}, 9, "a review is not folded"),
)


def roster_of(widths: tuple[int, ...]) -> Roster:
    layers = tuple(
        tuple(Agent(f"a{row}{column}", "m", labels=("skill",)) for column in range(width))
        for row, width in enumerate(widths)
    )
    return Roster(layers, LAST, ROLES)


def explained(strategy: str, roster: Roster, options: Mapping[str, object], rules: Rules, *, schema: bool) -> int:
    mixture = Mixture("mix", strategy, roster, rules, options)
    agents = {agent.name: agent for agent in roster.agents()}
    model = FakeModel(spec("m", window=100_000))
    engine = Engine(Catalogue({"m": model}, {"mix": mixture}, STRATEGIES, agents, "mix"), MemoryJournal())
    assert not [*STRATEGIES[strategy].problems(roster, STRATEGIES[strategy].read(options))]
    plan = engine.explain(Query(user("hello"), "mix", Overrides(response_schema="{}" if schema else None)))
    assert model.asked == []
    assert len(engine.mixtures()[0].layers) == len(plan.layers)
    return plan.worst_case.calls


def test_every_strategy_is_counted() -> None:
    assert {setting.strategy for setting in SETTINGS} == set(STRATEGIES)
    assert {row[0] for row in COUNTS} <= set(STRATEGIES)


@pytest.mark.parametrize("schema", [False, True])
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda one: f"{one.strategy}-{one.calls}")
def test_the_settings_of_a_strategys_own_tests_are_counted(setting: Setting, *, schema: bool) -> None:
    calls = explained(setting.strategy, setting.roster, setting.options, Rules(), schema=schema)
    assert calls == setting.calls + schema


@pytest.mark.parametrize(("strategy", "widths", "options", "calls", "why"), COUNTS)
def test_the_most_calls_are_known_before_the_first(
    strategy: str, widths: tuple[int, ...], options: Mapping[str, object], calls: int, why: str
) -> None:
    assert explained(strategy, roster_of(widths), options, Rules(), schema=False) == calls, why


@pytest.mark.parametrize(("strategy", "widths", "options", "calls", "why"), COUNTS)
def test_a_schema_may_cost_one_repair(
    strategy: str, widths: tuple[int, ...], options: Mapping[str, object], calls: int, why: str
) -> None:
    assert explained(strategy, roster_of(widths), options, Rules(), schema=True) == calls + 1, why


@pytest.mark.parametrize(("strategy", "widths", "options", "calls", "why"), FOLDED)
def test_what_may_be_folded_is_counted(
    strategy: str, widths: tuple[int, ...], options: Mapping[str, object], calls: int, why: str
) -> None:
    assert explained(strategy, roster_of(widths), options, FOLD, schema=False) == calls, why


@pytest.mark.parametrize("price", [None, Price(1_000, 2_000)])
def test_what_is_to_come_is_the_worst_case_of_the_layers_after_one(price: Price | None) -> None:
    model = FakeModel(spec("m", window=100_000, price=price))
    mixture = Mixture("mix", "aggregate", roster_of((3, 3)))
    agents = {agent.name: agent for agent in mixture.roster.agents()}
    engine = Engine(Catalogue({"m": model}, {"mix": mixture}, STRATEGIES, agents, "mix"), MemoryJournal())
    plan = engine.explain(Query(user("hello"), "mix"))
    strategy = STRATEGIES["aggregate"]
    stages = strategy.outlined(plan.roster, strategy.read(plan.options), plan.rules)
    to_come = [UpperBounds({"m": model}).to_come(plan, stages, index) for index in (-1, 0, 1, 2)]
    assert [usage.calls for usage in to_come] == [7, 4, 1, 0]
    whole = plan.worst_case
    assert (to_come[0].tokens, to_come[0].cost_nanousd) == (whole.tokens, whole.cost_nanousd or 0)
    assert to_come[-1] == Usage(cost_nanousd=0)
    assert UpperBounds({}).to_come(plan, stages, -1) == Usage(), "its models are not known here"
