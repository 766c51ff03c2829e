"""Plans: overrides within the operator's bounds, worst cases, and what is cut to fit a budget."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain.agent import Agent, ReasoningEffort, Sampling
from moa_server.domain.conversation import Conversation, Image, Message, Part, Role
from moa_server.domain.degradation import DegradationReason
from moa_server.domain.errors import BudgetTooSmall, InvalidRequest, OverrideRefused, UnknownMixture
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Mixture, Permissions, Roster, Rules
from moa_server.domain.plan import Plan
from moa_server.domain.query import Overrides, Query
from moa_server.domain.reliability import HedgeRule, Reliability, RetryRule
from moa_server.domain.usage import Budget, Price
from moa_server.engine.plans.catalogue import Catalogue
from moa_server.engine.plans.planner import Planner
from moa_server.strategies import STRATEGIES
from tests.engine.fakes import FakeModel, spec, user

DEFAULT_RULES = Rules()
AS_IT_IS = Overrides()
PRICE = Price(input=1_000_000_000, output=2_000_000_000)


def planner(
    layers: int = 2,
    width: int = 3,
    *,
    rules: Rules = DEFAULT_RULES,
    price: Price | None = PRICE,
    budget: Budget = Budget(),
    permissions: Permissions = Permissions(),
) -> Planner:
    model = FakeModel(spec("m", price=price))
    agents = {f"a{i}": Agent(f"a{i}", "m", sampling=Sampling(max_tokens=100)) for i in range(width)}
    agents["boss"] = Agent("boss", "m", sampling=Sampling(max_tokens=100))
    roster = Roster((tuple(agents[f"a{i}"] for i in range(width)),) * layers, agents["boss"])
    mixture = Mixture("mix", "aggregate", roster, rules, budget=budget, permissions=permissions)
    return Planner(Catalogue({"m": model}, {"mix": mixture}, STRATEGIES, agents, "mix"), Limits())


def plan(made: Planner, overrides: Overrides = AS_IT_IS) -> Plan:
    return made.plan(Query(user("hello"), "", overrides))


def test_the_worst_case_is_known_before_the_first_call() -> None:
    worst = plan(planner(2, 3)).worst_case
    assert worst.calls == 7
    assert worst.tokens > 700
    assert worst.cost_nanousd is not None


def test_with_failures_every_retry_rival_and_fallback_is_counted() -> None:
    retries = Reliability(RetryRule(attempts=3))
    own = Reliability(RetryRule(attempts=2), hedge=HedgeRule("b"), fallbacks=("b", "c"))
    specs = [
        replace(spec("a", price=PRICE), reliability=own),
        replace(spec("b", price=PRICE), reliability=retries),
        replace(spec("c", price=PRICE), reliability=Reliability(RetryRule(attempts=0))),
    ]
    models = {one.name: FakeModel(one) for one in specs}
    roster = Roster(((Agent("x", "a"), Agent("y", "c")),), Agent("z", "b"))
    for restart in (False, True):
        mixture = Mixture("mix", "aggregate", roster, Rules(restart_answer=restart))
        agents = {agent.name: agent for agent in roster.agents()}
        made = Planner(Catalogue(models, {"mix": mixture}, STRATEGIES, agents, "mix"), Limits())
        found = plan(made)
        assert found.worst_case.calls == 3
        assert found.worst_case_with_failures is not None
        # x: three of a, one of its rival, four and one of those that stand in; y: one; z: four, and once more. Each of
        # those five, or once more again, may refuse the name of the limit on the output.
        assert found.worst_case_with_failures.calls == 9 + 4 + 1 + 1 + (8 + 2 if restart else 4 + 1)
        assert found.worst_case_with_failures.tokens > 2 * found.worst_case.tokens


def test_a_call_that_may_reach_an_unpriced_model_has_no_known_cost_with_failures() -> None:
    own = replace(spec("m", price=PRICE), reliability=Reliability(fallbacks=("b",)))
    models = {"m": FakeModel(own), "b": FakeModel(spec("b"))}
    mixture = Mixture("mix", "aggregate", Roster((), Agent("z", "m")))
    found = plan(Planner(Catalogue(models, {"mix": mixture}, STRATEGIES, {}, "mix"), Limits()))
    assert found.worst_case.cost_nanousd is not None
    assert found.worst_case_with_failures is not None
    assert found.worst_case_with_failures.cost_nanousd is None


def test_an_unknown_price_leaves_the_cost_unset() -> None:
    assert plan(planner(price=None)).worst_case.cost_nanousd is None


def test_a_plan_over_its_budget_loses_layers_first_and_then_agents() -> None:
    made = plan(planner(3, 3), Overrides(budget=Budget(calls=7)))
    assert (made.worst_case.calls, len(made.roster.layers)) == (7, 2)
    assert [one.reason for one in made.degradations] == [DegradationReason.LAYERS_DROPPED]
    made = plan(planner(3, 3), Overrides(budget=Budget(calls=3)))
    assert [agent.name for agent in made.roster.layers[0]] == ["a0", "a1"]
    assert {one.reason for one in made.degradations} == {
        DegradationReason.LAYERS_DROPPED,
        DegradationReason.AGENTS_DROPPED,
    }


def test_a_plan_goes_down_to_one_call_and_no_further() -> None:
    assert plan(planner(), Overrides(budget=Budget(calls=1))).worst_case.calls == 1
    with pytest.raises(BudgetTooSmall):
        plan(planner(), Overrides(budget=Budget(calls=0)))


def test_a_mixture_that_does_not_degrade_is_refused_with_the_numbers() -> None:
    with pytest.raises(BudgetTooSmall) as refused:
        plan(planner(rules=Rules(degrade_to_budget=False)), Overrides(budget=Budget(calls=6)))
    assert refused.value.metadata == {"limit": "calls", "needed": "7", "allowed": "6"}


def test_money_cannot_be_limited_where_a_price_is_unknown() -> None:
    with pytest.raises(BudgetTooSmall):
        plan(planner(price=None), Overrides(budget=Budget(cost_nanousd=10**12)))


def test_the_budget_is_the_smaller_of_the_operators_and_the_callers() -> None:
    made = plan(planner(budget=Budget(calls=9, tokens=10**6)), Overrides(budget=Budget(calls=20, time_s=3)))
    assert made.budget == Budget(calls=9, tokens=10**6, time_s=3)


@given(
    st.builds(
        Budget,
        calls=st.none() | st.integers(0, 20),
        tokens=st.none() | st.integers(0, 60_000),
        cost_nanousd=st.none() | st.integers(0, 80_000_000),
    )
)
def test_no_plan_goes_beyond_its_budget(budget: Budget) -> None:
    try:
        worst = plan(planner(3, 4), Overrides(budget=budget)).worst_case
    except BudgetTooSmall:
        return
    assert budget.calls is None or worst.calls <= budget.calls
    assert budget.tokens is None or worst.tokens <= budget.tokens
    assert budget.cost_nanousd is None or (worst.cost_nanousd or 0) <= budget.cost_nanousd


def test_an_unknown_mixture_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownMixture) as refused:
        planner().plan(Query(user("x"), "mixx"))
    assert refused.value.metadata == {"mixture": "mixx", "nearest": "mix"}


def test_callers_choose_agents_where_the_mixture_lets_them() -> None:
    made = planner(permissions=Permissions(agents=("a0", "boss")))
    chosen = plan(made, Overrides(layers=(("a0", "a0"),), aggregator="a0"))
    assert [agent.name for agent in chosen.roster.layers[0]] == ["a0", "a0"]
    assert chosen.roster.aggregator is not None
    assert chosen.roster.aggregator.name == "a0"


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        (Overrides(layers=(("a0", "a1"),)), "query.overrides.layers[0].agents[1]"),
        (Overrides(aggregator="ghost"), "query.overrides.aggregator"),
        (Overrides(layers=((),)), "query.overrides.layers[0].agents"),
        (Overrides(layers=(("a0",),) * 17), "query.overrides.layers"),
        (Overrides(sampling=Sampling(max_tokens=501)), "query.overrides.sampling.max_tokens"),
        (Overrides(response_schema="{}"), "query.overrides.response_schema"),
    ],
)
def test_what_the_mixture_does_not_allow_is_refused_by_field(overrides: Overrides, field: str) -> None:
    made = planner(permissions=Permissions(agents=("a0",), max_tokens=500, response_schema=False))
    with pytest.raises(OverrideRefused) as refused:
        plan(made, overrides)
    assert field in [violation.field for violation in refused.value.violations]


def test_sampling_is_laid_over_every_agents_and_never_lets_it_write_more() -> None:
    made = plan(planner(), Overrides(sampling=Sampling(temperature=0.1, max_tokens=5000)))
    assert {agent.sampling for agent in made.roster.agents()} == {Sampling(temperature=0.1, max_tokens=100)}


def test_how_much_is_reasoned_is_sampling_that_a_mixture_may_keep_to_itself() -> None:
    deep = Sampling(reasoning_effort=ReasoningEffort.HIGH, reasoning_tokens=50)
    made = plan(planner(), Overrides(sampling=deep))
    assert {agent.sampling for agent in made.roster.agents()} == {replace(deep, max_tokens=100)}
    assert made.worst_case == plan(planner()).worst_case, "it counts as output, which has its limit already"
    with pytest.raises(OverrideRefused):
        plan(planner(permissions=Permissions(sampling=False)), Overrides(sampling=deep))


def test_every_plan_has_a_mark_of_its_own_and_keeps_the_callers_seed() -> None:
    first, second = plan(planner()), plan(planner())
    assert first.mark != second.mark
    assert len(first.mark) >= 16
    assert plan(planner(), Overrides(seed=7)).seed == 7


PICTURE = Part(image=Image("image/png", b"x"))
PICTURED: Conversation = (
    Message(Role.USER, (Part("What is this?"), PICTURE)),
    Message.of(Role.ASSISTANT, "A picture."),
    Message(Role.USER, (PICTURE, Part("And this?"))),
)


def sighted(strategy: str, roster: Roster, options: Mapping[str, object] | None = None) -> Planner:
    """Plan with two models, of which only the one called ``eyes`` takes images."""
    models = {name: FakeModel(replace(spec(name), images=name == "eyes")) for name in ("eyes", "ears")}
    mixture = Mixture("mix", strategy, roster, options=options or {})
    agents = {agent.name: agent for agent in roster.agents()}
    return Planner(Catalogue(models, {"mix": mixture}, STRATEGIES, agents, "mix"), Limits())


SEES, BLIND, DEAF = Agent("sees", "eyes"), Agent("blind", "ears"), Agent("deaf", "ears")


def test_an_image_is_refused_where_somebody_has_nothing_but_the_conversation_and_cannot_see() -> None:
    made = sighted("aggregate", Roster(((SEES, BLIND, DEAF), (SEES,)), SEES))
    with pytest.raises(InvalidRequest) as refused:
        made.plan(Query(PICTURED, ""))
    assert [violation.field for violation in refused.value.violations] == [
        "query.messages[0].parts[1].image",
        "query.messages[2].parts[0].image",
    ]
    assert refused.value.violations[0].description.endswith("take no images: blind (ears), deaf (ears)")
    assert refused.value.metadata["agents"] == "blind,deaf"
    assert made.plan(Query(user("no picture"), "")).layers


def test_who_goes_on_from_what_others_said_need_not_see() -> None:
    assert sighted("aggregate", Roster(((SEES,), (BLIND,)), DEAF)).plan(Query(PICTURED, "")).layers


def test_every_tier_of_a_cascade_and_who_routes_has_to_see() -> None:
    options = {"gate": "logprobs"}
    tiers = sighted("cascade", Roster(((SEES,), (BLIND,))), options)
    with pytest.raises(InvalidRequest, match="cannot read images"):
        tiers.plan(Query(PICTURED, ""))
    pool = (replace(SEES, labels=("a",)), Agent("looks", "eyes", labels=("b",)))
    routed = sighted("route", Roster((pool,), None, {"router": BLIND}), {"by": "model", "then": "single"})
    with pytest.raises(InvalidRequest, match="cannot read images"):
        routed.plan(Query(PICTURED, ""))


def test_a_plan_is_described_without_looking_for_images() -> None:
    made = sighted("vote", Roster(((BLIND, DEAF),)), {"extract": "last_number"})
    assert made.describe(made.catalogue.mixture("")).layers
