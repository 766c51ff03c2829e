"""Cuts a plan until its worst case fits its budget: fewer layers, then fewer agents, down to one."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from moa_server.domain.degradation import Degradation, DegradationReason
from moa_server.domain.errors import BudgetTooSmall
from moa_server.domain.mixture import Roster
from moa_server.domain.plan import Plan
from moa_server.domain.strategy import Strategy


def fit(plan: Plan, strategy: Strategy[Any], resolve: Callable[[Roster], Plan]) -> Plan:
    """Return the largest plan whose worst case fits the budget.

    Raises:
        BudgetTooSmall: there is none, or the mixture does not degrade.
    """
    whole = resolve(plan.roster)
    over = whole.worst_case.beyond(plan.budget)
    if not over:
        return whole
    if plan.rules.degrade_to_budget:
        options = strategy.read(plan.options)
        for roster in smaller(plan.roster):
            if any(strategy.problems(roster, options)):
                continue
            cut = resolve(roster)
            if not cut.worst_case.beyond(plan.budget):
                return replace(cut, degradations=dropped(plan.roster, roster))
    raise BudgetTooSmall(
        f"the plan's worst case needs {over['needed']} {over['limit']}, and the budget allows {over['allowed']}",
        metadata=over,
    )


def smaller(roster: Roster) -> Iterator[Roster]:
    """Yield ever smaller rosters: fewer layers first, then fewer agents in the one that is left."""
    for count in range(len(roster.layers) - 1, 0, -1):
        yield replace(roster, layers=roster.layers[:count])
    first = roster.layers[0] if roster.layers else ()
    for count in range(len(first) - 1, 0, -1):
        yield replace(roster, layers=(first[:count],))
    if roster.layers and roster.aggregator is not None:
        yield replace(roster, layers=())


def dropped(before: Roster, after: Roster) -> tuple[Degradation, ...]:
    """Return what was cut, as reasons why the answer is less than planned."""
    found = []
    layers = len(before.layers) - len(after.layers)
    if layers:
        detail = f"{layers} of {len(before.layers)} proposer layers left out to fit the budget"
        found.append(Degradation(DegradationReason.LAYERS_DROPPED, detail))
    for index, (had, has) in enumerate(zip(before.layers, after.layers, strict=False)):
        for agent in had[len(has) :]:
            detail = f"{agent.name} left out to fit the budget"
            found.append(Degradation(DegradationReason.AGENTS_DROPPED, detail, index, agent.name))
    return tuple(found)
