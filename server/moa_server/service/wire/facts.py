"""Writes events for the wire. A piece of the answer, of which there are many, takes the shortest way."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from moa.v1 import event_pb2 as pb
from moa_server.domain import event as facts
from moa_server.domain.event import Cursor, Event
from moa_server.service.wire.plans import write_degradation, write_plan, write_planned_layer
from moa_server.service.wire.proposals import (
    write_answer,
    write_failure,
    write_layer,
    write_proposal,
    write_usage,
)
from moa_server.service.wire.runs import write_run_failure


def write_event(event: Event, into: pb.Event) -> None:
    """Write an event into its place in a response, which saves copying it there."""
    into.run_id, into.epoch, into.sequence = event.run_id, event.epoch, event.sequence
    _write_moment(event.time, into)
    fact = event.fact
    if type(fact) is facts.AnswerDelta:
        into.answer_delta.text = fact.text
    else:
        key, write = _FACTS[type(fact)]
        getattr(into, key).CopyFrom(write(fact))


def write_heartbeat(run_id: str, last: Cursor, into: pb.Event) -> None:
    """Write the news that a run is alive; it bears the number of the event before it."""
    into.run_id, into.epoch, into.sequence = run_id, last.epoch, last.sequence
    _write_moment(datetime.now(UTC), into)
    into.heartbeat.SetInParent()


def _write_moment(moment: datetime, into: pb.Event) -> None:
    into.event_time.seconds, into.event_time.nanos = int(moment.timestamp()), moment.microsecond * 1000


def _run_started(fact: facts.RunStarted) -> pb.RunStarted:
    return pb.RunStarted(request_id=fact.request_id, plan=write_plan(fact.plan))


def _run_adopted(fact: facts.RunAdopted) -> pb.RunAdopted:
    return pb.RunAdopted(layers_closed=fact.layers_closed)


def _layer_started(fact: facts.LayerStarted) -> pb.LayerStarted:
    return pb.LayerStarted(layer=write_planned_layer(fact.layer))


def _agent_started(fact: facts.AgentStarted) -> pb.AgentStarted:
    return pb.AgentStarted(layer=fact.layer, agent=fact.agent, position=fact.position, model=fact.model)


def _proposal_delta(fact: facts.ProposalDelta) -> pb.ProposalDelta:
    return pb.ProposalDelta(layer=fact.layer, agent=fact.agent, position=fact.position, text=fact.text)


def _proposal_received(fact: facts.ProposalReceived) -> pb.ProposalReceived:
    return pb.ProposalReceived(layer=fact.layer, proposal=write_proposal(fact.proposal))


def _agent_failed(fact: facts.AgentFailed) -> pb.AgentFailed:
    return pb.AgentFailed(layer=fact.layer, failure=write_failure(fact.failure))


def _layer_closed(fact: facts.LayerClosed) -> pb.LayerClosed:
    return pb.LayerClosed(layer=write_layer(fact.layer))


def _decision_made(fact: facts.DecisionMade) -> pb.DecisionMade:
    decision = fact.decision
    return pb.DecisionMade(
        subject=decision.subject,
        chosen=decision.chosen,
        detail=decision.detail,
        calls_saved=decision.calls_saved,
        shadow=decision.shadow,
    )


def _answer_restarted(fact: facts.AnswerRestarted) -> pb.AnswerRestarted:
    return pb.AnswerRestarted(degradation=write_degradation(fact.degradation))


def _run_succeeded(fact: facts.RunSucceeded) -> pb.RunSucceeded:
    return pb.RunSucceeded(answer=write_answer(fact.answer), usage=write_usage(fact.usage))


def _run_failed(fact: facts.RunFailed) -> pb.RunFailed:
    return pb.RunFailed(failure=write_run_failure(fact), usage=write_usage(fact.usage))


def _run_cancelled(fact: facts.RunCancelled) -> pb.RunCancelled:
    return pb.RunCancelled(by=fact.by, usage=write_usage(fact.usage))


_FACTS: Final[Mapping[type[Any], tuple[str, Callable[[Any], Any]]]] = {
    facts.RunStarted: ("run_started", _run_started),
    facts.RunAdopted: ("run_adopted", _run_adopted),
    facts.LayerStarted: ("layer_started", _layer_started),
    facts.AgentStarted: ("agent_started", _agent_started),
    facts.ProposalDelta: ("proposal_delta", _proposal_delta),
    facts.ProposalReceived: ("proposal_received", _proposal_received),
    facts.AgentFailed: ("agent_failed", _agent_failed),
    facts.LayerClosed: ("layer_closed", _layer_closed),
    facts.DecisionMade: ("decision_made", _decision_made),
    facts.AnswerRestarted: ("answer_restarted", _answer_restarted),
    facts.RunSucceeded: ("run_succeeded", _run_succeeded),
    facts.RunFailed: ("run_failed", _run_failed),
    facts.RunCancelled: ("run_cancelled", _run_cancelled),
}
