"""One agent is asked again and again, and a running best takes in a few samples at a time, so that prompts stay short.

While one window is being made into the next best, the samples of the window after it are already being taken; so each
layer shows the next one exactly what that may read.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from moa_server.domain.mixture import Roster
from moa_server.domain.plan import Plan
from moa_server.domain.strategy import TOLD, Call, Layer, OutlinedLayer, Rule, Strategy
from moa_server.strategies.parts import roster_checks
from moa_server.strategies.parts.aggregation import aggregated, outlined_answer
from moa_server.strategies.parts.selection import ordered
from moa_server.strategies.parts.sub_rule import NOTHING, ask, fell_back, sampled
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
    shown, is_merged = NOTHING, False
    for start, end in _windows(options):
        taken = tuple(Call(agent) for agent in asked[start:end])
        if not start:
            shown = ordered(plan, (yield from ask(Layer(taken))))
            continue
        merge = Call(best, shown, brief(plan), in_quorum=False)
        result = yield from ask(Layer((merge, *taken), falls_back=True))
        merged = tuple(proposal for proposal in result.proposals if proposal.position == 0)
        samples = tuple(proposal for proposal in ordered(plan, result) if proposal.position > 0)
        # In the places of the merge and of the samples that failed, so that no prompt is longer than was planned.
        kept = merged or shown[: 1 + len(taken) - len(samples)]
        if len(kept) < len(shown) and not merged:
            yield fell_back(f"a merge failed, so that {len(shown) - len(kept)} of {len(shown)} texts are left out")
        is_merged = is_merged or bool(merged)
        shown = (*kept, *samples)
    # Unweighed: the running best holds many samples, and the weight it would be shown with is that of one agent. So it
    # stands in for the answer whatever it weighs.
    return (yield from aggregated(plan, best, shown, weigh=False, stand_ins=shown[:1] if is_merged else None))


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
    # A running best stands as long as merges fail, so that the answer can look back to the first window.
    windows = [
        OutlinedLayer(
            (*((best,) if start else ()), *asked[start:end]), max(index, 1), of_one=True, told=TOLD if start else 0
        )
        for index, (start, end) in enumerate(_windows(options))
    ]
    return (*windows, *outlined_answer(best, min(options.window, options.samples), len(windows), of_one=True))


def checks(roster: Roster, options: SequentialOptions) -> Iterator[str]:
    """Tell why such a roster is no mixture of one agent with itself."""
    yield from one_agent(roster)
    yield from roster_checks.within("samples", options.samples, 1, 1000)
    yield from roster_checks.within("window", options.window, 2, 100)
    yield from roster_checks.differing_samples(roster, options.samples)


SELF_MIXTURE_SEQUENTIAL = Strategy(
    "self_mixture_sequential", self_mixture_sequential, outline, checks, SequentialOptions
)
