"""Layers of agents propose, each layer reading the one before it, and an aggregator answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from moa_server.domain.mixture import Roster
from moa_server.domain.plan import Plan
from moa_server.domain.proposal import LayerResult
from moa_server.domain.strategy import TOLD, Call, Decision, DecisionKind, Layer, OutlinedLayer, Rule, Strategy
from moa_server.strategies.parts import roster_checks
from moa_server.strategies.parts.aggregation import aggregated, outlined_answer
from moa_server.strategies.parts.selection import diverse, judged, ordered
from moa_server.strategies.parts.similarity import agreement
from moa_server.strategies.parts.sub_rule import NOTHING, SubRule, aggregator_of, ask, fell_back, names, only_answer
from moa_server.strategies.prompts import brief
from moa_server.strategies.prompts.judge import PICK_SCHEMA


@dataclass(frozen=True, slots=True)
class AggregateOptions:
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


def aggregate(plan: Plan, options: AggregateOptions) -> Rule:
    """Have each layer read the one before it, and the aggregator the last."""
    shown = NOTHING
    watching = options.stop_on_agreement != "off"
    for index, agents in enumerate(plan.roster.layers):
        weights = tuple(proposal.weight for proposal in shown) if options.weights else ()
        calls = tuple(Call(agent, shown, brief(plan, weights)) for agent in agents)
        result = yield from ask(Layer(calls, falls_back=bool(shown)))
        if not result.proposals:
            yield fell_back(f"nobody of layer {result.index} answered, so that the proposals before it stand")
            continue
        left = plan.roster.layers[index + 1 :]
        saved = sum(len(others) + _is_judged(options, len(others)) for others in left)
        agreed = watching and bool(left) and (yield from _agreed(options, result, saved))
        last = not left or (agreed and options.stop_on_agreement == "on")
        only = (yield from only_answer(plan, result)) if last else None
        if only:
            return only
        shown = ordered(plan, result)
        if options.select == "judge":
            shown = yield from judged(plan, plan.roster.roles["judge"], shown, options.keep)
        elif options.select == "diverse":
            shown = yield from diverse(shown, options.keep)
        # A shadow stop is told once: layers after it would not have been carried out.
        watching = watching and not agreed
        if last:
            break
    return (yield from aggregated(plan, aggregator_of(plan.roster), shown, weigh=options.weights))


def _agreed(options: AggregateOptions, result: LayerResult, saved: int) -> SubRule[bool]:
    """Decide whether the layers after this one can be left out."""
    reached = agreement([proposal.text for proposal in result.proposals])
    if reached < options.agreement:
        return False
    detail = f"the proposals of layer {result.index} agree to {reached:.2f} of the {options.agreement:g} asked for"
    shadow = options.stop_on_agreement == "shadow"
    yield Decision(DecisionKind.STOP, names(result.proposals), detail, calls_avoided=saved, shadow=shadow)
    return True


def _is_judged(options: AggregateOptions, count: int) -> bool:
    return options.select == "judge" and count > options.keep


def outline(roster: Roster, options: AggregateOptions) -> tuple[OutlinedLayer, ...]:
    """Return every layer, each followed by its judge, and the answer."""
    layers: list[OutlinedLayer] = []
    for agents in roster.layers:
        # A layer in which nobody answers leaves what was proposed before it to be read, past its judge.
        layers.append(OutlinedLayer(agents, max(len(layers), 1), of_one=True, told=TOLD if layers else 0))
        if _is_judged(options, len(agents)):
            layers.append(OutlinedLayer((roster.roles["judge"],), schema=PICK_SCHEMA))
    # A judge that does not choose leaves all of them to be shown.
    most = max((len(agents) for agents in roster.layers), default=0)
    shown = min(most, options.keep) if options.select == "diverse" else most
    return (*layers, *outlined_answer(aggregator_of(roster), shown, max(len(layers), 1), of_one=True))


def checks(roster: Roster, options: AggregateOptions) -> Iterator[str]:
    """Tell why such a roster cannot aggregate."""
    yield from roster_checks.layer_count(roster, 0)
    yield from roster_checks.needs_aggregator(roster)
    yield from roster_checks.sound_weights(roster)
    yield from roster_checks.within("keep", options.keep, 1, 100)
    yield from roster_checks.within("agreement", options.agreement, 0, 1)
    if options.select == "judge":
        yield from roster_checks.needs_role(roster, "judge", "to pick the proposals that are shown onward")


AGGREGATE = Strategy("aggregate", aggregate, outline, checks, AggregateOptions)
