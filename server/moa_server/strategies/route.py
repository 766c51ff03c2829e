"""A router, or the operator's rules, picks the agents of a pool who answer this query."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from moa_server.domain.agent import Agent
from moa_server.domain.mixture import Roster
from moa_server.domain.plan import Plan
from moa_server.domain.strategy import Call, Decision, Layer, OutlinedLayer, Rule, Strategy
from moa_server.strategies.parts import roster_checks, route_rules
from moa_server.strategies.parts.aggregation import aggregated, answering
from moa_server.strategies.parts.json_text import last_object
from moa_server.strategies.parts.reference_order import ordered
from moa_server.strategies.parts.steps import (
    Step,
    aggregator_of,
    answer_by,
    ask,
    ask_one,
    fell_back,
    only_proposal,
    return_only,
)
from moa_server.strategies.prompts import router as prompts

_MOST_REASON = 200


@dataclass(frozen=True, slots=True)
class Options:
    """What can be said about routing."""

    by: Literal["model", "rules"] = "model"
    """Who picks: the role ``router`` (``model``), or ``rules`` on the words of the query."""
    pick: int = 1
    """How many agents are picked."""
    then: Literal["single", "aggregate"] = "single"
    """What they do: the ``single`` one picked answers, or the aggregator answers from what they say (``aggregate``)."""
    rules: tuple[str, ...] = ()
    """Words and the label of those who are picked, such as ``python, code -> coding``; the first that fits counts."""
    otherwise: str = ""
    """The label when no rule fits; empty means the first of the pool."""


def _run(plan: Plan) -> Rule:
    options = Options(**plan.options)
    by_rules = options.by == "rules"
    picked = _ruled(plan, options) if by_rules else (yield from _routed(plan, options))
    agents, reason = picked
    yield Decision("route", tuple(agent.name for agent in agents), reason)
    if options.then == "single":
        return (yield from answer_by(Call(agents[0], response_schema=plan.response_schema)))
    result = yield from ask(Layer(tuple(Call(agent) for agent in agents)))
    only = only_proposal(plan, result)
    if only:
        return (yield from return_only(only))
    return (yield from aggregated(plan, aggregator_of(plan.roster), ordered(plan, result)))


def _ruled(plan: Plan, options: Options) -> tuple[tuple[Agent, ...], str]:
    pool = plan.roster.layers[0]
    label, reason = route_rules.by_rules(tuple(options.rules), options.otherwise, pool, plan.messages)
    fitted = tuple(agent for agent in pool if label in agent.labels) or pool
    return fitted[: options.pick], reason


def _routed(plan: Plan, options: Options) -> Step[tuple[tuple[Agent, ...], str]]:
    pool = plan.roster.layers[0]
    pick = min(options.pick, len(pool))
    asked = prompts.asked(plan, pick)
    said = yield from ask_one(Call(plan.roster.roles["router"], messages=asked, response_schema=prompts.SCHEMA))
    places, reason = read_pick(said.text, len(pool)) if said else ([], "")
    if not places:
        yield fell_back("the router picked nobody, so that the first of the pool answer")
        return pool[:pick], "the router picked nobody"
    return tuple(pool[place] for place in places[:pick]), reason


def read_pick(text: str, count: int) -> tuple[list[int], str]:
    """Return the places a router named and its reason, on one line; no places when any is not there."""
    found = last_object(text, "agents") or {}
    numbers, reason = found.get("agents"), str(found.get("reason", ""))
    if not isinstance(numbers, list) or not all(type(one) is int and 1 <= one <= count for one in numbers):
        return [], ""
    return [one - 1 for one in dict.fromkeys(numbers)], " ".join(reason.split())[:_MOST_REASON]


def _outline(roster: Roster, options: Options) -> tuple[OutlinedLayer, ...]:
    pool = roster.layers[0]
    single = options.then == "single"
    router = (OutlinedLayer((roster.roles["router"],)),) if options.by == "model" else ()
    picked = OutlinedLayer(pool, answers=single, most=1 if single else min(options.pick, len(pool)))
    if single:
        return (*router, picked)
    return (*router, picked, *answering(aggregator_of(roster), len(pool[: options.pick])))


def _problems(roster: Roster, options: Options) -> Iterator[str]:
    pool = roster.layers[0] if roster.layers else ()
    yield from roster_checks.layer_count(roster, 1, 1)
    yield from roster_checks.one_of("by", options.by, ("model", "rules"))
    yield from roster_checks.one_of("then", options.then, ("single", "aggregate"))
    yield from roster_checks.within("pick", options.pick, 1, 100)
    if options.then == "single" and options.pick != 1:
        yield f"pick is {options.pick}; a single one answers, or take then: aggregate"
    if options.then == "aggregate":
        yield from roster_checks.needs_aggregator(roster)
    if options.by == "rules":
        yield from route_rules.problems(options.rules, options.otherwise, pool)
    if options.by == "model":
        yield from roster_checks.needs_role(roster, "router", "to pick the agents")
        yield from roster_checks.strengths(pool)


ROUTE = Strategy("route", _run, _outline, _problems, Options)
