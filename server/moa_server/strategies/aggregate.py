"""Layers of agents propose, each layer reading the one before it, and an aggregator answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from moa_server.domain.mixture import Roster
from moa_server.domain.plan import Plan
from moa_server.domain.proposal import LayerResult, Proposal
from moa_server.domain.strategy import Call, Decision, Layer, OutlinedLayer, Rule, Strategy
from moa_server.strategies.parts import roster_checks, selection
from moa_server.strategies.parts.aggregation import aggregated, answering
from moa_server.strategies.parts.reference_order import ordered
from moa_server.strategies.parts.similarity import agreement
from moa_server.strategies.parts.steps import NOTHING, Step, aggregator_of, ask, names, only_proposal, return_only
from moa_server.strategies.prompts import brief


@dataclass(frozen=True, slots=True)
class Options:
    """What can be said about an aggregation."""

    select: Literal["all", "judge", "diverse"] = "all"
    """Which proposals are shown onward: ``all``, those the role ``judge`` picks, or the most ``diverse``."""
    keep: int = 3
    """How many are picked."""
    stop_on_agreement: Literal["off", "shadow", "on"] = "off"
    """Whether layers are skipped once proposals agree: ``off``, ``on``, or ``shadow`` to report what it would save."""
    agreement: float = 0.8
    """How alike they have to be, from 0 to 1."""
    weights: bool = True
    """Whether agents are told what the proposals weigh, where they differ."""


def _run(plan: Plan) -> Rule:
    options = Options(**plan.options)
    shown = NOTHING
    watching = options.stop_on_agreement != "off"
    for index, agents in enumerate(plan.roster.layers):
        weights = tuple(proposal.weight for proposal in shown) if options.weights else ()
        result = yield from ask(Layer(tuple(Call(agent, shown, brief(plan, weights)) for agent in agents)))
        saved = _calls_after(plan.roster, options, index)
        agreed = watching and saved > 0 and (yield from _agreed(options, result, saved))
        last = index == len(plan.roster.layers) - 1 or (agreed and options.stop_on_agreement == "on")
        only = only_proposal(plan, result)
        if last and only:
            return (yield from return_only(only))
        shown = yield from _selected(plan, options, result)
        watching = watching and not agreed
        if last:
            break
    return (yield from aggregated(plan, aggregator_of(plan.roster), shown, weigh=options.weights))


def _agreed(options: Options, result: LayerResult, saved: int) -> Step[bool]:
    reached = agreement([proposal.text for proposal in result.proposals])
    if reached < options.agreement:
        return False
    detail = f"the proposals of layer {result.index} agree to {reached:.2f} of the {options.agreement:g} asked for"
    shadow = options.stop_on_agreement == "shadow"
    yield Decision("stop", names(result.proposals), detail, calls_saved=saved, shadow=shadow)
    return True


def _selected(plan: Plan, options: Options, result: LayerResult) -> Step[tuple[Proposal, ...]]:
    proposals = ordered(plan, result)
    match options.select:
        case "judge":
            return (yield from selection.judged(plan, plan.roster.roles["judge"], proposals, options.keep))
        case "diverse":
            return (yield from selection.diverse(proposals, options.keep))
        case _:
            return proposals


def _calls_after(roster: Roster, options: Options, index: int) -> int:
    """Return how many calls the layers after this one cost."""
    left = roster.layers[index + 1 :]
    return sum(len(agents) + _is_judged(options, len(agents)) for agents in left)


def _is_judged(options: Options, count: int) -> bool:
    return options.select == "judge" and count > options.keep


def _outline(roster: Roster, options: Options) -> tuple[OutlinedLayer, ...]:
    stages: list[OutlinedLayer] = []
    looks_back = 1
    for agents in roster.layers:
        stages.append(OutlinedLayer(agents, looks_back))
        looks_back = 1
        if _is_judged(options, len(agents)):
            stages.append(OutlinedLayer((roster.roles["judge"],)))
            looks_back = 2
    if options.stop_on_agreement == "on":
        looks_back = max(len(stages), 1)  # any layer can be the last
    return (*stages, *answering(aggregator_of(roster), _most_shown(roster, options), looks_back))


def _most_shown(roster: Roster, options: Options) -> int:
    """Return from how many proposals the answer is written; a judge that does not choose leaves all of them."""
    lasts = roster.layers if options.stop_on_agreement == "on" else roster.layers[-1:]
    most = max((len(agents) for agents in lasts), default=0)
    return min(most, options.keep) if options.select == "diverse" else most


def _problems(roster: Roster, options: Options) -> Iterator[str]:
    yield from roster_checks.layer_count(roster, 0)
    yield from roster_checks.needs_aggregator(roster)
    yield from roster_checks.sound_weights(roster)
    yield from roster_checks.one_of("select", options.select, ("all", "judge", "diverse"))
    yield from roster_checks.one_of("stop_on_agreement", options.stop_on_agreement, ("off", "shadow", "on"))
    yield from roster_checks.within("keep", options.keep, 1, 100)
    yield from roster_checks.within("agreement", options.agreement, 0, 1)
    if options.select == "judge":
        yield from roster_checks.needs_role(roster, "judge", "to pick the proposals that are shown onward")


AGGREGATE = Strategy("aggregate", _run, _outline, _problems, Options)
