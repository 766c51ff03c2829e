"""What rules are made of: parts that ask agents, and what they go on with."""

import hashlib
from collections.abc import Generator
from dataclasses import replace
from typing import TypeVar

from moa_server.domain.agent import Agent
from moa_server.domain.answer import Answer
from moa_server.domain.degradation import Degradation, DegradationReason
from moa_server.domain.mixture import Roster
from moa_server.domain.plan import Plan
from moa_server.domain.proposal import LayerResult, Proposal
from moa_server.domain.strategy import Call, Decision, DecisionKind, Layer

_Outcome = TypeVar("_Outcome")

SubRule = Generator[Layer | Decision | Degradation, LayerResult | None, _Outcome]
"""A part of a rule, and what it comes to."""

NOTHING: tuple[Proposal, ...] = ()
"""What is shown before anybody has spoken."""


def ask(layer: Layer) -> SubRule[LayerResult]:
    """Have a layer carried out."""
    result = yield layer
    if result is None:
        raise TypeError("a layer was answered with nothing")
    return result


def try_all(calls: tuple[Call, ...]) -> SubRule[LayerResult]:
    """Wait for every call, and go on whatever came of them."""
    return (yield from ask(Layer(calls, quorum=len(calls), excused=True)))


def ask_one(call: Call) -> SubRule[Proposal | None]:
    """Ask one agent that the run can do without."""
    result = yield from try_all((call,))
    return result.proposals[0] if result.proposals else None


def answer_by(call: Call, stand_ins: tuple[Proposal, ...] | None = None) -> SubRule[Answer]:
    """Let the stream of a call be the answer, or the best of some proposals, should it fail."""
    result = yield from ask(Layer((call,), answers=True, stand_ins=stand_ins))
    return Answer.of(result.proposals[0])


def only_answer(plan: Plan, result: LayerResult) -> SubRule[Answer | None]:
    """Let the only proposal be the answer without asking for one, where the mixture says so."""
    # A proposal was not held to the schema of an answer.
    if not plan.rules.return_single or len(result.proposals) != 1 or plan.response_schema is not None:
        return None
    only = result.proposals[0]
    yield Decision(DecisionKind.STOP, (only.agent,), "the only proposal is the answer", calls_avoided=1)
    return Answer.of(only)


def aggregator_of(roster: Roster) -> Agent:
    """Return who writes the answer, where the strategy has found no problem with the roster."""
    if roster.aggregator is None:
        raise ValueError("nobody is named to write the answer")
    return roster.aggregator


def sampled(agents: tuple[Agent, ...], samples: int) -> tuple[Agent, ...]:
    """Return each agent so many times, one turn of all after the other."""

    def again(agent: Agent, number: int) -> Agent:
        seed = agent.sampling.seed
        # A fixed seed would have an endpoint say the same thing every time.
        return replace(agent, sampling=replace(agent.sampling, seed=seed + number)) if seed is not None else agent

    return tuple(again(agent, number) for number in range(samples) for agent in agents)


def drawn(seed: int, *place: object) -> bytes:
    """Return what the plan's seed gives a place."""
    # A digest, since what `random` makes of a seed may change with Python, and a takeover may run on another one.
    return hashlib.sha256(":".join(map(str, (seed, *place))).encode(errors="replace")).digest()


def fell_back(detail: str) -> Degradation:
    """Return that a rule did something simpler than what was planned."""
    return Degradation(DegradationReason.STRATEGY_FELL_BACK, detail)


def names(proposals: tuple[Proposal, ...]) -> tuple[str, ...]:
    """Return whose they are."""
    return tuple(proposal.agent for proposal in proposals)
