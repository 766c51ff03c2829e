"""A router, or the operator's rules, picks the agents of a pool who answer this query."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from moa_server.domain.agent import Agent
from moa_server.domain.conversation import Role
from moa_server.domain.mixture import Roster
from moa_server.domain.plan import Plan
from moa_server.domain.strategy import TOLD, Call, Decision, DecisionKind, Layer, OutlinedLayer, Rule, Strategy
from moa_server.strategies.parts import roster_checks
from moa_server.strategies.parts.aggregation import aggregated, outlined_answer
from moa_server.strategies.parts.json_text import last_object
from moa_server.strategies.parts.selection import ordered
from moa_server.strategies.parts.sub_rule import SubRule, aggregator_of, answer_by, ask, ask_one, fell_back, only_answer
from moa_server.strategies.prompts import assignments as prompts

_MOST_REASON = 200
_MOST_CHARACTERS = 20_000


@dataclass(frozen=True, slots=True)
class RouteOptions:
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


def route(plan: Plan, options: RouteOptions) -> Rule:
    """Have those who are picked answer: one alone, or an aggregator from what they say."""
    agents, reason = by_rules(plan, options) if options.by == "rules" else (yield from _by_model(plan, options))
    yield Decision(DecisionKind.ROUTE, tuple(agent.name for agent in agents), reason)
    if options.then == "single":
        return (yield from answer_by(Call(agents[0], response_schema=plan.response_schema)))
    result = yield from ask(Layer(tuple(Call(agent) for agent in agents)))
    only = yield from only_answer(plan, result)
    if only:
        return only
    return (yield from aggregated(plan, aggregator_of(plan.roster), ordered(plan, result)))


def by_rules(plan: Plan, options: RouteOptions) -> tuple[tuple[Agent, ...], str]:
    """Return those whom the last user message calls for, and why."""
    pool = plan.roster.layers[0]
    said = next((message.text for message in reversed(plan.messages) if message.role is Role.USER), "")
    text = said[:_MOST_CHARACTERS].casefold()
    label, reason = options.otherwise, "no rule fits the query"
    for rule in options.rules:
        words, leads_to = read_rule(rule)
        # Not `\b`, which finds no end of a word after a mark, as in c++.
        found = [word for word in words if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text)]
        if found and any(leads_to in agent.labels for agent in pool):
            label, reason = leads_to, f"the query holds {found[0]!r}"
            break
    fitted = tuple(agent for agent in pool if label in agent.labels) or pool
    return fitted[: options.pick], reason


def read_rule(rule: str) -> tuple[tuple[str, ...], str]:
    """Return the words and the label of a rule such as ``python, code -> coding``."""
    words, _, label = rule.partition("->")
    return tuple(word.strip().casefold() for word in words.split(",") if word.strip()), label.strip()


def _by_model(plan: Plan, options: RouteOptions) -> SubRule[tuple[tuple[Agent, ...], str]]:
    """Return those whom the router picks, and why; the first of the pool when it picks nobody."""
    pool = plan.roster.layers[0]
    pick = min(options.pick, len(pool))
    asked = prompts.route(plan, pick)
    said = yield from ask_one(Call(plan.roster.roles["router"], messages=asked, response_schema=prompts.PICK_SCHEMA))
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


def outline(roster: Roster, options: RouteOptions) -> tuple[OutlinedLayer, ...]:
    """Return the router, any of the pool whom it may pick, and the answer."""
    pool = roster.layers[0]
    single = options.then == "single"
    router: tuple[OutlinedLayer, ...] = ()
    if options.by == "model":
        told = TOLD + prompts.strengths_tokens(pool)
        router = (OutlinedLayer((roster.roles["router"],), told=told, schema=prompts.PICK_SCHEMA),)
    picked = OutlinedLayer(pool, told=0, answers=single, most=1 if single else min(options.pick, len(pool)))
    if single:
        return (*router, picked)
    return (*router, picked, *outlined_answer(aggregator_of(roster), len(pool[: options.pick])))


def checks(roster: Roster, options: RouteOptions) -> Iterator[str]:
    """Tell why such a roster cannot be routed to."""
    pool = roster.layers[0] if roster.layers else ()
    yield from roster_checks.layer_count(roster, 1, 1)
    yield from roster_checks.within("pick", options.pick, 1, 100)
    if options.then == "single" and options.pick != 1:
        yield f"pick is {options.pick}; a single one answers, or take then: aggregate"
    if options.then == "aggregate":
        yield from roster_checks.needs_aggregator(roster)
    if options.by == "rules":
        yield from _dead_ends(options, pool)
    if options.by == "model":
        yield from roster_checks.needs_role(roster, "router", "to pick the agents")
        yield from roster_checks.strengths(pool)


def _dead_ends(options: RouteOptions, pool: tuple[Agent, ...]) -> Iterator[str]:
    """Tell which rules lead nowhere."""
    known = {label for agent in pool for label in agent.labels}
    if not options.rules:
        yield "rules are needed, such as 'python, code -> coding'"
    for rule in options.rules:
        words, label = read_rule(rule)
        if not words or not label:
            yield f"rule {rule!r} has to be words and a label, such as 'python, code -> coding'"
        elif label not in known:
            yield f"rule {rule!r} leads to {label!r}; the labels of the pool are {', '.join(sorted(known)) or 'none'}"
    if options.otherwise and options.otherwise not in known:
        yield f"otherwise is {options.otherwise!r}; the labels of the pool are {', '.join(sorted(known)) or 'none'}"


ROUTE = Strategy("route", route, outline, checks, RouteOptions)
