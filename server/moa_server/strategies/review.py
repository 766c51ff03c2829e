"""Agents answer, review one another's answers without knowing whose they are, and a chairman answers."""

from collections.abc import Iterator
from dataclasses import dataclass

from moa_server.domain.mixture import Roster
from moa_server.domain.plan import Plan
from moa_server.domain.strategy import Call, Layer, OutlinedLayer, Rule, Strategy
from moa_server.strategies.parts import roster_checks
from moa_server.strategies.parts.selection import ordered
from moa_server.strategies.parts.sub_rule import aggregator_of, answer_by, ask, only_answer, try_all
from moa_server.strategies.prompts import critics as prompts


@dataclass(frozen=True, slots=True)
class ReviewOptions:
    """There is nothing to be said about a review."""


def review(plan: Plan, _options: ReviewOptions) -> Rule:
    """Have all answer, all review all, and the chairman answer from both."""
    council = plan.roster.layers[0]
    result = yield from ask(Layer(tuple(Call(agent) for agent in council)))
    only = yield from only_answer(plan, result)
    if only:
        return only
    answers = ordered(plan, result)
    # Each reads its own answer among them, unmarked, so that it cannot spare or favour it knowingly.
    reviews = yield from try_all(tuple(Call(agent, answers, prompts.reviewer(plan)) for agent in council))
    told = prompts.chairman(plan, len(answers), len(reviews.proposals))
    chairman = aggregator_of(plan.roster)
    shown = (*answers, *reviews.proposals)
    return (yield from answer_by(Call(chairman, shown, told, response_schema=plan.response_schema), answers))


def outline(roster: Roster, _options: ReviewOptions) -> tuple[OutlinedLayer, ...]:
    """Return the answers, their reviews, and the chairman."""
    council = roster.layers[0]
    return (
        OutlinedLayer(council, told=0),
        OutlinedLayer(council),
        OutlinedLayer((aggregator_of(roster),), looks_back=2, answers=True),
    )


def checks(roster: Roster, _options: ReviewOptions) -> Iterator[str]:
    """Tell why such a roster cannot review."""
    yield from roster_checks.layer_count(roster, 1, 1)
    yield from roster_checks.needs_aggregator(roster)
    yield from roster_checks.sound_weights(roster)


REVIEW = Strategy("review", review, outline, checks, ReviewOptions)
