"""Agents answer side by side and the weighted majority decides; nobody aggregates."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from moa_server.domain.mixture import Roster
from moa_server.domain.plan import Plan
from moa_server.domain.strategy import Call, Layer, OutlinedLayer, Rule, Strategy
from moa_server.strategies.parts import ballots, roster_checks
from moa_server.strategies.parts.election import counting, elect, is_whole, settled
from moa_server.strategies.parts.sub_rule import ask, sampled


@dataclass(frozen=True, slots=True)
class VoteOptions:
    """What can be said about a vote."""

    samples: int = 1
    """How often each agent is asked."""
    extract: ballots.Extract = "normalised_text"
    """What a proposal votes for: ``last_number``, ``choice_letter``, ``json_field``, ``regex``, ``normalised_text``."""
    pattern: str = ""
    """For ``regex``: its first group, or all it finds, is the choice; searched at the end of a text, line by line."""
    field: str = "answer"
    """For ``json_field``: the field that holds the choice, such as ``result.label``."""
    letters: str = "ABCD"
    """For ``choice_letter``: those that can be chosen."""
    tie: Literal["first", "seeded"] = "first"
    """Who wins a tie: the choice of the ``first`` agent in the configuration, or one by the run's seed (``seeded``)."""
    whole: bool = False
    """Whether the answer is the whole text of the first who voted for it, instead of the choice alone."""
    stop_when_decided: bool = True
    """Whether those who are still speaking are cancelled once they cannot change the answer."""


def vote(plan: Plan, options: VoteOptions) -> Rule:
    """Have all answer until nobody can change the majority any more, and let that decide."""
    voters = sampled(plan.roster.layers[0], options.samples)
    calls = tuple(Call(agent, response_schema=plan.response_schema) for agent in voters)
    weights = tuple(agent.weight for agent in voters)
    decided = settled(counting(plan, options), weights, whole=is_whole(plan, options))
    result = yield from ask(Layer(calls, enough=decided if options.stop_when_decided else None))
    return (yield from elect(plan, options, result))


def outline(roster: Roster, options: VoteOptions) -> tuple[OutlinedLayer, ...]:
    """Return the voters."""
    return (OutlinedLayer(sampled(roster.layers[0], options.samples), told=0),)


def checks(roster: Roster, options: VoteOptions) -> Iterator[str]:
    """Tell why such a roster cannot vote."""
    yield from roster_checks.layer_count(roster, 1, 1)
    yield from roster_checks.sound_weights(roster)
    yield from roster_checks.within("samples", options.samples, 1, 100)
    yield from roster_checks.differing_samples(roster, options.samples)
    yield from ballots.problems(options)


VOTE = Strategy("vote", vote, outline, checks, VoteOptions)
