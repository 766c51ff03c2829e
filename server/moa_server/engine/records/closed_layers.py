"""Puts closed layers together from a run's events: each text is told once, in its proposal."""

from collections import Counter, defaultdict

from moa_server.domain.event import AgentFailed, Fact, LayerClosed, ProposalReceived
from moa_server.domain.proposal import AgentFailure, LayerResult, LayerSummary, Proposal


class ClosedLayers:
    """Hears the facts of a run from its beginning, over all its epochs, and knows each layer when it has closed."""

    def __init__(self) -> None:
        self._told: dict[tuple[int, int], list[Proposal | AgentFailure]] = defaultdict(list)
        """How turns ended, by layer and position, as it was told."""

    def hear(self, fact: Fact) -> LayerResult | None:
        """Note a fact; return the layer if it is one that closes."""
        match fact:
            case ProposalReceived(layer, proposal):
                self._told[layer, proposal.position].append(proposal)
            case AgentFailed(layer, failure):
                self._told[layer, failure.position].append(failure)
            case LayerClosed(summary):
                return self._closed(summary)
        return None

    def _closed(self, summary: LayerSummary) -> LayerResult:
        # What an agent came to for an owner that was lost is told too: the layer has the last of it. One who began
        # again has more than one end in it.
        left = Counter(agent.voice.position for agent in summary.agents)
        turns = list[Proposal | AgentFailure]()
        for agent in summary.agents:
            position = agent.voice.position
            turns.append(self._told[summary.index, position][-left[position]])
            left[position] -= 1
        for position in left:
            del self._told[summary.index, position]
        return summary.whole(turns)
