"""Agents answer, read one another's answers, and answer again, until they agree or the rounds are over."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from moa_server.domain.mixture import Roster
from moa_server.domain.plan import Plan
from moa_server.domain.proposal import LayerResult
from moa_server.domain.strategy import Call, Decision, DecisionKind, Layer, OutlinedLayer, Rule, Strategy
from moa_server.strategies.parts import ballots, roster_checks
from moa_server.strategies.parts.aggregation import aggregated, outlined_answer
from moa_server.strategies.parts.election import counting, elect
from moa_server.strategies.parts.selection import ordered
from moa_server.strategies.parts.similarity import agreement
from moa_server.strategies.parts.sub_rule import SubRule, aggregator_of, ask, fell_back, names
from moa_server.strategies.prompts import critics as prompts


@dataclass(frozen=True, slots=True)
class DebateOptions:
    """What can be said about a debate."""

    rounds: int = 3
    """How often each agent answers."""
    neighbours: int = 0
    """How many others each agent reads: those after it in the configuration, in a ring; 0 means all."""
    end: Literal["vote", "aggregate"] = "vote"
    """What follows the last round: a ``vote``, or the aggregator (``aggregate``)."""
    stop_on_agreement: bool = True
    """Whether rounds are skipped once all vote for the same, or before an aggregator say much the same."""
    agreement: float = 0.9
    """How alike answers have to be before an aggregator, from 0 to 1."""
    extract: ballots.Extract = "normalised_text"
    """What an answer votes for: ``last_number``, ``choice_letter``, ``json_field``, ``regex``, ``normalised_text``."""
    pattern: str = ""
    """For ``regex``: its first group, or all it finds, is the choice; searched at the end of a text, line by line."""
    field: str = "answer"
    """For ``json_field``: the field that holds the choice."""
    letters: str = "ABCD"
    """For ``choice_letter``: those that can be chosen."""
    tie: Literal["first", "seeded"] = "first"
    """Who wins a tie: the choice of the ``first`` agent in the configuration, or one by the run's seed (``seeded``)."""
    whole: bool = False
    """Whether the answer is the whole text of the first who voted for it, instead of the choice alone."""


def debate(plan: Plan, options: DebateOptions) -> Rule:
    """Have all answer, then again with what the others said, and end in a vote or an aggregation."""
    debaters = plan.roster.layers[0]
    schema = plan.response_schema if options.end == "vote" else None
    result = yield from ask(Layer(tuple(Call(agent, response_schema=schema) for agent in debaters)))
    for done in range(1, options.rounds):
        if (yield from _agreed(plan, options, result, saved=(options.rounds - done) * len(debaters))):
            break
        calls = tuple(_turn(plan, options, result, place, schema) for place in range(len(debaters)))
        came = yield from ask(Layer(calls, falls_back=True))
        if came.proposals:
            result = came
        else:
            yield fell_back(f"nobody answered in round {done + 1}, so that the answers before it stand")
    if options.end == "vote":
        return (yield from elect(plan, options, result))
    return (yield from aggregated(plan, aggregator_of(plan.roster), ordered(plan, result)))


def _turn(plan: Plan, options: DebateOptions, result: LayerResult, place: int, schema: str | None) -> Call:
    debaters = plan.roster.layers[0]
    reach = min(options.neighbours or len(debaters), len(debaters) - 1)
    heard = {(place + distance) % len(debaters) for distance in range(1, reach + 1)}
    own = tuple(proposal for proposal in result.proposals if proposal.position == place)
    others = tuple(proposal for proposal in ordered(plan, result) if proposal.position in heard)
    told = prompts.debater(plan, own=bool(own), others=len(others))
    return Call(debaters[place], (*own, *others), told, response_schema=schema)


def _agreed(plan: Plan, options: DebateOptions, result: LayerResult, *, saved: int) -> SubRule[bool]:
    """Decide whether the rounds to come can be left out."""
    # One who answered alone has been read by nobody.
    if not options.stop_on_agreement or len(result.proposals) == 1:
        return False
    if options.end == "vote":
        choices = counting(plan, options).choices(result.proposals)
        agreed = len(choices) == 1 and len(choices[0].voters) == len(result.proposals)
    else:
        agreed = agreement([proposal.text for proposal in result.proposals]) >= options.agreement
    if agreed:
        yield Decision(
            DecisionKind.STOP, names(result.proposals), f"all agree after round {result.index + 1}", calls_avoided=saved
        )
    return agreed


def outline(roster: Roster, options: DebateOptions) -> tuple[OutlinedLayer, ...]:
    """Return every round, and the answer where an aggregator writes it."""
    debaters = roster.layers[0]
    rounds = (OutlinedLayer(debaters, told=0), *((OutlinedLayer(debaters),) * (options.rounds - 1)))
    if options.end == "vote":
        return rounds
    return (*rounds, *outlined_answer(aggregator_of(roster), len(roster.layers[0])))


def checks(roster: Roster, options: DebateOptions) -> Iterator[str]:
    """Tell why such a roster cannot debate."""
    yield from roster_checks.layer_count(roster, 1, 1)
    yield from roster_checks.sound_weights(roster)
    yield from roster_checks.within("rounds", options.rounds, 1, 20)
    yield from roster_checks.within("neighbours", options.neighbours, 0, 100)
    yield from roster_checks.within("agreement", options.agreement, 0, 1)
    yield from ballots.problems(options)
    if options.end == "aggregate":
        yield from roster_checks.needs_aggregator(roster)


DEBATE = Strategy("debate", debate, outline, checks, DebateOptions)
