"""What a run has behind it when a server takes it over: closed layers, proposals of the open one, money spent."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from moa_server.domain import event as facts
from moa_server.domain.degradation import Degradation
from moa_server.domain.proposal import AgentFailure, LayerResult, Proposal
from moa_server.domain.usage import Usage
from moa_server.engine.records.closed_layers import ClosedLayers


@dataclass(slots=True)
class History:
    """What the journal tells of a run's earlier epochs."""

    started: bool = False
    """Whether the beginning was recorded."""
    closed: list[LayerResult] = field(default_factory=list)
    given: dict[int, Proposal] = field(default_factory=dict)
    """What agents of the layer after these have answered, by position."""
    decisions: int = 0
    """How many decisions were recorded."""
    degraded: list[Degradation] = field(default_factory=list)
    """What was told to be less than planned, but for the open layer."""
    degraded_so_far: list[Degradation] = field(default_factory=list)
    """What was told to be less than planned of the open layer."""
    known: Usage = Usage()
    """What the calls whose end was recorded have used."""
    set_aside: Usage = Usage()
    """What is kept aside for them beside, since it is not known for certain what they used."""
    _calling: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    """The agents that were asked and had not ended, by layer and position."""

    @classmethod
    def of(cls, events: Iterable[facts.Event]) -> "History":
        """Read a run's events, in order."""
        history, layers = cls(), ClosedLayers()
        for event in events:
            closed = layers.hear(event.fact)
            if closed is not None:
                history.closed.append(closed)
                history.given.clear()
                history.degraded += history.degraded_so_far
                history.degraded_so_far = []
            match event.fact:
                case facts.RunStarted():
                    history.started = True
                case facts.AgentStarted(layer, agent, position):
                    history._calling.setdefault((layer, position), []).append(agent)
                case facts.ProposalReceived(layer, proposal):
                    history._end_call(layer, proposal)
                    history.given[proposal.position] = proposal
                case facts.AgentFailed(layer, failure):
                    history._end_call(layer, failure)
                case facts.DecisionMade():
                    history.decisions += 1
                case facts.RunDegraded(degradation) | facts.AnswerRestarted(degradation):
                    is_open = degradation.layer == len(history.closed)
                    (history.degraded_so_far if is_open else history.degraded).append(degradation)
        return history

    @property
    def lost(self) -> tuple[tuple[int, str], ...]:
        """The layers and agents of calls that were lost with their owners: made, and never to be counted well."""
        return tuple((layer, agent) for (layer, _), agents in self._calling.items() for agent in agents)

    @property
    def asked_before(self) -> frozenset[int]:
        """The positions in the open layer whose calls were lost, so that they are asked again."""
        return frozenset(at for (layer, at), agents in self._calling.items() if agents and layer == len(self.closed))

    @property
    def spent(self) -> Usage:
        """What all calls have used, as far as it is known."""
        return self.known + Usage.unknown(len(self.lost))

    def _end_call(self, layer: int, end: Proposal | AgentFailure) -> None:
        self.known += end.usage
        self.set_aside = sum((attempt.set_aside for attempt in end.attempts), self.set_aside)
        under_way = self._calling.get((layer, end.position))
        if under_way:
            under_way.pop()
