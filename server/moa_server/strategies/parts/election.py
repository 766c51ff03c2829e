"""Counts votes by weight, knows when no vote to come can change the outcome, and makes an answer of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Protocol

from moa_server.domain.answer import Answer, Judgement, Vote
from moa_server.domain.errors import StragglerCut
from moa_server.domain.model import FinishReason
from moa_server.domain.plan import Plan
from moa_server.domain.proposal import LayerResult, Proposal
from moa_server.domain.strategy import Decision, DecisionKind
from moa_server.strategies.parts.ballots import BallotOptions, Extractor, extractor
from moa_server.strategies.parts.sub_rule import SubRule, drawn, fell_back

_MOST_READ = 1024


class CountingOptions(BallotOptions, Protocol):
    """What strategies that count votes say about it."""

    @property
    def tie(self) -> str: ...


class ElectionOptions(CountingOptions, Protocol):
    """What strategies that end in a vote say about it."""

    @property
    def whole(self) -> bool: ...


def _exact(weight: float) -> Fraction:
    """Return a weight as it was written, so that 0.1 and 0.2 weigh 0.3."""
    return Fraction(str(weight))


@dataclass(frozen=True, slots=True)
class Choice:
    """What some voted for."""

    text: str
    voters: tuple[Proposal, ...]
    """In configured order."""

    @property
    def weight(self) -> Fraction:
        """What they weigh together, without rounding."""
        return sum((_exact(voter.weight) for voter in self.voters), Fraction())

    @property
    def vote(self) -> Vote:
        """Return it as the answer carries it."""
        return Vote(self.text, float(self.weight), tuple(voter.voice for voter in self.voters))


@dataclass(frozen=True, slots=True)
class Counting:
    """How votes are read and how a tie is broken."""

    read: Extractor
    tie: str
    seed: int

    def choices(self, proposals: tuple[Proposal, ...]) -> tuple[Choice, ...]:
        """Return what was voted for, the winner first; a text without a vote counts nowhere."""
        ballots: dict[str, list[Proposal]] = {}
        for proposal in proposals:
            text = self.read(proposal.text)
            if text is not None:
                ballots.setdefault(text, []).append(proposal)

        def rank(choice: Choice) -> tuple[Fraction, bytes, int]:
            # The lot hangs on the text alone, so that no order of voters can be chosen to win it.
            lot = drawn(self.seed, choice.text) if self.tie == "seeded" else b""
            return (-choice.weight, lot, choice.voters[0].position)

        return tuple(sorted((Choice(text, tuple(voters)) for text, voters in ballots.items()), key=rank))


def settled(counting: Counting, weights: tuple[float, ...], *, whole: bool) -> Callable[[tuple[Proposal, ...]], bool]:
    """Return whether votes decide the matter whatever those still to come say.

    Where the answer is the whole text of the first who voted for it, that voter must be certain too.
    """
    total = sum(map(_exact, weights), Fraction())

    def enough(proposals: tuple[Proposal, ...]) -> bool:
        choices = counting.choices(proposals)
        if not choices:
            return False
        to_come = total - sum((_exact(proposal.weight) for proposal in proposals), Fraction())
        runner_up = choices[1].weight if len(choices) > 1 else Fraction()
        if choices[0].weight - runner_up <= to_come:
            return False
        # Once all those before it in the configuration have come, nobody can become the first who voted for it.
        first = choices[0].voters[0].position
        return not whole or sum(proposal.position < first for proposal in proposals) == first

    return enough


def counting(plan: Plan, options: CountingOptions) -> Counting:
    """Return how a plan's votes are counted; each text is read once, however often they are."""
    return Counting(lru_cache(_MOST_READ)(extractor(options)), options.tie, plan.seed)


def is_whole(plan: Plan, options: ElectionOptions) -> bool:
    """Return whether the answer is a whole proposal: a bare choice may break a schema or read ill."""
    return options.whole or options.extract == "normalised_text" or plan.response_schema is not None


def elect(plan: Plan, options: ElectionOptions, result: LayerResult) -> SubRule[Answer]:
    """Let the proposals of a layer decide; the weightiest is the answer when none of them holds a vote."""
    choices = counting(plan, options).choices(result.proposals)
    if not choices:
        yield fell_back("no proposal held a vote, so that the weightiest one is the answer")
        return Answer.of(weightiest(result.proposals))
    winner = choices[0]
    cut = sum(failure.reason == StragglerCut.reason() for failure in result.failures)
    judgement = _judged(choices, result)
    detail = (
        f"{len(winner.voters)} of {len(result.proposals)} proposals are for it, {judgement.share:.0%} of the weight"
    )
    agents = tuple(voter.agent for voter in winner.voters)
    yield Decision(DecisionKind.VOTE, agents, detail, calls_cut=cut, judgement=judgement)
    answer = Answer.of(winner.voters[0], judgement)
    if is_whole(plan, options):
        return answer
    # The bare choice is whole, however the text that it was read from ended.
    return replace(answer, text=winner.text, finish_reason=FinishReason.STOP)


def _judged(choices: tuple[Choice, ...], result: LayerResult) -> Judgement:
    voted = {voter.position for choice in choices for voter in choice.voters}
    undecided = tuple(proposal for proposal in result.proposals if proposal.position not in voted)
    total = sum((choice.weight for choice in choices), sum((_exact(one.weight) for one in undecided), Fraction()))
    return Judgement(
        result.index,
        tuple(choice.vote for choice in choices),
        tuple(proposal.voice for proposal in undecided),
        float(choices[0].weight / total) if total else 0.0,
    )


def weightiest(proposals: tuple[Proposal, ...]) -> Proposal:
    """Return the proposal that weighs most, the first of equals."""
    return max(proposals, key=lambda proposal: proposal.weight)
