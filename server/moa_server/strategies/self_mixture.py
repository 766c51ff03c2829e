"""One agent is asked several times, and an aggregator answers from what it said."""

from collections.abc import Iterator
from dataclasses import dataclass

from moa_server.domain.agent import Agent
from moa_server.domain.mixture import Roster
from moa_server.domain.plan import Plan
from moa_server.domain.strategy import Call, Layer, OutlinedLayer, Rule, Strategy
from moa_server.strategies.parts import roster_checks
from moa_server.strategies.parts.aggregation import aggregated, outlined_answer
from moa_server.strategies.parts.selection import ordered
from moa_server.strategies.parts.sub_rule import ask, only_answer, sampled


@dataclass(frozen=True, slots=True)
class SelfMixtureOptions:
    """What can be said about a mixture of one agent with itself."""

    samples: int = 6
    """How often it is asked."""


def self_mixture(plan: Plan, options: SelfMixtureOptions) -> Rule:
    """Have one agent sampled, and the samples aggregated."""
    asked = sampled(plan.roster.layers[0], options.samples)
    result = yield from ask(Layer(tuple(Call(agent) for agent in asked)))
    only = yield from only_answer(plan, result)
    if only:
        return only
    return (yield from aggregated(plan, answerer(plan.roster), ordered(plan, result)))


def answerer(roster: Roster) -> Agent:
    """Return who writes the answer: the agent itself where nobody else is named."""
    return roster.aggregator or roster.layers[0][0]


def outline(roster: Roster, options: SelfMixtureOptions) -> tuple[OutlinedLayer, ...]:
    """Return the samples and the answer."""
    asked = sampled(roster.layers[0], options.samples)
    return (OutlinedLayer(asked, told=0), *outlined_answer(answerer(roster), options.samples))


def one_agent(roster: Roster) -> Iterator[str]:
    """Tell that it is not one agent that is asked."""
    yield from roster_checks.layer_count(roster, 1, 1)
    if roster.layers and len(roster.layers[0]) > 1:
        yield f"the layer has {len(roster.layers[0])} agents; one is asked again and again, or take `aggregate`"


def checks(roster: Roster, options: SelfMixtureOptions) -> Iterator[str]:
    """Tell why such a roster is no mixture of one agent with itself."""
    yield from one_agent(roster)
    yield from roster_checks.within("samples", options.samples, 1, 100)
    yield from roster_checks.differing_samples(roster, options.samples)


SELF_MIXTURE = Strategy("self_mixture", self_mixture, outline, checks, SelfMixtureOptions)
