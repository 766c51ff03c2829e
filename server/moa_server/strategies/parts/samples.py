"""Asks one agent more than once."""

from collections.abc import Iterator
from dataclasses import replace

from moa_server.domain.agent import Agent
from moa_server.domain.mixture import Roster


def sampled(agents: tuple[Agent, ...], samples: int) -> tuple[Agent, ...]:
    """Return each agent so many times, one round of all after the other."""
    return tuple(_again(agent, number) for number in range(samples) for agent in agents)


def _again(agent: Agent, number: int) -> Agent:
    """A fixed seed would have an endpoint say the same thing every time."""
    if agent.sampling.seed is None or not number:
        return agent
    return replace(agent, sampling=replace(agent.sampling, seed=agent.sampling.seed + number))


def problems(roster: Roster, samples: int) -> Iterator[str]:
    """Tell which agents would only repeat themselves."""
    if samples > 1:
        for agent in dict.fromkeys(agent for layer in roster.layers for agent in layer):
            if agent.sampling.temperature == 0:
                yield f"{agent.name} is sampled {samples} times at temperature 0, which gives the same text each time"
