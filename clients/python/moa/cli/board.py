"""Keeps the live state of a run's agents, from its events alone."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from moa.reasons import reason_name
from moa.v1 import event_pb2 as ev
from moa.v1.plan_pb2 import PlannedLayer
from moa.v1.run_pb2 import AgentFailure, LayerResult, Proposal, Usage

if TYPE_CHECKING:
    from collections.abc import Callable


class State(StrEnum):
    """How far an agent is."""

    WAITING = "waiting"
    SPEAKING = "speaking"
    DONE = "done"
    FAILED = "failed"


@dataclass(slots=True)
class AgentLine:
    """One agent of one layer."""

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
class LayerLine:
    """One layer."""

    index: int
    answers: bool = False
    closed: bool = False
    agents: dict[int, AgentLine] = field(default_factory=dict)
    """By position."""


class Board:
    """What a watcher of a run knows about its agents."""

    def __init__(self) -> None:
        self.run_id = ""
        self.mixture = ""
        self.layers: dict[int, LayerLine] = {}
        self.answer = ""
        self.end: ev.Event | None = None
        self.usage = Usage()
        self._ahead: float | None = None
        self._rules: dict[str, Callable[[ev.Event], None]] = {
            "run_started": self._run_started,
            "run_adopted": self._run_adopted,
            "layer_started": self._layer_started,
            "agent_started": self._agent_started,
            "proposal_delta": self._proposal_delta,
            "proposal_received": self._proposal_received,
            "agent_failed": self._agent_failed,
            "layer_closed": self._layer_closed,
            "answer_delta": self._answer_delta,
            "answer_restarted": self._answer_restarted,
            "run_succeeded": self._run_succeeded,
            "run_failed": self._run_failed,
            "run_cancelled": self._run_cancelled,
        }

    def feed(self, event: ev.Event, now: float) -> None:
        """Note an event that arrived now; a fact of a newer server changes nothing."""
        self.run_id = event.run_id or self.run_id
        ahead = now - _time(event)
        self._ahead = ahead if self._ahead is None else min(self._ahead, ahead)
        rule = self._rules.get(event.WhichOneof("fact") or "")
        if rule:
            rule(event)

    def server_time(self, now: float) -> float:
        """Return the server's clock at this moment of ours, as near as the events tell."""
        return now - (self._ahead or 0.0)

    def _run_started(self, event: ev.Event) -> None:
        self.mixture = event.run_started.plan.mixture
        for layer in event.run_started.plan.layers:
            self._plan(layer)

    def _run_adopted(self, event: ev.Event) -> None:
        self.answer = ""
        for layer in self.layers.values():
            for position, agent in layer.agents.items():
                if not layer.closed and agent.state is not State.DONE:
                    layer.agents[position] = AgentLine(agent.name, agent.model)

    def _layer_started(self, event: ev.Event) -> None:
        self._plan(event.layer_started.layer)

    def _agent_started(self, event: ev.Event) -> None:
        fact = event.agent_started
        agent = self._agent(fact.layer, fact.position, fact.agent)
        agent.model, agent.started, agent.state = fact.model, _time(event), State.WAITING

    def _proposal_delta(self, event: ev.Event) -> None:
        fact = event.proposal_delta
        _speak(self._agent(fact.layer, fact.position, fact.agent), fact.text)

    def _proposal_received(self, event: ev.Event) -> None:
        fact = event.proposal_received
        self._settle(fact.layer, fact.proposal, _time(event))

    def _agent_failed(self, event: ev.Event) -> None:
        fact = event.agent_failed
        self._settle(fact.layer, fact.failure, _time(event))

    def _layer_closed(self, event: ev.Event) -> None:
        result: LayerResult = event.layer_closed.layer
        outcomes: list[Proposal | AgentFailure] = [*result.proposals, *result.failures]
        for outcome in outcomes:
            self._settle(result.index, outcome, _time(event))
        self._layer(result.index).closed = True

    def _answer_delta(self, event: ev.Event) -> None:
        self.answer += event.answer_delta.text
        for agent in self._answering():
            _speak(agent, event.answer_delta.text)

    def _answer_restarted(self, event: ev.Event) -> None:
        self.answer = ""
        for agent in self._answering():
            agent.state, agent.written = State.WAITING, 0

    def _run_succeeded(self, event: ev.Event) -> None:
        self._finish(event, event.run_succeeded.usage)
        for agent in self._answering():
            agent.state, agent.ended = State.DONE, _time(event)

    def _run_failed(self, event: ev.Event) -> None:
        self._finish(event, event.run_failed.usage)

    def _run_cancelled(self, event: ev.Event) -> None:
        self._finish(event, event.run_cancelled.usage)

    def _finish(self, event: ev.Event, usage: Usage) -> None:
        self.end, self.usage = event, usage

    def _plan(self, planned: PlannedLayer) -> None:
        layer = self._layer(planned.index)
        layer.answers = planned.answers
        for position, agent in enumerate(planned.agents):
            layer.agents.setdefault(position, AgentLine(agent.name, agent.model))

    def _settle(self, index: int, outcome: Proposal | AgentFailure, when: float) -> None:
        agent = self._agent(index, outcome.position, outcome.agent)
        agent.tokens = outcome.usage.output_tokens
        agent.ended = when if agent.ended is None else agent.ended
        if isinstance(outcome, AgentFailure):
            agent.state, agent.reason = State.FAILED, reason_name(outcome.reason)
        else:
            agent.state, agent.reason = State.DONE, ""

    def _layer(self, index: int) -> LayerLine:
        return self.layers.setdefault(index, LayerLine(index))

    def _agent(self, index: int, position: int, name: str) -> AgentLine:
        return self._layer(index).agents.setdefault(position, AgentLine(name))

    def _answering(self) -> list[AgentLine]:
        """Return the agents that are writing the answer."""
        agents = [agent for layer in self.layers.values() if layer.answers for agent in layer.agents.values()]
        return [agent for agent in agents if agent.started is not None and agent.state is not State.FAILED]


def _time(event: ev.Event) -> float:
    return event.event_time.ToNanoseconds() / 1e9


def _speak(agent: AgentLine, text: str) -> None:
    agent.state = State.SPEAKING
    agent.written += len(text)
