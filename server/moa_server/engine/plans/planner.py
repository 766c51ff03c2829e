"""Makes a plan of a query: mixture, overrides, limits, worst case, and the cuts that make it fit its budget."""

import secrets
from dataclasses import dataclass, field, replace
from typing import Any

from moa_server.domain.errors import InvalidRequest, Violation
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Mixture, Roster
from moa_server.domain.plan import Plan, PlannedLayer, WorstCase
from moa_server.domain.query import Query
from moa_server.domain.strategy import Strategy
from moa_server.engine.plans.budget_cuts import fit
from moa_server.engine.plans.catalogue import Catalogue
from moa_server.engine.plans.estimates import Estimates
from moa_server.engine.plans.overrides import overridden
from moa_server.engine.plans.worst_case import UpperBounds
from moa_server.engine.runs.response_schema import check_schema

_MARK_BYTES = 8
_SEED_BITS = 63
_MOST_TOLD = 10
"""Images that a refusal names."""


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes plans from what this server offers."""

    catalogue: Catalogue
    limits: Limits
    estimates: Estimates = field(default_factory=Estimates)
    """What was learned of how endpoints count tokens."""

    def plan(self, query: Query) -> Plan:
        """Resolve a query.

        Raises:
            UnknownMixture, OverrideRefused, InvalidRequest: it asks for what is not to be had.
            BudgetTooSmall: its worst case does not fit, and the mixture does not degrade.
        """
        if query.overrides.response_schema is not None:
            check_schema(query.overrides.response_schema)
        mixture = self.catalogue.mixture(query.mixture)
        strategy = self.catalogue.strategies[mixture.strategy]
        roster = overridden(mixture, query.overrides, strategy, self.catalogue, self.limits)
        seed = query.overrides.seed
        plan = Plan(
            mixture=mixture.name,
            strategy=mixture.strategy,
            messages=query.messages,
            roster=roster,
            layers=(),
            worst_case=WorstCase(0, 0, 0),
            budget=mixture.budget.tightened(query.overrides.budget),
            rules=mixture.rules,
            mark=secrets.token_hex(_MARK_BYTES),
            seed=secrets.randbits(_SEED_BITS) if seed is None else seed,
            options=mixture.options,
            response_schema=query.overrides.response_schema,
        )
        self._check_sight(plan, strategy)
        return fit(plan, strategy, lambda roster: self._resolved(plan, strategy, roster))

    def describe(self, mixture: Mixture) -> Plan:
        """Return the plan of a mixture for the shortest query, whatever its budget says."""
        strategy = self.catalogue.strategies[mixture.strategy]
        bare = Plan(
            mixture=mixture.name,
            strategy=mixture.strategy,
            messages=(),
            roster=mixture.roster,
            layers=(),
            worst_case=WorstCase(0, 0, 0),
            budget=mixture.budget,
            rules=mixture.rules,
            mark="",
            seed=0,
            options=mixture.options,
        )
        return self._resolved(bare, strategy, mixture.roster)

    def _check_sight(self, plan: Plan, strategy: Strategy[Any]) -> None:
        """Make sure that whoever has nothing but the conversation to go by can see the images in it.

        Whoever goes on from what others said need not see them, and is told that there are some.

        Raises:
            InvalidRequest: somebody cannot.
        """
        pictured = [
            f"query.messages[{number}].parts[{place}].image"
            for number, message in enumerate(plan.messages)
            for place, part in enumerate(message.parts)
            if part.image is not None
        ]
        if not pictured:
            return
        stages = strategy.outlined(plan.roster, strategy.read(plan.options), plan.rules)
        first, *later = stages
        alone = (first, *(layer for layer in later if not layer.told))
        reading = dict.fromkeys(agent for layer in alone for agent in layer.agents)
        blind = [agent for agent in reading if not self.catalogue.models[agent.model].spec.images]
        if not blind:
            return
        who = ", ".join(dict.fromkeys(f"{agent.name} ({agent.model})" for agent in blind))
        raise InvalidRequest(
            f"mixture {plan.mixture} cannot read images",
            metadata={"field": pictured[0], "agents": ",".join(dict.fromkeys(agent.name for agent in blind))},
            violations=tuple(
                Violation(place, f"would have to be read by agents whose models take no images: {who}")
                for place in pictured[:_MOST_TOLD]
            ),
        )

    def _resolved(self, plan: Plan, strategy: Strategy[Any], roster: Roster) -> Plan:
        stages = strategy.outlined(roster, strategy.read(plan.options), plan.rules)
        quorum, layers = plan.rules.quorum, []
        for index, layer in enumerate(stages):
            count = len(layer.agents[: layer.most])
            needed = count if quorum is None or layer.answers else min(quorum, count)
            grace_s = plan.rules.grace_s
            layers.append(PlannedLayer(index, layer.agents, needed, grace_s, layer.answers, count, layer.folds))
        resolved = replace(plan, roster=roster, layers=tuple(layers))
        bounds = UpperBounds(self.catalogue.models, self.estimates)
        return replace(
            resolved,
            worst_case=bounds.worst_case(resolved, stages),
            worst_case_with_failures=bounds.worst_case(resolved, stages, failing=True),
        )
