"""Some draft, others criticise, others edit: a chain of layers with different tasks, and the last editor answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Literal

from moa_server.domain.mixture import Roster
from moa_server.domain.plan import Plan
from moa_server.domain.strategy import TOLD, Call, Layer, OutlinedLayer, Rule, Strategy
from moa_server.strategies.parts import roster_checks
from moa_server.strategies.parts.selection import ordered
from moa_server.strategies.parts.sub_rule import NOTHING, aggregator_of, answer_by, ask, try_all
from moa_server.strategies.prompts import critics as prompts


@dataclass(frozen=True, slots=True)
class RefineOptions:
    """What can be said about a chain of drafts."""

    tasks: tuple[Literal["critique", "edit"], ...] = ()
    """What each layer after the first does, ``critique`` or ``edit``; none means the two in turn."""


def refine(plan: Plan, options: RefineOptions) -> Rule:
    """Have drafts criticised and edited, layer by layer, and the answer edited from what is left."""
    first, *later = plan.roster.layers
    result = yield from ask(Layer(tuple(Call(agent) for agent in first)))
    drafts = ordered(plan, result)
    critiques = NOTHING
    tasks = islice(options.tasks or cycle(("critique", "edit")), len(later))
    for agents, task in zip(later, tasks, strict=True):
        if task == "critique":
            told = prompts.critic(plan, len(drafts))
            result = yield from try_all(tuple(Call(agent, drafts, told) for agent in agents))
            critiques = (*critiques, *ordered(plan, result))
            continue
        told = prompts.editor(plan, len(drafts), len(critiques))
        result = yield from try_all(tuple(Call(agent, (*drafts, *critiques), told) for agent in agents))
        # Where every editor failed, the drafts and what was said of them go on to the next.
        if result.proposals:
            drafts, critiques = ordered(plan, result), NOTHING
    told = prompts.editor(plan, len(drafts), len(critiques), answers=True)
    shown = (*drafts, *critiques)
    editor = Call(aggregator_of(plan.roster), shown, told, response_schema=plan.response_schema)
    # A critique is no answer, and so never stands in for it.
    return (yield from answer_by(editor, stand_ins=drafts))


def outline(roster: Roster, _options: RefineOptions) -> tuple[OutlinedLayer, ...]:
    """Return every layer and the answer."""
    # A draft stands until somebody has edited it, so that every layer can look back to the first.
    layers = [
        OutlinedLayer(agents, looks_back=max(index, 1), told=TOLD if index else 0)
        for index, agents in enumerate(roster.layers)
    ]
    return (*layers, OutlinedLayer((aggregator_of(roster),), looks_back=len(layers), answers=True))


def checks(roster: Roster, options: RefineOptions) -> Iterator[str]:
    """Tell why such a roster cannot refine."""
    yield from roster_checks.layer_count(roster, 1)
    yield from roster_checks.needs_aggregator(roster)
    if options.tasks and len(options.tasks) < len(roster.layers) - 1:
        yield f"tasks names {len(options.tasks)}; each of the {len(roster.layers) - 1} layers after the first needs one"


REFINE = Strategy("refine", refine, outline, checks, RefineOptions)
