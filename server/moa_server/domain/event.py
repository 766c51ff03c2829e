"""Numbered facts about a run."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from moa_server.domain.answer import Answer
from moa_server.domain.degradation import Degradation
from moa_server.domain.plan import Plan, PlannedLayer
from moa_server.domain.proposal import AgentFailure, LayerSummary, Proposal
from moa_server.domain.strategy import Decision
from moa_server.domain.usage import Usage


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A place in a run's events, ordered by epoch, then by sequence."""

    epoch: int = 0
    sequence: int = 0


BEGINNING = Cursor()
"""Before the first event."""


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run was registered."""

    request_id: str
    plan: Plan


@dataclass(frozen=True, slots=True)
class RunAdopted:
    """Another server took the run over."""

    layers_closed: int
    after_loss: bool = False
    """Whether the owner before had fallen silent, rather than handed the run over."""


@dataclass(frozen=True, slots=True)
class LayerStarted:
    """A layer's agents are about to be called."""

    layer: PlannedLayer


@dataclass(frozen=True, slots=True)
class AgentStarted:
    """An agent was called."""

    layer: int
    agent: str
    position: int
    model: str


@dataclass(frozen=True, slots=True)
class ProposalDelta:
    """A piece of a proposal."""

    layer: int
    agent: str
    position: int
    text: str


@dataclass(frozen=True, slots=True)
class ProposalReceived:
    """An agent gave its proposal."""

    layer: int
    proposal: Proposal


@dataclass(frozen=True, slots=True)
class AgentFailed:
    """An agent gives no proposal in this layer."""

    layer: int
    failure: AgentFailure


@dataclass(frozen=True, slots=True)
class LayerClosed:
    """A layer is over."""

    layer: LayerSummary


@dataclass(frozen=True, slots=True)
class DecisionMade:
    """The strategy chose."""

    decision: Decision


@dataclass(frozen=True, slots=True)
class RunDegraded:
    """The answer is going to be less than what was planned."""

    degradation: Degradation


@dataclass(frozen=True, slots=True)
class AnswerDelta:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class AnswerRestarted:
    """The pieces of the answer shown so far are void."""

    degradation: Degradation


@dataclass(frozen=True, slots=True)
class RunSucceeded:
    """The run ended with its answer. Terminal."""

    answer: Answer
    usage: Usage


@dataclass(frozen=True, slots=True)
class RunFailed:
    """The run ended with an error. Terminal."""

    reason: str
    detail: str
    failures: tuple[AgentFailure, ...]
    partial_text: str
    usage: Usage
    metadata: tuple[tuple[str, str], ...] = ()


class CancelledBy(StrEnum):
    """Who cancelled a run."""

    CALLER = "caller"
    ABANDONED = "abandoned"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class RunCancelled:
    """The run was cancelled. Terminal."""

    by: CancelledBy
    usage: Usage


Terminal = RunSucceeded | RunFailed | RunCancelled
Fact = (
    RunStarted
    | RunAdopted
    | LayerStarted
    | AgentStarted
    | ProposalDelta
    | ProposalReceived
    | AgentFailed
    | LayerClosed
    | DecisionMade
    | RunDegraded
    | AnswerDelta
    | AnswerRestarted
    | Terminal
)

SHOWN_AT_ONCE = (RunStarted, LayerStarted, AgentStarted, ProposalDelta, AnswerDelta)
"""Facts a watcher may see before they are durable: losing them loses nothing that was acknowledged. A run with a budget
calls no agent before its ``AgentStarted`` is durable."""


@dataclass(frozen=True, slots=True)
class Event:
    """A numbered fact about a run. It never changes."""

    run_id: str
    epoch: int
    sequence: int
    """From 1, without gaps within an epoch."""
    time: datetime
    fact: Fact

    @property
    def cursor(self) -> Cursor:
        """Its place."""
        return Cursor(self.epoch, self.sequence)

    @property
    def is_terminal(self) -> bool:
        """Whether it is the last one of its run."""
        return isinstance(self.fact, Terminal)
