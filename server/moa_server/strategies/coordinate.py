"""A coordinator splits the work among specialists, who may read one another's results, and one agent combines them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from moa_server.domain.mixture import Roster
from moa_server.domain.plan import Plan
from moa_server.domain.proposal import Proposal
from moa_server.domain.strategy import TOLD, Call, Decision, DecisionKind, Layer, OutlinedLayer, Rule, Strategy
from moa_server.strategies.parts import roster_checks
from moa_server.strategies.parts.aggregation import aggregated, outlined_answer
from moa_server.strategies.parts.json_text import last_object
from moa_server.strategies.parts.selection import ordered
from moa_server.strategies.parts.sub_rule import SubRule, aggregator_of, answer_by, ask, ask_one, fell_back, try_all
from moa_server.strategies.prompts import assignments as prompts

_MOST_BYTES = 1_000
"""Of a subtask's text, and so at most as many tokens."""


@dataclass(frozen=True, slots=True)
class CoordinateOptions:
    """What can be said about a coordination."""

    depth: int = 2
    """How many steps the specialists' work may take, one after the other."""


@dataclass(frozen=True, slots=True)
class Subtask:
    """A part of the work."""

    agent: int
    """The specialist's place."""
    task: str
    needs: tuple[int, ...]
    """The places of the subtasks whose results it reads, all of them before its own."""
    step: int


class Unusable(Exception):
    """A division cannot be carried out; says why, in words of ours alone."""


def coordinate(plan: Plan, options: CoordinateOptions) -> Rule:
    """Have the work divided, done step by step, and combined."""
    specialists, combiner = plan.roster.layers[0], aggregator_of(plan.roster)
    subtasks = yield from _division(plan, options)
    if not subtasks:
        yield fell_back("the coordinator's plan could not be used, so that all specialists answer the whole query")
        result = yield from ask(Layer(tuple(Call(agent) for agent in specialists)))
        return (yield from aggregated(plan, combiner, ordered(plan, result)))
    steps = 1 + max(subtask.step for subtask in subtasks)
    chosen = tuple(specialists[subtask.agent].name for subtask in subtasks)
    yield Decision(DecisionKind.COORDINATE, chosen, f"{len(subtasks)} subtasks in {steps} steps")
    done: dict[int, Proposal] = {}
    for step in range(steps):
        places = [place for place, subtask in enumerate(subtasks) if subtask.step == step]
        layer = yield from try_all(tuple(_turn(plan, subtasks[place], done) for place in places))
        done |= {places[result.position]: result for result in layer.proposals}
    results = tuple(done[place] for place in sorted(done))
    if not results:
        yield fell_back("no specialist did its part, so that the answer is written without them")
    told = prompts.combine(plan, len(results))
    # A part of the work is no answer, and so stands in for none.
    return (yield from answer_by(Call(combiner, results, told, response_schema=plan.response_schema), ()))


def _division(plan: Plan, options: CoordinateOptions) -> SubRule[tuple[Subtask, ...]]:
    """Return the coordinator's plan; it may mend one that cannot be used, once."""
    coordinator, asked = plan.roster.roles["coordinator"], prompts.divide(plan, options.depth)
    call = Call(coordinator, messages=asked, response_schema=prompts.SUBTASKS_SCHEMA)
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
            call = Call(coordinator, (reply,), told, messages=asked, response_schema=prompts.SUBTASKS_SCHEMA)
    return ()


def divided(text: str, specialists: int, depth: int) -> tuple[Subtask, ...]:
    """Return the subtasks of a coordinator's reply, each in the first step in which it can be done.

    Raises:
        Unusable: there are none, or they make no sense.
    """
    listed = (last_object(text, "subtasks") or {}).get("subtasks")
    if not isinstance(listed, list) or not listed:
        raise Unusable("it holds no JSON object with a list of subtasks")
    found: list[Subtask] = []
    # One more than there is room for is enough to tell that they do not fit, however long the list.
    for number, one in enumerate(listed[: specialists * depth + 1], 1):
        agent, task, needs = _read(one, number, specialists)
        busy = {earlier.step for earlier in found if earlier.agent == agent}
        step = max((found[need].step + 1 for need in needs), default=0)
        while step in busy:
            step += 1
        if step >= depth:
            raise Unusable(f"subtask {number} does not fit into {depth} steps, with one subtask a specialist in each")
        found.append(Subtask(agent, task, needs, step))
    return tuple(found)


def _read(one: Any, number: int, specialists: int) -> tuple[int, str, tuple[int, ...]]:  # noqa: ANN401 - JSON
    if not isinstance(one, dict):
        raise Unusable(f"subtask {number} is no JSON object")
    agent, task, needs = one.get("agent"), one.get("task"), one.get("needs", [])
    if type(agent) is not int or not 1 <= agent <= specialists:
        raise Unusable(f"subtask {number} names no specialist from 1 to {specialists}")
    if not isinstance(task, str) or not task.strip():
        raise Unusable(f"subtask {number} does not say what is to be done")
    if not isinstance(needs, list) or not all(type(need) is int and 1 <= need < number for need in needs):
        raise Unusable(f"subtask {number} needs what is no earlier subtask")
    # By bytes, as the plan counts; what of a character is cut in two is left out.
    short = task.strip().encode(errors="replace")[:_MOST_BYTES].decode(errors="ignore")
    return agent - 1, short, tuple(need - 1 for need in dict.fromkeys(needs))


def _turn(plan: Plan, subtask: Subtask, done: dict[int, Proposal]) -> Call:
    # What failed leaves no gap: those who need it do without.
    shown = tuple(done[need] for need in subtask.needs if need in done)
    specialist = plan.roster.layers[0][subtask.agent]
    return Call(specialist, shown, prompts.earlier(plan, len(shown)), messages=prompts.subtask(plan, subtask.task))


def outline(roster: Roster, options: CoordinateOptions) -> tuple[OutlinedLayer, ...]:
    """Return the coordinator's two tries, every specialist in every step, and the answer."""
    pool = roster.layers[0]
    told = 2 * TOLD + prompts.strengths_tokens(pool)  # the request, and what was wrong with the first reply
    coordinator = OutlinedLayer((roster.roles["coordinator"],), told=told, schema=prompts.SUBTASKS_SCHEMA)
    told = TOLD + _MOST_BYTES
    steps = tuple(OutlinedLayer(pool, looks_back=max(step, 1), told=told) for step in range(options.depth))
    answer = outlined_answer(aggregator_of(roster), len(roster.layers[0]), looks_back=options.depth)
    return (coordinator, coordinator, *steps, *answer)


def checks(roster: Roster, options: CoordinateOptions) -> Iterator[str]:
    """Tell why such a roster cannot divide work."""
    yield from roster_checks.layer_count(roster, 1, 1)
    yield from roster_checks.needs_aggregator(roster)
    yield from roster_checks.needs_role(roster, "coordinator", "to split the work")
    yield from roster_checks.within("depth", options.depth, 1, 10)
    yield from roster_checks.sound_weights(roster)
    yield from roster_checks.strengths(roster.layers[0] if roster.layers else ())


COORDINATE = Strategy("coordinate", coordinate, outline, checks, CoordinateOptions)
