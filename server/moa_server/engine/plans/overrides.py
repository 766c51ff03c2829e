"""Lays a caller's overrides over a mixture, as far as the mixture allows."""

from dataclasses import replace
from typing import Any

from moa_server.domain.agent import Agent, Sampling
from moa_server.domain.errors import OverrideRefused, Violation
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Mixture, Permissions, Roster
from moa_server.domain.query import Overrides
from moa_server.domain.strategy import Strategy
from moa_server.engine.plans.catalogue import Catalogue

_PATH = "query.overrides"


def overridden(
    mixture: Mixture, overrides: Overrides, strategy: Strategy[Any], catalogue: Catalogue, limits: Limits
) -> Roster:
    """Return the mixture's roster as the caller wants it.

    Raises:
        OverrideRefused: the mixture does not allow it, or it makes no sense.
    """
    violations = _forbidden(mixture.permissions, overrides) + _unknown_agents(mixture.permissions, overrides, catalogue)
    if len(overrides.layers) > limits.layers:
        violations.append(Violation(f"{_PATH}.layers", f"at most {limits.layers} layers"))
    else:
        violations += (
            Violation(f"{_PATH}.layers[{row}].agents", f"from 1 to {limits.agents_per_layer} agents")
            for row, layer in enumerate(overrides.layers)
            if not 1 <= len(layer) <= limits.agents_per_layer
        )
    if not violations:
        # Only a roster that may be had can be put together and shown to the strategy.
        roster = _applied(mixture, overrides, catalogue)
        problems = strategy.problems(roster, strategy.read(mixture.options))
        violations = [Violation(f"{_PATH}.layers", problem) for problem in problems]
        if not violations:
            return roster
    raise OverrideRefused(
        f"mixture {mixture.name} does not allow what was asked of it",
        metadata={"mixture": mixture.name, "field": violations[0].field},
        violations=tuple(violations),
    )


def _forbidden(allowed: Permissions, overrides: Overrides) -> list[Violation]:
    found = []
    if overrides.sampling != Sampling() and not allowed.sampling:
        found.append(Violation(f"{_PATH}.sampling", "this mixture does not let callers change sampling"))
    most = overrides.sampling.max_tokens
    if most is not None and allowed.max_tokens is not None and most > allowed.max_tokens:
        found.append(Violation(f"{_PATH}.sampling.max_tokens", f"at most {allowed.max_tokens} for this mixture"))
    if overrides.response_schema is not None and not allowed.response_schema:
        found.append(Violation(f"{_PATH}.response_schema", "this mixture gives no structured answers"))
    return found


def _unknown_agents(allowed: Permissions, overrides: Overrides, catalogue: Catalogue) -> list[Violation]:
    named = [
        (f"{_PATH}.layers[{row}].agents[{column}]", name)
        for row, layer in enumerate(overrides.layers)
        for column, name in enumerate(layer)
    ]
    if overrides.aggregator:
        named.append((f"{_PATH}.aggregator", overrides.aggregator))
    offered = [name for name in allowed.agents if name in catalogue.agents]
    return [
        Violation(path, f"{name[:64]!r} is not an agent callers may choose; those are: {', '.join(offered) or 'none'}")
        for path, name in named
        if name not in offered
    ]


def _applied(mixture: Mixture, overrides: Overrides, catalogue: Catalogue) -> Roster:
    roster = mixture.roster
    layers = tuple(tuple(catalogue.agents[name] for name in layer) for layer in overrides.layers) or roster.layers
    aggregator = catalogue.agents[overrides.aggregator] if overrides.aggregator else roster.aggregator

    def sampled(agent: Agent) -> Agent:
        sampling = overrides.sampling.over(agent.sampling)
        if sampling.max_tokens is not None:
            # An agent never writes more than the operator lets it.
            own = catalogue.models[agent.model].spec.most_output(agent.sampling)
            most = mixture.permissions.max_tokens or own
            sampling = replace(sampling, max_tokens=min(sampling.max_tokens, most))
        return replace(agent, sampling=sampling)

    return replace(
        roster,
        layers=tuple(tuple(sampled(agent) for agent in layer) for layer in layers),
        aggregator=sampled(aggregator) if aggregator else None,
    )
