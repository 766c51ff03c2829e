"""What can be wrong with a roster or with options, as sentences."""

import math
from collections.abc import Iterable, Iterator

from moa_server.domain.agent import Agent
from moa_server.domain.mixture import Roster

_MOST_TOLD = 1_000
"""Bytes of what an agent is told in an operator's words."""


def within(option: str, value: float, least: float, most: float) -> Iterator[str]:
    """Tell that a number is out of its range."""
    if not least <= value <= most:
        yield f"{option} is {value!r}; it goes from {least:g} to {most:g}"


def needs_aggregator(roster: Roster) -> Iterator[str]:
    """Tell that nobody writes the answer."""
    if roster.aggregator is None:
        yield "an aggregator is needed, to write the answer"


def needs_role(roster: Roster, role: str, task: str) -> Iterator[str]:
    """Tell that nobody has a task."""
    if role not in roster.roles:
        yield f"the role {role!r} is needed, {task}"


def layer_count(roster: Roster, least: int, most: int | None = None) -> Iterator[str]:
    """Tell that there are too few or too many layers, or empty ones."""
    count = len(roster.layers)
    if count < least or (most is not None and count > most):
        wanted = f"{least}" if most == least else f"at least {least}" if most is None else f"{least} to {most}"
        yield f"{count} layers are named; {wanted} needed"
    for index, agents in enumerate(roster.layers):
        if not agents:
            yield f"layer {index} has no agents"


def sound_weights(roster: Roster) -> Iterator[str]:
    """Tell which weights cannot be counted."""
    for agent in dict.fromkeys(agent for layer in roster.layers for agent in layer):
        if not math.isfinite(agent.weight) or agent.weight < 0:
            yield f"the weight of {agent.name} is {agent.weight!r}; it has to be a number from 0"
    for index, agents in enumerate(roster.layers):
        if agents and not any(agent.weight for agent in agents):
            yield f"all agents of layer {index} weigh nothing"


def differing_samples(roster: Roster, samples: int) -> Iterator[str]:
    """Tell which agents would only repeat themselves when they are asked so many times."""
    if samples > 1:
        for agent in dict.fromkeys(agent for layer in roster.layers for agent in layer):
            if agent.sampling.temperature == 0:
                yield f"{agent.name} is sampled {samples} times at temperature 0, which gives the same text each time"


def short_enough(option: str, texts: Iterable[str]) -> Iterator[str]:
    """Tell that texts are missing, or longer than the plan counts for what an agent is told."""
    size = sum(len(text.encode()) + 2 for text in texts)
    if not 0 < size <= _MOST_TOLD:
        yield f"{option} has {size} bytes; it takes 1 to {_MOST_TOLD}"


def strengths(pool: Iterable[Agent]) -> Iterator[str]:
    """Tell which agents nobody can choose, since it is not said what they are good at."""
    agents = tuple(pool)
    for agent in agents:
        if not agent.labels:
            yield f"{agent.name} has no labels; say what it is good at, so that it can be chosen"
    yield from short_enough("the list of the pool's labels", (label for agent in agents for label in agent.labels))
