"""Writes events for the wire. A piece of the answer, of which there are many, takes the shortest way."""

from typing import Final, assert_never

from moa.v1 import event_pb2 as pb
from moa_server.domain import event as facts
from moa_server.domain.event import Event
from moa_server.domain.strategy import Decision, DecisionKind
from moa_server.service.wire.layers import (
    write_failure,
    write_moment,
    write_proposal,
    write_summary,
    write_usage,
)
from moa_server.service.wire.plans import write_degradation, write_plan, write_planned_layer
from moa_server.service.wire.runs import write_answer, write_cancelled_by, write_judgement, write_run_failure

# Made of the members themselves: one that the contract does not have fails here, when the server starts.
_KINDS: Final = {kind: pb.DecisionKind.Value(f"DECISION_KIND_{kind.name}") for kind in DecisionKind}


def write_event(event: Event, into: pb.Event) -> None:  # noqa: C901, PLR0912 - one case a fact
    """Write an event into its place in a response, which saves copying it there."""
    into.epoch, into.sequence = event.epoch, event.sequence
    write_moment(event.time, into.event_time)
    fact = event.fact
    # Cases are tried in order: the pieces of texts come first, since nearly all events are such.
    match fact:
        case facts.AnswerDelta():
            into.answer_delta.text = fact.text
        case facts.ProposalDelta():
            delta = into.proposal_delta
            delta.layer, delta.agent, delta.position, delta.text = fact.layer, fact.agent, fact.position, fact.text
        case facts.RunStarted(request_id, plan):
            into.run_started.CopyFrom(pb.RunStarted(request_id=request_id, plan=write_plan(plan)))
        case facts.RunAdopted(layers_closed, after_loss):
            into.run_adopted.CopyFrom(pb.RunAdopted(layers_closed=layers_closed, after_loss=after_loss))
        case facts.LayerStarted(layer):
            into.layer_started.CopyFrom(pb.LayerStarted(layer=write_planned_layer(layer)))
        case facts.AgentStarted(layer, agent, position, model):
            into.agent_started.CopyFrom(pb.AgentStarted(layer=layer, agent=agent, position=position, model=model))
        case facts.ProposalReceived(layer, proposal):
            into.proposal_received.CopyFrom(pb.ProposalReceived(layer=layer, proposal=write_proposal(proposal)))
        case facts.AgentFailed(layer, failure):
            into.agent_failed.CopyFrom(pb.AgentFailed(layer=layer, failure=write_failure(failure)))
        case facts.LayerClosed(layer):
            into.layer_closed.CopyFrom(pb.LayerClosed(layer=write_summary(layer)))
        case facts.DecisionMade(decision):
            into.decision_made.CopyFrom(write_decision(decision))
        case facts.RunDegraded(degradation):
            into.run_degraded.CopyFrom(pb.RunDegraded(degradation=write_degradation(degradation)))
        case facts.AnswerRestarted(degradation):
            into.answer_restarted.CopyFrom(pb.AnswerRestarted(degradation=write_degradation(degradation)))
        case facts.RunSucceeded(answer, usage):
            into.run_succeeded.CopyFrom(pb.RunSucceeded(answer=write_answer(answer), usage=write_usage(usage)))
        case facts.RunFailed():
            into.run_failed.CopyFrom(pb.RunFailed(failure=write_run_failure(fact), usage=write_usage(fact.usage)))
        case facts.RunCancelled(by, usage):
            into.run_cancelled.CopyFrom(pb.RunCancelled(by=write_cancelled_by(by), usage=write_usage(usage)))
        case _:
            assert_never(fact)


def write_decision(decision: Decision) -> pb.DecisionMade:
    """Return what a strategy chose, and why."""
    return pb.DecisionMade(
        kind=_KINDS[decision.kind],
        chosen=decision.chosen,
        detail=decision.detail,
        calls_avoided=decision.calls_avoided,
        calls_cut=decision.calls_cut,
        shadow=decision.shadow,
        judgement=write_judgement(decision.judgement),
    )
