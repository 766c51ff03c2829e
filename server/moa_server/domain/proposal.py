"""What agents give: proposals, failures, and closed layers."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from moa_server.domain.degradation import Degradation
from moa_server.domain.errors import ModelRefused
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
    set_aside: Usage = Usage()
    """What of its worst case is kept aside, since it is not known for certain what it used."""
    upstream_code: str = ""
    """The endpoint's own code of the failure, or its type; never its text."""


@dataclass(frozen=True, slots=True)
class Voice:
    """An agent at its place in a layer: the same agent may have several."""

    agent: str
    position: int


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

    @property
    def voice(self) -> "Voice":
        """Whose it is."""
        return Voice(self.agent, self.position)

    def declined(self) -> "AgentFailure":
        """Return a text that does nothing but decline as what it is."""
        return AgentFailure(
            self.agent,
            self.position,
            self.model,
            ModelRefused.reason(),
            f"{self.agent} declined to answer",
            self.attempts,
            self.usage,
            permanent=ModelRefused.permanent,
        )


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
    permanent: bool = False
    """Whether the same call is bound to fail again until somebody mends something."""


class LayerEnd(StrEnum):
    """Why a layer closed."""

    ALL_HEARD = "all_heard"
    QUORUM = "quorum"
    DECIDED = "decided"


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
    end: LayerEnd = LayerEnd.ALL_HEARD
    quorum: int = 0
    """How many proposals it needed."""

    @property
    def usage(self) -> Usage:
        """What all its attempts used."""
        given = sum((proposal.usage for proposal in self.proposals), Usage())
        return sum((failure.usage for failure in self.failures), given)

    def summary(self) -> "LayerSummary":
        """Return the layer without its texts."""
        turns: list[Proposal | AgentFailure] = [*self.failures, *self.proposals]
        turns.sort(key=lambda turn: turn.position)
        return LayerSummary(
            self.index,
            tuple(AgentSummary.of(turn) for turn in turns),
            self.started,
            self.ended,
            self.answers,
            self.arrival,
            self.degradations,
            self.end,
            self.quorum,
        )


@dataclass(frozen=True, slots=True)
class AgentSummary:
    """How an agent's turn in a layer went."""

    voice: Voice
    failure: str
    """The reason of its error; empty when it proposed."""
    asked: str
    """The model that was asked for."""
    served: str
    """The model that served; empty when none did."""
    attempts: int
    time_s: float
    """From the start of its first attempt to the end of its last."""
    usage: Usage

    @classmethod
    def of(cls, turn: Proposal | AgentFailure) -> "AgentSummary":
        """Return what is to be said of a turn without its text."""
        attempts = turn.attempts
        time_s = (max(one.ended for one in attempts) - attempts[0].started).total_seconds() if attempts else 0.0
        return cls(
            Voice(turn.agent, turn.position),
            turn.reason if isinstance(turn, AgentFailure) else "",
            turn.model,
            "" if isinstance(turn, AgentFailure) else turn.served_model,
            len(attempts),
            time_s,
            turn.usage,
        )


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """A closed layer without its texts: these were told with its proposals. It never changes."""

    index: int
    agents: tuple[AgentSummary, ...]
    """In configured order; one who broke off and began again stands here twice."""
    started: datetime | None = None
    ended: datetime | None = None
    answers: bool = False
    arrival: tuple[int, ...] = ()
    degradations: tuple[Degradation, ...] = ()
    end: LayerEnd = LayerEnd.ALL_HEARD
    quorum: int = 0

    @property
    def usage(self) -> Usage:
        """What all its attempts used."""
        return sum((agent.usage for agent in self.agents), Usage())

    def whole(self, turns: Iterable[Proposal | AgentFailure]) -> LayerResult:
        """Return the layer with the turns that were told of it, one for each agent named here and in this order.

        A proposal may have been told before it was found to do nothing but decline.
        """
        proposals, failures = list[Proposal](), list[AgentFailure]()
        for agent, turn in zip(self.agents, turns, strict=True):
            if isinstance(turn, AgentFailure):
                failures.append(turn)
            elif agent.failure:
                failures.append(turn.declined())
            else:
                proposals.append(turn)
        return LayerResult(
            self.index,
            tuple(proposals),
            tuple(failures),
            self.started,
            self.ended,
            self.answers,
            self.arrival,
            self.degradations,
            self.end,
            self.quorum,
        )
