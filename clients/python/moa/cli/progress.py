"""Keeps how far a run and its agents are, from its events alone."""

from dataclasses import dataclass, field
from enum import StrEnum

from moa.translation import reason_name
from moa.v1.deliberation_pb2 import Voice
from moa.v1.error_pb2 import ErrorReason
from moa.v1.event_pb2 import Event
from moa.v1.plan_pb2 import PlannedLayer
from moa.v1.run_pb2 import Usage


class State(StrEnum):
    """How far an agent is."""

    WAITING = "waiting"
    SPEAKING = "speaking"
    DONE = "done"
    FAILED = "failed"


@dataclass(slots=True)
class AgentProgress:
    """How far one agent of one layer is."""

    name: str
    model: str = ""
    state: State = State.WAITING
    started: float | None = None
    """When it was called, by the server's clock."""
    ended: float | None = None
    """When it was done or failed, by the server's clock."""
    tokens: int = 0
    """Tokens it wrote, once that is known."""
    written: int = 0
    """Characters it wrote so far."""
    reason: str = ""
    """Why it failed."""

    def seconds(self, now: float) -> float | None:
        """Return how long it has taken; None when it was not called."""
        if self.started is None:
            return None
        return max(0.0, (now if self.ended is None else self.ended) - self.started)


@dataclass(slots=True)
class LayerProgress:
    """How far one layer is."""

    index: int
    answers: bool = False
    closed: bool = False
    agents: dict[int, AgentProgress] = field(default_factory=dict)
    """By position."""


class RunProgress:
    """What a watcher of a run knows about its agents."""

    def __init__(self) -> None:
        self.run_id = ""
        self.mixture = ""
        self.layers: dict[int, LayerProgress] = {}
        self.answer = ""
        self.end: Event | None = None
        self.usage = Usage()
        self._ahead: float | None = None

    def feed(self, event: Event, now: float) -> None:
        """Note an event that arrived now; a fact of a newer server changes nothing."""
        # The event that travelled fastest tells best how far the two clocks are apart.
        ahead = now - _time(event)
        self._ahead = ahead if self._ahead is None else min(self._ahead, ahead)
        match event.WhichOneof("fact"):
            case "answer_delta":
                self.answer += event.answer_delta.text
                for agent in self._answering():
                    _speak(agent, event.answer_delta.text)
            case "answer_restarted":
                self.answer = ""
                for agent in self._answering():
                    agent.state, agent.written = State.WAITING, 0
            case "run_started":
                self.mixture = event.run_started.plan.mixture
                self._plan(*event.run_started.plan.layers)
            case "run_succeeded":
                self.end, self.usage = event, event.run_succeeded.usage
                for agent in self._answering():
                    agent.state, agent.ended = State.DONE, _time(event)
            case "run_failed":
                self.end, self.usage = event, event.run_failed.usage
            case "run_cancelled":
                self.end, self.usage = event, event.run_cancelled.usage
            case _:
                self._feed_layers(event)

    def server_time(self, now: float) -> float:
        """Return the server's clock at this moment of ours, as near as the events tell."""
        return now - (self._ahead or 0.0)

    def _feed_layers(self, event: Event) -> None:
        """Note what happened to the layers and to the agents in them."""
        match event.WhichOneof("fact"):
            case "run_adopted":
                self._adopt()
            case "layer_started":
                self._plan(event.layer_started.layer)
            case "agent_started":
                started = event.agent_started
                agent = self._agent(started.layer, started.position, started.agent)
                agent.model, agent.started, agent.state = started.model, _time(event), State.WAITING
            case "proposal_delta":
                delta = event.proposal_delta
                _speak(self._agent(delta.layer, delta.position, delta.agent), delta.text)
            case "proposal_received":
                given = event.proposal_received.proposal
                voice = Voice(agent=given.agent, position=given.position)
                self._settle(event.proposal_received.layer, voice, given.usage, None, _time(event))
            case "agent_failed":
                failed = event.agent_failed.failure
                voice = Voice(agent=failed.agent, position=failed.position)
                self._settle(event.agent_failed.layer, voice, failed.usage, failed.reason, _time(event))
            case "layer_closed":
                layer = event.layer_closed.layer
                # Told again here for whoever began to watch after the agents had finished.
                for end in layer.agents:
                    self._settle(layer.index, end.voice, end.usage, end.failure, _time(event))
                self._layer(layer.index).closed = True

    def _adopt(self) -> None:
        """Forget the agents that had not finished: the run's new owner asks them again."""
        self.answer = ""
        for layer in self.layers.values():
            for position, agent in layer.agents.items():
                if not layer.closed and agent.state is not State.DONE:
                    layer.agents[position] = AgentProgress(agent.name, agent.model)

    def _plan(self, *planned: PlannedLayer) -> None:
        for each in planned:
            layer = self._layer(each.index)
            layer.answers = each.answers
            for position, agent in enumerate(each.agents):
                layer.agents.setdefault(position, AgentProgress(agent.name, agent.model))

    def _settle(
        self, index: int, voice: Voice, usage: Usage, failure: ErrorReason.ValueType | None, when: float
    ) -> None:
        agent = self._agent(index, voice.position, voice.agent)
        agent.tokens = usage.output_tokens
        agent.ended = when if agent.ended is None else agent.ended
        agent.state, agent.reason = (State.FAILED, reason_name(failure)) if failure else (State.DONE, "")

    def _layer(self, index: int) -> LayerProgress:
        return self.layers.setdefault(index, LayerProgress(index))

    def _agent(self, index: int, position: int, name: str) -> AgentProgress:
        return self._layer(index).agents.setdefault(position, AgentProgress(name))

    def _answering(self) -> list[AgentProgress]:
        """Return the agents that are writing the answer."""
        agents = [agent for layer in self.layers.values() if layer.answers for agent in layer.agents.values()]
        return [agent for agent in agents if agent.started is not None and agent.state is not State.FAILED]


def _time(event: Event) -> float:
    return event.event_time.ToNanoseconds() / 1e9


def _speak(agent: AgentProgress, text: str) -> None:
    agent.state = State.SPEAKING
    agent.written += len(text)
