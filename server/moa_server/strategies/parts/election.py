"""Makes an answer of votes."""

from dataclasses import replace
from functools import lru_cache
from typing import Protocol

from moa_server.domain.errors import StragglerCut
from moa_server.domain.model import FinishReason
from moa_server.domain.plan import Plan
from moa_server.domain.proposal import Answer, LayerResult, Proposal
from moa_server.domain.strategy import Decision
from moa_server.strategies.parts.ballots import BallotOptions, extractor
from moa_server.strategies.parts.steps import Step, fell_back
from moa_server.strategies.parts.tally import Choice, Counting

_MOST_READ = 1024


class CountingOptions(BallotOptions, Protocol):
    """What strategies that count votes say about it."""

    @property
    def tie(self) -> str: ...


class ElectionOptions(CountingOptions, Protocol):
    """What strategies that end in a vote say about it."""

    @property
    def whole(self) -> bool: ...


def counting(plan: Plan, options: CountingOptions) -> Counting:
    """Return how a plan's votes are counted; each text is read once, however often they are."""
    return Counting(lru_cache(_MOST_READ)(extractor(options)), options.tie, plan.seed)


def is_whole(plan: Plan, options: ElectionOptions) -> bool:
    """Return whether the answer is a whole proposal: a bare choice may break a schema or read ill."""
    return options.whole or options.extract == "normalised_text" or plan.response_schema is not None


def elect(plan: Plan, options: ElectionOptions, result: LayerResult) -> Step[Answer]:
    """Let the proposals of a layer decide; the weightiest is the answer when none of them holds a vote."""
    choices = counting(plan, options).choices(result.proposals)
    if not choices:
        yield fell_back("no proposal held a vote, so that the weightiest one is the answer")
        return Answer.of(weightiest(result.proposals))
    winner = choices[0]
    cut = sum(failure.reason == StragglerCut.reason() for failure in result.failures)
    agents = winner.vote.agents
    detail = f"{len(agents)} of {len(result.proposals)} proposals are for it, {_share(choices):.0%} of the weight"
    yield Decision("vote", agents, detail, calls_saved=cut)
    answer = Answer.of(winner.voters[0], tuple(choice.vote for choice in choices))
    if is_whole(plan, options):
        return answer
    return replace(answer, text=winner.text, finish_reason=FinishReason.STOP)


def weightiest(proposals: tuple[Proposal, ...]) -> Proposal:
    """Return the proposal that weighs most, the first of equals."""
    return max(proposals, key=lambda proposal: proposal.weight)


def _share(choices: tuple[Choice, ...]) -> float:
    total = sum(choice.weight for choice in choices)
    return float(choices[0].weight / total) if total else 0.0
