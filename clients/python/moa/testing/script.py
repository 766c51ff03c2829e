"""Writes down runs: the facts of one, numbered as a server numbers them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from moa.errors import MoaError
from moa.v1 import event_pb2 as ev
from moa.v1.deliberation_pb2 import Voice
from moa.v1.error_pb2 import ErrorReason
from moa.v1.plan_pb2 import Plan, PlannedAgent, PlannedLayer, WorstCase
from moa.v1.run_pb2 import (
    ANSWER_STATE_GIVEN,
    ATTEMPT_END_ANSWERED,
    CERTAINTY_KNOWN,
    AgentSummary,
    Answer,
    LayerSummary,
    Proposal,
    RunFailure,
    Usage,
)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """No fact, but a message without events: the run is alive."""


Fact = (
    ev.RunStarted
    | ev.RunAdopted
    | ev.LayerStarted
    | ev.AgentStarted
    | ev.ProposalDelta
    | ev.ProposalReceived
    | ev.AgentFailed
    | ev.LayerClosed
    | ev.DecisionMade
    | ev.DeliberationMade
    | ev.RunDegraded
    | ev.AnswerDelta
    | ev.AnswerRestarted
    | Heartbeat
    | ev.RunSucceeded
    | ev.RunFailed
    | ev.RunCancelled
)

_FACTS = ev.Event.DESCRIPTOR.oneofs_by_name["fact"].fields
_FIELD_OF = {field.message_type.name: field.name for field in _FACTS if field.message_type}
_EDITOR = "editor"
_SECONDS_OF_2026 = 1_767_225_600


def event_of(fact: Fact) -> ev.Event:
    """Put a fact in an event without a number."""
    event = ev.Event()
    if isinstance(fact, Heartbeat):
        return event
    getattr(event, _FIELD_OF[fact.DESCRIPTOR.name]).CopyFrom(fact)
    return event


def numbered(facts: Iterable[Fact], *, epoch: int = 1, after: int = 0) -> list[ev.Event]:
    """Number facts one second apart; a heartbeat takes no number, an adoption begins an epoch."""
    events: list[ev.Event] = []
    sequence = after
    for fact in facts:
        if isinstance(fact, ev.RunAdopted) and (events or after):
            epoch, sequence = epoch + 1, 0
        sequence += not isinstance(fact, Heartbeat)
        event = event_of(fact)
        event.epoch, event.sequence = epoch, sequence
        event.event_time.CopyFrom(Timestamp(seconds=_SECONDS_OF_2026 + sequence))
        events.append(event)
    return events


def answered(text: str, *, proposals: Mapping[str, str] | None = None) -> list[Fact]:
    """Write down a run of one layer of proposers, when there are any, and an aggregator."""
    proposals = proposals or {}
    layers = [tuple(proposals), (_EDITOR,)] if proposals else [(_EDITOR,)]
    plan = Plan(mixture="fake", strategy="aggregate", worst_case=WorstCase(calls=len(proposals) + 1))
    plan.layers.extend(_planned(index, names, answers=names == (_EDITOR,)) for index, names in enumerate(layers))
    facts: list[Fact] = [ev.RunStarted(plan=plan)]
    if proposals:
        facts += _spoken(plan.layers[0], list(proposals.values()))
    last = plan.layers[-1]
    facts += [ev.LayerStarted(layer=last), ev.AgentStarted(layer=last.index, agent=_EDITOR, model="fake-model")]
    facts += [ev.AnswerDelta(text=piece) for piece in _pieces(text)]
    answer = Answer(text=text, agent=_EDITOR, model="fake-model", served_model="fake-model", state=ANSWER_STATE_GIVEN)
    return [*facts, ev.RunSucceeded(answer=answer, usage=_used(len(proposals) + 1))]


def failed(failure: MoaError | RunFailure) -> ev.RunFailed:
    """Write down the end of a run that failed."""
    if isinstance(failure, RunFailure):
        return ev.RunFailed(failure=failure)
    reason = ErrorReason.Value(f"ERROR_REASON_{failure.reason}")
    return ev.RunFailed(failure=failure.failure or RunFailure(reason=reason, detail=failure.message))


def _planned(index: int, names: tuple[str, ...], *, answers: bool) -> PlannedLayer:
    agents = [PlannedAgent(name=name, model="fake-model", weight=1.0) for name in names]
    return PlannedLayer(index=index, agents=agents, quorum=len(names), answers=answers)


def _spoken(layer: PlannedLayer, texts: list[str]) -> list[Fact]:
    given = [
        Proposal(agent=agent.name, position=position, model=agent.model, text=text, usage=_used(1))
        for position, (agent, text) in enumerate(zip(layer.agents, texts, strict=True))
    ]
    agents = [
        AgentSummary(
            voice=Voice(agent=one.agent, position=one.position),
            end=ATTEMPT_END_ANSWERED,
            asked=one.model,
            usage=one.usage,
        )
        for one in given
    ]
    closed = LayerSummary(index=layer.index, agents=agents, quorum=len(given), usage=_used(len(given)))
    return [
        ev.LayerStarted(layer=layer),
        *(ev.AgentStarted(layer=layer.index, agent=p.agent, position=p.position, model=p.model) for p in given),
        *(ev.ProposalReceived(layer=layer.index, proposal=p) for p in given),
        ev.LayerClosed(layer=closed),
    ]


def _pieces(text: str) -> list[str]:
    half = len(text) // 2
    return [piece for piece in (text[:half], text[half:]) if piece]


def _used(calls: int) -> Usage:
    return Usage(calls=calls, input_tokens=20 * calls, output_tokens=10 * calls, certainty=CERTAINTY_KNOWN)
