"""A coordinator splits the work among specialists, who may read one another's results, and one agent combines them."""

from collections.abc import Iterator
from dataclasses import dataclass

from moa_server.domain.mixture import Roster
from moa_server.domain.plan import Plan
from moa_server.domain.proposal import Answer, Proposal
from moa_server.domain.strategy import Call, Decision, Layer, OutlinedLayer, Rule, Strategy
from moa_server.strategies.parts import roster_checks
from moa_server.strategies.parts.aggregation import aggregated, answering
from moa_server.strategies.parts.division import Subtask, Unusable, divided
from moa_server.strategies.parts.reference_order import ordered
from moa_server.strategies.parts.steps import (
    NOTHING,
    Step,
    aggregator_of,
    answer_by,
    ask,
    ask_one,
    fell_back,
    try_all,
)
from moa_server.strategies.prompts import coordinator as prompts


@dataclass(frozen=True, slots=True)
class Options:
    """What can be said about a coordination."""

    depth: int = 2
    """How many steps the specialists' work may take, one after the other."""


def _run(plan: Plan) -> Rule:
    options = Options(**plan.options)
    subtasks = yield from _division(plan, options)
    if not subtasks:
        yield fell_back("the coordinator's plan could not be used, so that all specialists answer the whole query")
        return (yield from _without_plan(plan))
    specialists = plan.roster.layers[0]
    steps = 1 + max(subtask.step for subtask in subtasks)
    chosen = tuple(specialists[subtask.agent].name for subtask in subtasks)
    yield Decision("coordinate", chosen, f"{len(subtasks)} subtasks in {steps} steps")
    results = yield from _carried_out(plan, subtasks, steps)
    if not results:
        yield fell_back("no specialist did its part, so that the answer is written without them")
    told = prompts.combine(plan, len(results))
    return (
        yield from answer_by(
            Call(aggregator_of(plan.roster), results, told, response_schema=plan.response_schema), NOTHING
        )
    )


def _division(plan: Plan, options: Options) -> Step[tuple[Subtask, ...]]:
    """Return the coordinator's plan; it may mend one that cannot be used, once."""
    coordinator, asked = plan.roster.roles["coordinator"], prompts.asked(plan, options.depth)
    call = Call(coordinator, messages=asked, response_schema=prompts.SCHEMA)
    for last in (False, True):
        reply = yield from ask_one(call)
        if reply is None:
            return ()
        try:
            return divided(reply.text, len(plan.roster.layers[0]), options.depth)
        except Unusable as problem:
            if last:
                return ()
            told = prompts.repair(plan, str(problem))
            call = Call(coordinator, (reply,), told, messages=asked, response_schema=prompts.SCHEMA)
    return ()


def _carried_out(plan: Plan, subtasks: tuple[Subtask, ...], steps: int) -> Step[tuple[Proposal, ...]]:
    """Return the results, in the order of the subtasks; what failed is not among them."""
    results: dict[int, Proposal] = {}
    for step in range(steps):
        places = [place for place, subtask in enumerate(subtasks) if subtask.step == step]
        layer = yield from try_all(tuple(_turn(plan, subtasks[place], results) for place in places))
        results |= {places[result.position]: result for result in layer.proposals}
    return tuple(results[place] for place in sorted(results))


def _turn(plan: Plan, subtask: Subtask, results: dict[int, Proposal]) -> Call:
    shown = tuple(results[need] for need in subtask.needs if need in results)
    specialist = plan.roster.layers[0][subtask.agent]
    return Call(specialist, shown, prompts.earlier(plan, len(shown)), messages=prompts.subtask(plan, subtask.task))


def _without_plan(plan: Plan) -> Step[Answer]:
    result = yield from ask(Layer(tuple(Call(agent) for agent in plan.roster.layers[0])))
    return (yield from aggregated(plan, aggregator_of(plan.roster), ordered(plan, result)))


def _outline(roster: Roster, options: Options) -> tuple[OutlinedLayer, ...]:
    coordinator = OutlinedLayer((roster.roles["coordinator"],))
    steps = tuple(OutlinedLayer(roster.layers[0], looks_back=max(step, 1)) for step in range(options.depth))
    answer = answering(aggregator_of(roster), len(roster.layers[0]), looks_back=options.depth)
    return (coordinator, coordinator, *steps, *answer)


def _problems(roster: Roster, options: Options) -> Iterator[str]:
    yield from roster_checks.layer_count(roster, 1, 1)
    yield from roster_checks.needs_aggregator(roster)
    yield from roster_checks.needs_role(roster, "coordinator", "to split the work")
    yield from roster_checks.within("depth", options.depth, 1, 10)
    yield from roster_checks.sound_weights(roster)
    yield from roster_checks.strengths(roster.layers[0] if roster.layers else ())


COORDINATE = Strategy("coordinate", _run, _outline, _problems, Options)
