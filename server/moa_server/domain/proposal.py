"""What agents give: proposals, failures, closed layers, and the answer."""

from dataclasses import dataclass
from datetime import datetime

from moa_server.domain.degradation import Degradation
from moa_server.domain.model import AttemptKind, FinishReason
from moa_server.domain.usage import Usage


@dataclass(frozen=True, slots=True)
class Attempt:
    """One physical call upstream, over."""

    model: str
    kind: AttemptKind
    started: datetime
    ended: datetime
    first_token: datetime | None = None
    served_model: str = ""
    failure: str = ""
    """The reason of its error; empty when it succeeded."""
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class Proposal:
    """The complete text one agent gave in a layer."""

    agent: str
    position: int
    """The agent's place in its layer, from 0."""
    model: str
    """The model that was asked for."""
    served_model: str
    """The model that served."""
    text: str
    finish_reason: FinishReason = FinishReason.UNSPECIFIED
    attempts: tuple[Attempt, ...] = ()
    usage: Usage = Usage()
    weight: float = 1.0
    mean_logprob: float | None = None


@dataclass(frozen=True, slots=True)
class AgentFailure:
    """That an agent gave no proposal in a layer, and why."""

    agent: str
    position: int
    model: str
    reason: str
    """The reason of its error."""
    detail: str
    attempts: tuple[Attempt, ...] = ()
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class LayerResult:
    """A closed layer. It never changes."""

    index: int
    proposals: tuple[Proposal, ...]
    """In configured order, whatever the order of arrival."""
    failures: tuple[AgentFailure, ...] = ()
    """In configured order."""
    started: datetime | None = None
    ended: datetime | None = None
    answers: bool = False
    """Whether its proposal is the answer."""
    arrival: tuple[int, ...] = ()
    """The positions of those who proposed, the earliest first."""
    degradations: tuple[Degradation, ...] = ()

    @property
    def usage(self) -> Usage:
        """What all its attempts used."""
        given = sum((proposal.usage for proposal in self.proposals), Usage())
        return sum((failure.usage for failure in self.failures), given)


@dataclass(frozen=True, slots=True)
class Vote:
    """A choice, and who made it."""

    choice: str
    weight: float
    agents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The text a run returns, and how it came about."""

    text: str
    agent: str
    model: str
    served_model: str
    finish_reason: FinishReason = FinishReason.UNSPECIFIED
    degradations: tuple[Degradation, ...] = ()
    votes: tuple[Vote, ...] = ()

    @classmethod
    def of(cls, proposal: Proposal, votes: tuple[Vote, ...] = ()) -> "Answer":
        """Return a proposal as the answer, word for word."""
        return cls(
            proposal.text,
            proposal.agent,
            proposal.model,
            proposal.served_model,
            proposal.finish_reason,
            votes=votes,
        )
