"""Writes runs for the wire: what agents gave, what it used, and what came of it."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final, assert_never

from google.protobuf.timestamp_pb2 import Timestamp

from moa.v1 import run_pb2 as pb
from moa.v1.error_pb2 import ERROR_REASON_UNSPECIFIED, ErrorReason
from moa_server.domain.event import Cursor, RunCancelled, RunFailed, RunSucceeded
from moa_server.domain.model import AttemptKind, FinishReason
from moa_server.domain.proposal import AgentFailure, Answer, Attempt, LayerResult, Proposal
from moa_server.domain.run import RunState
from moa_server.domain.usage import Certainty, Usage
from moa_server.engine import RunStatus
from moa_server.service.wire.plans import write_degradations

# Made of the members themselves: one that the contract does not have fails here, when the server starts.
_FINISHES: Final = {reason: pb.FinishReason.Value(f"FINISH_REASON_{reason.name}") for reason in FinishReason}
_KINDS: Final = {kind: pb.AttemptKind.Value(f"ATTEMPT_KIND_{kind.name}") for kind in AttemptKind}
_CERTAINTIES: Final = {certainty: pb.Certainty.Value(f"CERTAINTY_{certainty.name}") for certainty in Certainty}
_STATES: Final = {state: pb.RunState.Value(f"RUN_STATE_{state.name}") for state in RunState}
_REASONS: Final = {name.removeprefix("ERROR_REASON_"): ErrorReason.Value(name) for name in ErrorReason.keys()}  # noqa: SIM118 - no mapping


def write_reason(reason: str) -> ErrorReason.ValueType:
    """Return an error's reason; unspecified where there is none, or only a newer server knows it."""
    return _REASONS.get(reason, ERROR_REASON_UNSPECIFIED)


def write_usage(usage: Usage) -> pb.Usage:
    """Return what was used."""
    return pb.Usage(
        calls=usage.calls,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_input_tokens=usage.cached_input_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        certainty=_CERTAINTIES[usage.certainty] if usage.calls else pb.CERTAINTY_UNSPECIFIED,
        cost_nanousd=usage.cost_nanousd,
    )


def write_proposal(proposal: Proposal) -> pb.Proposal:
    """Return a proposal."""
    return pb.Proposal(
        agent=proposal.agent,
        position=proposal.position,
        model=proposal.model,
        served_model=proposal.served_model,
        text=proposal.text,
        finish_reason=_FINISHES[proposal.finish_reason],
        attempts=write_attempts(proposal.attempts),
        usage=write_usage(proposal.usage),
    )


def write_failure(failure: AgentFailure) -> pb.AgentFailure:
    """Return an agent's failure."""
    return pb.AgentFailure(
        agent=failure.agent,
        position=failure.position,
        model=failure.model,
        reason=write_reason(failure.reason),
        detail=failure.detail,
        attempts=write_attempts(failure.attempts),
        usage=write_usage(failure.usage),
    )


def write_attempts(attempts: Iterable[Attempt]) -> list[pb.Attempt]:
    """Return the physical calls of one agent, in order."""
    return [
        pb.Attempt(
            model=attempt.model,
            served_model=attempt.served_model,
            kind=_KINDS[attempt.kind],
            start_time=_timestamp(attempt.started),
            end_time=_timestamp(attempt.ended),
            first_token_time=_timestamp(attempt.first_token),
            failure=write_reason(attempt.failure),
            usage=write_usage(attempt.usage),
        )
        for attempt in attempts
    ]


def write_layer(layer: LayerResult) -> pb.LayerResult:
    """Return a closed layer."""
    return pb.LayerResult(
        index=layer.index,
        proposals=[write_proposal(proposal) for proposal in layer.proposals],
        failures=[write_failure(failure) for failure in layer.failures],
        start_time=_timestamp(layer.started),
        end_time=_timestamp(layer.ended),
        usage=write_usage(layer.usage),
        answers=layer.answers,
    )


def write_answer(answer: Answer) -> pb.Answer:
    """Return the answer."""
    return pb.Answer(
        text=answer.text,
        agent=answer.agent,
        model=answer.model,
        served_model=answer.served_model,
        finish_reason=_FINISHES[answer.finish_reason],
        degraded=bool(answer.degradations),
        degradations=write_degradations(answer.degradations),
        votes=[pb.Vote(choice=vote.choice, weight=vote.weight, agents=vote.agents) for vote in answer.votes],
    )


def write_cursor(cursor: Cursor) -> pb.Cursor:
    """Return a place in a run."""
    return pb.Cursor(epoch=cursor.epoch, sequence=cursor.sequence)


def write_run(status: RunStatus) -> pb.Run:
    """Return a run, as far as it is."""
    record, terminal = status.record, status.terminal
    return pb.Run(
        run_id=record.run_id,
        request_id=record.ticket.request_id,
        state=write_state(status),
        cursor=write_cursor(status.cursor),
        usage=write_usage(status.usage),
        failure=write_run_failure(terminal) if isinstance(terminal, RunFailed) else None,
    )


def write_state(status: RunStatus) -> pb.RunState.ValueType:
    """Return how far a run is, by its last event where it has one: the record was read before."""
    terminal = status.terminal
    match terminal:
        case None:
            return _STATES[status.record.state]
        case RunSucceeded():
            return pb.RUN_STATE_SUCCEEDED
        case RunFailed():
            return pb.RUN_STATE_FAILED
        case RunCancelled():
            return pb.RUN_STATE_CANCELLED
        case _:
            assert_never(terminal)


def write_run_failure(failed: RunFailed) -> pb.RunFailure:
    """Return why a run ended without an answer."""
    return pb.RunFailure(
        reason=write_reason(failed.reason),
        detail=failed.detail,
        failures=[write_failure(failure) for failure in failed.failures],
        partial_text=failed.partial_text,
    )


def write_causes(failed: RunFailed) -> pb.RunFailure:
    """Return the same, short enough for the status of a call: without attempts, usage and texts."""
    return pb.RunFailure(
        reason=write_reason(failed.reason),
        failures=[write_failure(replace(failure, attempts=(), usage=Usage())) for failure in failed.failures],
    )


def write_moment(moment: datetime, into: Timestamp) -> Timestamp:
    """Write a moment into its place, and return that."""
    into.seconds, into.nanos = int(moment.timestamp()), moment.microsecond * 1000
    return into


def _timestamp(moment: datetime | None) -> Timestamp | None:
    return None if moment is None else write_moment(moment, Timestamp())
