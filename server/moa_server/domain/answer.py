"""The answer a run returns, and what it rests on."""

from dataclasses import dataclass
from enum import StrEnum

from moa_server.domain.degradation import Degradation
from moa_server.domain.model import FinishReason
from moa_server.domain.proposal import Proposal, Voice


@dataclass(frozen=True, slots=True)
class Vote:
    """A choice, and who made it."""

    choice: str
    weight: float
    voices: tuple[Voice, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found of a layer's proposals. It is a signal, and not how likely the answer is to be right."""

    layer: int
    votes: tuple[Vote, ...] = ()
    """The winner first."""
    undecided: tuple[Voice, ...] = ()
    """Those whose proposals held no choice."""
    share: float | None = None
    """Of the weight that the winner has, undecided ones counted."""
    ranking: tuple[Voice, ...] = ()
    """The best first."""


class AnswerState(StrEnum):
    """Whether there is an answer."""

    GIVEN = "given"
    ABSTAINED = "abstained"


@dataclass(frozen=True, slots=True)
class Answer:
    """The text a run returns, and how it came about."""

    text: str
    agent: str
    model: str
    served_model: str
    finish_reason: FinishReason = FinishReason.UNSPECIFIED
    degradations: tuple[Degradation, ...] = ()
    judgement: Judgement | None = None
    state: AnswerState = AnswerState.GIVEN

    @classmethod
    def of(cls, proposal: Proposal, judgement: Judgement | None = None) -> "Answer":
        """Return a proposal as the answer, word for word."""
        return cls(
            proposal.text,
            proposal.agent,
            proposal.model,
            proposal.served_model,
            proposal.finish_reason,
            judgement=judgement,
        )
