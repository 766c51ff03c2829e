"""Agents answer side by side, and a judge says whose answer is returned, word for word."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

from moa_server.domain.agent import Agent
from moa_server.domain.mixture import Roster
from moa_server.domain.plan import Plan
from moa_server.domain.proposal import Answer, Proposal
from moa_server.domain.strategy import Call, Decision, Layer, OutlinedLayer, Rule, Strategy
from moa_server.strategies.parts import roster_checks, samples
from moa_server.strategies.parts.election import weightiest
from moa_server.strategies.parts.json_text import last_object
from moa_server.strategies.parts.reference_order import ordered
from moa_server.strategies.parts.steps import Step, ask, ask_one, fell_back, try_all
from moa_server.strategies.prompts import judge as prompts

_HIGHEST = 10
_WIN, _DRAW = 2, 1


@dataclass(frozen=True, slots=True)
class Options:
    """What can be said about a ranking."""

    method: Literal["scores", "pairwise"] = "scores"
    """How the role ``judge`` judges: ``scores`` for all at once, or ``pairwise``, each two in both orders."""
    rubric: tuple[str, ...] = ("correct", "complete", "clear")
    """What is judged."""
    samples: int = 1
    """How often each agent is asked."""


def _run(plan: Plan) -> Rule:
    options = Options(**plan.options)
    candidates = samples.sampled(plan.roster.layers[0], options.samples)
    calls = tuple(Call(agent, response_schema=plan.response_schema) for agent in candidates)
    result = yield from ask(Layer(calls))
    proposals = ordered(plan, result)
    if len(proposals) == 1:
        return Answer.of(proposals[0])
    judge = plan.roster.roles["judge"]
    if options.method == "pairwise":
        scores = yield from _compared(plan, judge, options, proposals)
    else:
        scores = yield from _scored(plan, judge, options, proposals)
    if scores is None:
        yield fell_back("the judge gave no usable verdict, so that the weightiest proposal is the answer")
        return Answer.of(weightiest(result.proposals))
    return (yield from _best(proposals, scores))


def _best(proposals: tuple[Proposal, ...], scores: list[float]) -> Step[Answer]:
    """Return the highest score; of equals the weightier, then the first in the configuration."""
    ranked = sorted(zip(proposals, scores, strict=True), key=lambda pair: (-pair[1], -pair[0].weight, pair[0].position))
    detail = "scores " + ", ".join(f"{score:g}" for _, score in ranked)
    yield Decision("rank", tuple(proposal.agent for proposal, _ in ranked), detail)
    return Answer.of(ranked[0][0])


def _scored(plan: Plan, judge: Agent, options: Options, proposals: tuple[Proposal, ...]) -> Step[list[float] | None]:
    told = prompts.score(plan, tuple(options.rubric))
    verdict = yield from ask_one(Call(judge, proposals, told, response_schema=prompts.SCORES_SCHEMA))
    return read_scores(verdict.text, len(proposals)) if verdict else None


def read_scores(text: str, count: int) -> list[float] | None:
    """Return the scores a judge gave, or None when they are not one number for each."""
    scores = (last_object(text, "scores") or {}).get("scores")
    if not isinstance(scores, list) or len(scores) != count:
        return None
    if not all(type(score) in (int, float) and math.isfinite(score) and 0 <= score <= _HIGHEST for score in scores):
        return None
    return [float(score) for score in scores]


def _compared(plan: Plan, judge: Agent, options: Options, proposals: tuple[Proposal, ...]) -> Step[list[float] | None]:
    told = prompts.compare(plan, tuple(options.rubric))
    pairs = list(permutations(range(len(proposals)), 2))
    calls = tuple(
        Call(judge, (proposals[one], proposals[other]), told, response_schema=prompts.BETTER_SCHEMA)
        for one, other in pairs
    )
    result = yield from try_all(calls)
    verdicts = [(pairs[verdict.position], _better(verdict.text)) for verdict in result.proposals]
    points = [0.0] * len(proposals)
    for pair, better in verdicts:
        if better == 0:
            points[pair[0]] += _DRAW
            points[pair[1]] += _DRAW
        elif better is not None:
            points[pair[better - 1]] += _WIN
    return points if any(better is not None for _, better in verdicts) else None


def _better(text: str) -> int | None:
    better = (last_object(text, "better") or {}).get("better")
    return better if type(better) is int and better in (0, 1, 2) else None


def _outline(roster: Roster, options: Options) -> tuple[OutlinedLayer, ...]:
    candidates = samples.sampled(roster.layers[0], options.samples)
    count = len(candidates)
    if count == 1:
        return (OutlinedLayer(candidates),)
    calls = count * (count - 1) if options.method == "pairwise" else 1
    return (OutlinedLayer(candidates), OutlinedLayer((roster.roles["judge"],) * calls))


def _problems(roster: Roster, options: Options) -> Iterator[str]:
    yield from roster_checks.layer_count(roster, 1, 1)
    yield from roster_checks.needs_role(roster, "judge", "to say which proposal is best")
    yield from roster_checks.sound_weights(roster)
    yield from roster_checks.one_of("method", options.method, ("scores", "pairwise"))
    yield from roster_checks.within("samples", options.samples, 1, 100)
    yield from samples.problems(roster, options.samples)
    yield from roster_checks.short_enough("rubric", options.rubric)


RANK = Strategy("rank", _run, _outline, _problems, Options)
