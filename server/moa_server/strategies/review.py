"""Agents answer, review one another's answers without knowing whose they are, and a chairman answers."""

from collections.abc import Iterator
from dataclasses import dataclass

from moa_server.domain.mixture import Roster
from moa_server.domain.plan import Plan
from moa_server.domain.strategy import Call, Layer, OutlinedLayer, Rule, Strategy
from moa_server.strategies.parts import roster_checks
from moa_server.strategies.parts.reference_order import ordered
from moa_server.strategies.parts.steps import aggregator_of, answer_by, ask, only_proposal, return_only, try_all
from moa_server.strategies.prompts import reviewer as prompts


@dataclass(frozen=True, slots=True)
class Options:
    """There is nothing to be said about a review."""


def _run(plan: Plan) -> Rule:
    council = plan.roster.layers[0]
    result = yield from ask(Layer(tuple(Call(agent) for agent in council)))
    only = only_proposal(plan, result)
    if only:
        return (yield from return_only(only))
    answers = ordered(plan, result)
    reviews = yield from try_all(tuple(Call(agent, answers, prompts.reviewer(plan)) for agent in council))
    told = prompts.chairman(plan, len(answers), len(reviews.proposals))
    chairman = aggregator_of(plan.roster)
    shown = (*answers, *reviews.proposals)
    return (yield from answer_by(Call(chairman, shown, told, response_schema=plan.response_schema), answers))


def _outline(roster: Roster, _options: Options) -> tuple[OutlinedLayer, ...]:
    council = roster.layers[0]
    return (
        OutlinedLayer(council),
        OutlinedLayer(council),
        OutlinedLayer((aggregator_of(roster),), looks_back=2, answers=True),
    )


def _problems(roster: Roster, _options: Options) -> Iterator[str]:
    yield from roster_checks.layer_count(roster, 1, 1)
    yield from roster_checks.needs_aggregator(roster)
    yield from roster_checks.sound_weights(roster)


REVIEW = Strategy("review", _run, _outline, _problems, Options)
