"""Cheap agents answer first; dearer ones are asked only when those are not certain."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from moa_server.domain.agent import Agent
from moa_server.domain.errors import NoProposals
from moa_server.domain.mixture import Roster
from moa_server.domain.plan import Plan
from moa_server.domain.proposal import Answer, LayerResult, Proposal
from moa_server.domain.strategy import Call, Decision, OutlinedLayer, Rule, Strategy
from moa_server.strategies.parts import ballots, gates, roster_checks, samples
from moa_server.strategies.parts.aggregation import aggregated, answering
from moa_server.strategies.parts.election import counting
from moa_server.strategies.parts.reference_order import ordered
from moa_server.strategies.parts.similarity import most_central
from moa_server.strategies.parts.steps import NOTHING, Step, answer_by, fell_back, try_all


@dataclass(frozen=True, slots=True)
class Options:
    """What can be said about a cascade; its tiers are the layers."""

    gate: Literal["agreement", "self_verification", "logprobs"] = "agreement"
    """What makes a tier certain: ``agreement`` of its proposals, ``self_verification``, or ``logprobs``."""
    threshold: float = 0.8
    """How certain a tier has to be, from 0 to 1."""
    samples: int = 1
    """How often each agent of a tier below the last is asked."""
    extract: ballots.Extract | Literal[""] = ""
    """For ``agreement``: what has to agree, named as for votes; empty means the words of the whole texts."""
    pattern: str = ""
    """For ``regex``: its first group, or all it finds; searched at the end of a text, line by line."""
    field: str = "answer"
    """For ``json_field``: the field that has to agree."""
    letters: str = "ABCD"
    """For ``choice_letter``: those that can be chosen."""
    tie: Literal["first", "seeded"] = "first"
    """Which of equals is the best: that of the ``first`` agent, or one by the run's seed (``seeded``)."""


def _run(plan: Plan) -> Rule:
    options = Options(**plan.options)
    best: Proposal | None = None
    *tiers, last = plan.roster.layers
    for tier, agents in enumerate(tiers):
        result = yield from try_all(_calls(plan, options, samples.sampled(agents, options.samples)))
        if not result.proposals:
            yield Decision("escalate", (), f"nobody of tier {tier + 1} answered")
            continue
        opinion = yield from _opinion(plan, options, agents, result)
        best = opinion.best
        detail = f"tier {tier + 1} of {len(plan.roster.layers)} is certain to {opinion.confidence:.2f}"
        if opinion.confidence >= options.threshold:
            saved = _calls_from(plan.roster, options, tier + 1)
            yield Decision("stop", (best.agent,), f"{detail}, {options.threshold:g} is enough", calls_saved=saved)
            return Answer.of(best)
        yield Decision("escalate", (best.agent,), f"{detail}, {options.threshold:g} is needed")
    return (yield from _strongest(plan, last, best))


def _calls(plan: Plan, options: Options, agents: tuple[Agent, ...]) -> tuple[Call, ...]:
    wanted = options.gate == "logprobs"
    return tuple(Call(agent, response_schema=plan.response_schema, logprobs=wanted) for agent in agents)


def _opinion(plan: Plan, options: Options, agents: tuple[Agent, ...], result: LayerResult) -> Step[gates.Opinion]:
    proposals = result.proposals
    if options.gate == "logprobs":
        return gates.by_logprobs(proposals)
    if options.gate == "self_verification":
        best = proposals[most_central([proposal.text for proposal in proposals])]
        verifier = plan.roster.roles.get("verifier") or agents[best.position % len(agents)]
        return (yield from gates.by_verification(plan, verifier, best))
    if options.extract:
        return gates.by_votes(proposals, counting(plan, options))
    return gates.by_likeness(proposals)


def _strongest(plan: Plan, agents: tuple[Agent, ...], best: Proposal | None) -> Step[Answer]:
    """Let the last tier answer; what a tier before it said is not shown to it, but stands in when it fails."""
    standby = NOTHING if best is None else (best,)
    if len(agents) == 1:
        return (yield from answer_by(Call(agents[0], response_schema=plan.response_schema), standby))
    result = yield from try_all(tuple(Call(agent, response_schema=plan.response_schema) for agent in agents))
    if result.proposals:
        return (yield from _settled(plan, result))
    if best is None or not plan.rules.best_proposal_on_failure:
        raise NoProposals("every agent of every tier failed")
    yield fell_back("nobody of the last tier answered, so that the best of the tier before it is the answer")
    return Answer.of(best)


def _settled(plan: Plan, result: LayerResult) -> Step[Answer]:
    if plan.roster.aggregator is not None and len(result.proposals) > 1:
        return (yield from aggregated(plan, plan.roster.aggregator, ordered(plan, result)))
    return Answer.of(result.proposals[most_central([proposal.text for proposal in result.proposals])])


def _calls_from(roster: Roster, options: Options, tier: int) -> int:
    stages = _outline(Roster(roster.layers[tier:], roster.aggregator, roster.roles), options)
    return sum(len(stage.agents) if stage.most is None else stage.most for stage in stages if not stage.folds)


def _outline(roster: Roster, options: Options) -> tuple[OutlinedLayer, ...]:
    *tiers, last = roster.layers
    stages: list[OutlinedLayer] = []
    for agents in tiers:
        stages.append(OutlinedLayer(samples.sampled(agents, options.samples)))
        if options.gate == "self_verification":
            verifier = roster.roles.get("verifier")
            stages.append(OutlinedLayer((verifier,) if verifier else agents, most=1))
    stages.append(OutlinedLayer(last, answers=len(last) == 1))
    if len(last) > 1 and roster.aggregator is not None:
        stages += answering(roster.aggregator, len(last))
    return tuple(stages)


def _problems(roster: Roster, options: Options) -> Iterator[str]:
    yield from roster_checks.layer_count(roster, 1)
    yield from roster_checks.sound_weights(roster)
    yield from roster_checks.one_of("gate", options.gate, gates.GATES)
    yield from roster_checks.within("threshold", options.threshold, 0, 1)
    yield from roster_checks.within("samples", options.samples, 1, 100)
    if options.extract:
        yield from ballots.problems(options)
    gated = Roster(roster.layers[:-1])
    yield from samples.problems(gated, options.samples)
    if options.gate == "agreement" and any(len(agents) * options.samples == 1 for agents in gated.layers):
        yield "a tier of one agent cannot agree: give it more agents, or samples, or take another gate"


CASCADE = Strategy("cascade", _run, _outline, _problems, Options)
