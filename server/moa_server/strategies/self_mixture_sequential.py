"""One agent is asked again and again, and a running best takes in a few samples at a time, so that prompts stay short.

While one window is being made into the next best, the samples of the window after it are already being taken; so each
layer shows the next one exactly what that may read.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from moa_server.domain.mixture import Roster
from moa_server.domain.plan import Plan
from moa_server.domain.strategy import Call, Layer, OutlinedLayer, Rule, Strategy
from moa_server.strategies.parts import roster_checks
from moa_server.strategies.parts.aggregation import aggregated, outlined_answer
from moa_server.strategies.parts.selection import ordered
from moa_server.strategies.parts.sub_rule import NOTHING, ask, sampled
from moa_server.strategies.prompts import brief
from moa_server.strategies.self_mixture import answerer, one_agent


@dataclass(frozen=True, slots=True)
class SequentialOptions:
    """What can be said about a sequential mixture of one agent with itself."""

    samples: int = 6
    """How often it is asked."""
    window: int = 3
    """How many texts are read at a time, the running best among them."""


def self_mixture_sequential(plan: Plan, options: SequentialOptions) -> Rule:
    """Have samples taken window by window, and each window merged into a running best."""
    asked = sampled(plan.roster.layers[0], options.samples)
    best = answerer(plan.roster)
    shown = NOTHING
    for start, end in _windows(options):
        taken = tuple(Call(agent) for agent in asked[start:end])
        merge = (Call(best, shown, brief(plan)),) if shown else ()
        result = yield from ask(Layer((*merge, *taken)))
        shown = ordered(plan, result)
    # Unweighed: the running best holds many samples, and the weight it would be shown with is that of one agent.
    return (yield from aggregated(plan, best, shown, weigh=False))


def _windows(options: SequentialOptions) -> Iterator[tuple[int, int]]:
    """Yield which samples each layer takes: a window at first, then one less, since the running best is read too."""
    end = min(options.window, options.samples)
    yield 0, end
    while end < options.samples:
        start, end = end, min(end + options.window - 1, options.samples)
        yield start, end


def outline(roster: Roster, options: SequentialOptions) -> tuple[OutlinedLayer, ...]:
    """Return each window, the merge of the one before it beside it, and the answer."""
    asked = sampled(roster.layers[0], options.samples)
    best = answerer(roster)
    taken = [OutlinedLayer((*((best,) if start else ()), *asked[start:end])) for start, end in _windows(options)]
    return (*taken, *outlined_answer(best, min(options.window, options.samples)))


def checks(roster: Roster, options: SequentialOptions) -> Iterator[str]:
    """Tell why such a roster is no mixture of one agent with itself."""
    yield from one_agent(roster)
    yield from roster_checks.within("samples", options.samples, 1, 1000)
    yield from roster_checks.within("window", options.window, 2, 100)
    yield from roster_checks.differing_samples(roster, options.samples)


SELF_MIXTURE_SEQUENTIAL = Strategy(
    "self_mixture_sequential", self_mixture_sequential, outline, checks, SequentialOptions
)
