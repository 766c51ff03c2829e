"""Agents answer side by side, and a judge says whose answer is returned, word for word."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

from moa_server.domain import tokens
from moa_server.domain.agent import Agent
from moa_server.domain.answer import Answer, Judgement
from moa_server.domain.mixture import Roster
from moa_server.domain.plan import Plan
from moa_server.domain.proposal import Proposal
from moa_server.domain.strategy import TOLD, Call, Decision, DecisionKind, Layer, OutlinedLayer, Rule, Strategy
from moa_server.strategies.parts import roster_checks
from moa_server.strategies.parts.election import weightiest
from moa_server.strategies.parts.json_text import last_object
from moa_server.strategies.parts.selection import ordered
from moa_server.strategies.parts.sub_rule import SubRule, ask, ask_one, fell_back, sampled, try_all
from moa_server.strategies.prompts import judge as prompts

_HIGHEST = 10
_WIN, _DRAW = 2, 1


@dataclass(frozen=True, slots=True)
class RankOptions:
    """What can be said about a ranking."""

    method: Literal["scores", "pairwise"] = "scores"
    """How the role ``judge`` judges: ``scores`` for all at once, or ``pairwise``, each two in both orders."""
    rubric: tuple[str, ...] = ("correct", "complete", "clear")
    """What is judged."""
    samples: int = 1
    """How often each agent is asked."""


def rank(plan: Plan, options: RankOptions) -> Rule:
    """Return the proposal that the judge scores highest; of equals the weightier, then the first configured."""
    candidates = sampled(plan.roster.layers[0], options.samples)
    calls = tuple(Call(agent, response_schema=plan.response_schema) for agent in candidates)
    result = yield from ask(Layer(calls))
    proposals = ordered(plan, result)
    if len(proposals) == 1:
        return Answer.of(proposals[0])
    judge = plan.roster.roles["judge"]
    if options.method == "pairwise":
        scores = yield from _compared(plan, judge, options, proposals)
    else:
        told = prompts.score(plan, options.rubric)
        verdict = yield from ask_one(Call(judge, proposals, told, response_schema=prompts.SCORES_SCHEMA))
        scores = read_scores(verdict.text, len(proposals)) if verdict else None
    if scores is None:
        yield fell_back("the judge gave no usable verdict, so that the weightiest proposal is the answer")
        return Answer.of(weightiest(result.proposals))
    ranked = sorted(zip(proposals, scores, strict=True), key=lambda pair: (-pair[1], -pair[0].weight, pair[0].position))
    detail = "scores " + ", ".join(f"{score:g}" for _, score in ranked)
    judgement = Judgement(result.index, ranking=tuple(proposal.voice for proposal, _ in ranked))
    yield Decision(DecisionKind.RANK, tuple(proposal.agent for proposal, _ in ranked), detail, judgement=judgement)
    return Answer.of(ranked[0][0], judgement)


def read_scores(text: str, count: int) -> list[float] | None:
    """Return the scores a judge gave, or None when they are not one number for each."""
    scores = (last_object(text, "scores") or {}).get("scores")
    if not isinstance(scores, list) or len(scores) != count:
        return None
    if not all(type(score) in (int, float) and math.isfinite(score) and 0 <= score <= _HIGHEST for score in scores):
        return None
    return [float(score) for score in scores]


def _compared(
    plan: Plan, judge: Agent, options: RankOptions, proposals: tuple[Proposal, ...]
) -> SubRule[list[float] | None]:
    """Return the points that each has won against each other; None when the judge said nothing usable."""
    told = prompts.compare(plan, options.rubric)
    # In both orders, so that what a judge gives to the one it reads first, it gives to every one.
    pairs = list(permutations(range(len(proposals)), 2))
    calls = tuple(
        Call(judge, (proposals[one], proposals[other]), told, response_schema=prompts.BETTER_SCHEMA)
        for one, other in pairs
    )
    result = yield from try_all(calls)
    points = [0.0] * len(proposals)
    judged = False
    for verdict in result.proposals:
        pair = pairs[verdict.position]
        better = (last_object(verdict.text, "better") or {}).get("better")
        if type(better) is not int or better not in (0, 1, 2):
            continue
        judged = True
        for winner in (pair[better - 1],) if better else pair:
            points[winner] += _WIN if better else _DRAW
    return points if judged else None


def outline(roster: Roster, options: RankOptions) -> tuple[OutlinedLayer, ...]:
    """Return the candidates, and what the judge is asked of them."""
    candidates = sampled(roster.layers[0], options.samples)
    count = len(candidates)
    if count == 1:
        return (OutlinedLayer(candidates, told=0),)
    pairwise = options.method == "pairwise"
    calls = count * (count - 1) if pairwise else 1
    told = TOLD + tokens.of_text("; ".join(options.rubric))
    schema = prompts.BETTER_SCHEMA if pairwise else prompts.SCORES_SCHEMA
    verdicts = OutlinedLayer((roster.roles["judge"],) * calls, told=told, schema=schema)
    return (OutlinedLayer(candidates, told=0), verdicts)


def checks(roster: Roster, options: RankOptions) -> Iterator[str]:
    """Tell why such a roster cannot be ranked."""
    yield from roster_checks.layer_count(roster, 1, 1)
    yield from roster_checks.needs_role(roster, "judge", "to say which proposal is best")
    yield from roster_checks.sound_weights(roster)
    yield from roster_checks.within("samples", options.samples, 1, 100)
    yield from roster_checks.differing_samples(roster, options.samples)
    yield from roster_checks.short_enough("rubric", options.rubric)


RANK = Strategy("rank", rank, outline, checks, RankOptions)
