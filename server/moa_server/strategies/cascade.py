"""Cheap agents answer first; dearer ones are asked only when those are not certain."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from moa_server.domain.agent import Agent
from moa_server.domain.answer import Answer
from moa_server.domain.errors import NoProposals
from moa_server.domain.mixture import Roster
from moa_server.domain.plan import Plan
from moa_server.domain.proposal import LayerResult, Proposal
from moa_server.domain.strategy import Call, Decision, DecisionKind, OutlinedLayer, Rule, Strategy
from moa_server.strategies.parts import ballots, roster_checks
from moa_server.strategies.parts.aggregation import aggregated, outlined_answer
from moa_server.strategies.parts.election import Counting, counting, weightiest
from moa_server.strategies.parts.json_text import last_object
from moa_server.strategies.parts.selection import ordered
from moa_server.strategies.parts.similarity import agreement, most_central
from moa_server.strategies.parts.sub_rule import NOTHING, SubRule, answer_by, ask_one, fell_back, sampled, try_all
from moa_server.strategies.prompts import judge as prompts


@dataclass(frozen=True, slots=True)
class CascadeOptions:
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


@dataclass(frozen=True, slots=True)
class Opinion:
    """The best a tier has to say, and how certain it is, from 0 to 1."""

    best: Proposal
    confidence: float


def cascade(plan: Plan, options: CascadeOptions) -> Rule:
    """Ask tier after tier until one is certain; the last one answers whatever it is."""
    best: Proposal | None = None
    *tiers, last = plan.roster.layers
    for tier, agents in enumerate(tiers):
        wanted = options.gate == "logprobs"
        asked = sampled(agents, options.samples)
        calls = tuple(Call(agent, response_schema=plan.response_schema, logprobs=wanted) for agent in asked)
        result = yield from try_all(calls)
        if not result.proposals:
            yield Decision(DecisionKind.ESCALATE, (), f"nobody of tier {tier + 1} answered")
            continue
        opinion = yield from _opinion(plan, options, agents, result)
        best = opinion.best
        detail = f"tier {tier + 1} of {len(plan.roster.layers)} is certain to {opinion.confidence:.2f}"
        if opinion.confidence >= options.threshold:
            saved = _calls_from(plan.roster, options, tier + 1)
            yield Decision(
                DecisionKind.STOP, (best.agent,), f"{detail}, {options.threshold:g} is enough", calls_avoided=saved
            )
            return Answer.of(best)
        yield Decision(DecisionKind.ESCALATE, (best.agent,), f"{detail}, {options.threshold:g} is needed")
    return (yield from _strongest(plan, last, best))


def _opinion(plan: Plan, options: CascadeOptions, agents: tuple[Agent, ...], result: LayerResult) -> SubRule[Opinion]:
    proposals = result.proposals
    match options.gate:
        case "logprobs":
            best = max(proposals, key=likelihood)
            return Opinion(best, likelihood(best))
        case "self_verification":
            best = proposals[most_central([proposal.text for proposal in proposals])]
            verifier = plan.roster.roles.get("verifier") or agents[best.position % len(agents)]
            check = Call(verifier, (best,), prompts.verify(plan), response_schema=prompts.CONFIDENCE_SCHEMA)
            said = yield from ask_one(check)
            return Opinion(best, read_confidence(said.text) if said else 0.0)
        case "agreement" if options.extract:
            return by_votes(proposals, counting(plan, options))
        case "agreement":
            texts = [proposal.text for proposal in proposals]
            return Opinion(proposals[most_central(texts)], agreement(texts))


def by_votes(proposals: tuple[Proposal, ...], counting: Counting) -> Opinion:
    """Trust what many vote for; a text without a vote counts against it."""
    choices = counting.choices(proposals)
    total = sum(proposal.weight for proposal in proposals)
    # One alone would always agree with itself.
    if not choices or not total or len(proposals) == 1:
        return Opinion(choices[0].voters[0] if choices else weightiest(proposals), 0.0)
    return Opinion(choices[0].voters[0], float(choices[0].weight) / total)


def likelihood(proposal: Proposal) -> float:
    """Return the geometric mean of the probabilities of a proposal's words, 0 where the endpoint does not tell."""
    return 0.0 if proposal.mean_logprob is None else min(math.exp(min(proposal.mean_logprob, 0.0)), 1.0)


def read_confidence(text: str) -> float:
    """Return a confidence from 0 to 1; 0 where a text tells none."""
    value: Any = (last_object(text, "confidence") or {}).get("confidence")
    return float(value) if type(value) in (int, float) and 0 <= value <= 1 else 0.0


def _strongest(plan: Plan, agents: tuple[Agent, ...], best: Proposal | None) -> SubRule[Answer]:
    """Let the last tier answer; what a tier before it said is not shown to it, but stands in when it fails."""
    if len(agents) == 1:
        standby = NOTHING if best is None else (best,)
        return (yield from answer_by(Call(agents[0], response_schema=plan.response_schema), standby))
    result = yield from try_all(tuple(Call(agent, response_schema=plan.response_schema) for agent in agents))
    if len(result.proposals) > 1 and plan.roster.aggregator is not None:
        return (yield from aggregated(plan, plan.roster.aggregator, ordered(plan, result)))
    if result.proposals:
        return Answer.of(result.proposals[most_central([proposal.text for proposal in result.proposals])])
    if best is None or not plan.rules.best_proposal_on_failure:
        raise NoProposals("every agent of every tier failed")
    yield fell_back("nobody of the last tier answered, so that the best of the tier before it is the answer")
    return Answer.of(best)


def _calls_from(roster: Roster, options: CascadeOptions, tier: int) -> int:
    layers = outline(Roster(roster.layers[tier:], roster.aggregator, roster.roles), options)
    return sum(len(layer.agents) if layer.most is None else layer.most for layer in layers if not layer.folds)


def outline(roster: Roster, options: CascadeOptions) -> tuple[OutlinedLayer, ...]:
    """Return every tier, and what each needs to be judged or answered from."""
    *tiers, last = roster.layers
    layers: list[OutlinedLayer] = []
    for agents in tiers:
        likely = options.gate == "logprobs"
        layers.append(OutlinedLayer(sampled(agents, options.samples), told=0, logprobs=likely))
        if options.gate == "self_verification":
            verifier = roster.roles.get("verifier")
            asked = (verifier,) if verifier else agents
            layers.append(OutlinedLayer(asked, most=1, schema=prompts.CONFIDENCE_SCHEMA))
    layers.append(OutlinedLayer(last, told=0, answers=len(last) == 1))
    if len(last) > 1 and roster.aggregator is not None:
        layers += outlined_answer(roster.aggregator, len(last))
    return tuple(layers)


def checks(roster: Roster, options: CascadeOptions) -> Iterator[str]:
    """Tell why such a roster cannot cascade."""
    yield from roster_checks.layer_count(roster, 1)
    yield from roster_checks.sound_weights(roster)
    yield from roster_checks.within("threshold", options.threshold, 0, 1)
    yield from roster_checks.within("samples", options.samples, 1, 100)
    if options.extract:
        yield from ballots.problems(options)
    gated = Roster(roster.layers[:-1])
    yield from roster_checks.differing_samples(gated, options.samples)
    if options.gate == "agreement" and any(len(agents) * options.samples == 1 for agents in gated.layers):
        yield "a tier of one agent cannot agree: give it more agents, or samples, or take another gate"


CASCADE = Strategy("cascade", cascade, outline, checks, CascadeOptions)
