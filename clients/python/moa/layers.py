"""Puts closed layers together from a run's events, in which each text is told once: with its proposal."""

from collections import Counter, defaultdict

from moa.v1.error_pb2 import ERROR_REASON_UNSPECIFIED
from moa.v1.event_pb2 import Event
from moa.v1.run_pb2 import AgentFailure, AgentSummary, LayerResult, LayerSummary, Proposal


class ClosedLayers:
    """Hears the events of a run, and knows each of the run's own layers when it has closed."""

    def __init__(self) -> None:
        self.by_index: dict[int, LayerResult] = {}
        """The layers that have closed, but for those whose texts were told before the first event that was heard."""
        self._told: dict[tuple[int, int], list[Proposal | AgentFailure]] = defaultdict(list)
        """How turns ended, by layer and position, as it was told."""

    def hear(self, event: Event) -> LayerResult | None:
        """Note an event; return the layer if it is one that closes, and all of it was told here."""
        match event.WhichOneof("fact"):
            case _ if event.group:
                return None
            case "proposal_received":
                received = event.proposal_received
                self._told[received.layer, received.proposal.position].append(received.proposal)
            case "agent_failed":
                failed = event.agent_failed
                self._told[failed.layer, failed.failure.position].append(failed.failure)
            case "layer_closed":
                return self._closed(event.layer_closed.layer)
        return None

    def closed_by(self, event: Event) -> LayerResult | None:
        """Return the layer that an event closed, once it was heard."""
        return self.by_index.get(event.layer_closed.layer.index) if event.HasField("layer_closed") else None

    def _closed(self, summary: LayerSummary) -> LayerResult | None:
        # What an agent came to for an owner that was lost is told too: the layer has the last of it. One who began
        # again has more than one end in it.
        ends = Counter(agent.voice.position for agent in summary.agents)
        told = {position: self._told.pop((summary.index, position), [])[-count:] for position, count in ends.items()}
        if any(len(told[position]) < count for position, count in ends.items()):
            return None
        layer = LayerResult(summary=summary)
        for agent in summary.agents:
            turn = told[agent.voice.position].pop(0)
            if isinstance(turn, AgentFailure):
                layer.failures.append(turn)
            elif agent.failure == ERROR_REASON_UNSPECIFIED:
                layer.proposals.append(turn)
            else:
                layer.failures.append(_declined(turn, agent))
        self.by_index[summary.index] = layer
        return layer


def _declined(proposal: Proposal, agent: AgentSummary) -> AgentFailure:
    """Return a proposal that was found to do nothing but decline, once others had been heard, as what it is."""
    return AgentFailure(
        agent=proposal.agent,
        position=proposal.position,
        model=proposal.model,
        reason=agent.failure,
        detail=f"{proposal.agent} declined to answer",
        attempts=proposal.attempts,
        usage=proposal.usage,
        end=agent.end,
        permanent=True,
    )
