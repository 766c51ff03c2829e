"""The steps rules are made of."""

from collections.abc import Generator
from typing import TypeVar

from moa_server.domain.agent import Agent
from moa_server.domain.degradation import Degradation, DegradationReason
from moa_server.domain.mixture import Roster
from moa_server.domain.plan import Plan
from moa_server.domain.proposal import Answer, LayerResult, Proposal
from moa_server.domain.strategy import Call, Decision, Layer

_Outcome = TypeVar("_Outcome")

Step = Generator[Layer | Decision | Degradation, LayerResult | None, _Outcome]
"""A part of a rule, and what it comes to."""

NOTHING: tuple[Proposal, ...] = ()
"""What is shown before anybody has spoken."""


def ask(layer: Layer) -> Step[LayerResult]:
    """Have a layer carried out."""
    result = yield layer
    if result is None:
        raise TypeError("a layer was answered with nothing")
    return result


def try_all(calls: tuple[Call, ...]) -> Step[LayerResult]:
    """Wait for every call, and go on whatever came of them."""
    return (yield from ask(Layer(calls, quorum=len(calls), excused=True)))


def ask_one(call: Call) -> Step[Proposal | None]:
    """Ask one agent that the run can do without."""
    result = yield from try_all((call,))
    return result.proposals[0] if result.proposals else None


def answer_by(call: Call, stand_ins: tuple[Proposal, ...] | None = None) -> Step[Answer]:
    """Let the stream of a call be the answer, or the best of some proposals, should it fail."""
    result = yield from ask(Layer((call,), answers=True, stand_ins=stand_ins))
    return Answer.of(result.proposals[0])


def only_proposal(plan: Plan, result: LayerResult) -> Proposal | None:
    """Return the proposal that is the answer because it is the only one; it was not held to an answer's schema."""
    if plan.rules.return_single and len(result.proposals) == 1 and plan.response_schema is None:
        return result.proposals[0]
    return None


def return_only(proposal: Proposal) -> Step[Answer]:
    """Return a proposal without asking for an answer."""
    yield Decision("stop", (proposal.agent,), "the only proposal is the answer", calls_saved=1)
    return Answer.of(proposal)


def aggregator_of(roster: Roster) -> Agent:
    """Return who writes the answer, where the strategy has found no problem with the roster."""
    if roster.aggregator is None:
        raise ValueError("nobody is named to write the answer")
    return roster.aggregator


def fell_back(detail: str) -> Degradation:
    """Return that a rule did something simpler than what was planned."""
    return Degradation(DegradationReason.STRATEGY_FELL_BACK, detail)


def names(proposals: tuple[Proposal, ...]) -> tuple[str, ...]:
    """Return whose they are."""
    return tuple(proposal.agent for proposal in proposals)
