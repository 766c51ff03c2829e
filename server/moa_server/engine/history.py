"""What a run has behind it when a server takes it over: closed layers, proposals of the open one, money spent."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from moa_server.domain.event import (
    AgentFailed,
    AgentStarted,
    AnswerDelta,
    AnswerRestarted,
    DecisionMade,
    Event,
    LayerClosed,
    ProposalReceived,
    RunStarted,
)
from moa_server.domain.proposal import LayerResult, Proposal
from moa_server.domain.usage import Certainty, Usage


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
    answer_shown: bool = False
    """Whether a part of an answer had been shown."""
    spent: Usage = Usage()
    _calling: dict[tuple[int, int], int] = field(default_factory=dict)

    @classmethod
    def of(cls, events: Iterable[Event]) -> "History":
        """Read a run's events, in order."""
        history = cls()
        for event in events:
            history._take(event)
        history.spent += history.lost_calls()
        return history

    def lost_calls(self) -> Usage:
        """Return the calls that were under way when an owner was lost: made, and never to be counted well."""
        lost = sum(self._calling.values())
        return Usage(calls=lost, certainty=Certainty.UNKNOWN, cost_nanousd=None) if lost else Usage()

    def _take(self, event: Event) -> None:
        match event.fact:
            case RunStarted():
                self.started = True
            case AgentStarted(layer, _, position):
                self._calling[layer, position] = self._calling.get((layer, position), 0) + 1
            case ProposalReceived(layer, proposal):
                self._end_call(layer, proposal.position, proposal.usage)
                self.given[proposal.position] = proposal
            case AgentFailed(layer, failure):
                self._end_call(layer, failure.position, failure.usage)
            case LayerClosed(layer_result):
                self.closed.append(layer_result)
                self.given.clear()
            case DecisionMade():
                self.decisions += 1
            case AnswerDelta():
                self.answer_shown = True
            case AnswerRestarted():
                self.answer_shown = False

    def _end_call(self, layer: int, position: int, usage: Usage) -> None:
        self.spent += usage
        left = self._calling.get((layer, position), 0) - 1
        self._calling[layer, position] = max(left, 0)
