"""Writes runs for the wire: how far they are, and what came of them."""

from dataclasses import replace
from typing import Final, assert_never

from moa.v1 import run_pb2 as pb
from moa.v1.deliberation_pb2 import Judgement as WrittenJudgement
from moa.v1.deliberation_pb2 import Vote as WrittenVote
from moa_server.domain import errors
from moa_server.domain.answer import Answer, AnswerState, Judgement
from moa_server.domain.event import CancelledBy, Cursor, RunCancelled, RunFailed, RunSucceeded
from moa_server.domain.run import RunState
from moa_server.domain.usage import Usage
from moa_server.engine import RunStatus
from moa_server.service.codes import code_of
from moa_server.service.wire.layers import (
    FINISHES,
    write_failure,
    write_reason,
    write_time,
    write_usage,
    write_voice,
)
from moa_server.service.wire.plans import write_budget, write_degradations

# Made of the members themselves: one that the contract does not have fails here, when the server starts.
_STATES: Final = {state: pb.RunState.Value(f"RUN_STATE_{state.name}") for state in RunState}
_ANSWER_STATES: Final = {state: pb.AnswerState.Value(f"ANSWER_STATE_{state.name}") for state in AnswerState}
_CANCELLED_BY: Final = {by: pb.CancelledBy.Value(f"CANCELLED_BY_{by.name}") for by in CancelledBy}


def write_run(status: RunStatus) -> pb.Run:
    """Return a run, as far as it is."""
    record, plan, terminal = status.record, status.record.plan, status.terminal
    return pb.Run(
        run_id=record.run_id,
        request_id=record.ticket.request_id,
        state=write_state(status),
        cursor=write_cursor(status.cursor),
        usage=write_usage(status.usage),
        failure=write_run_failure(terminal, with_texts=False) if isinstance(terminal, RunFailed) else None,
        cancelled_by=_CANCELLED_BY[terminal.by] if isinstance(terminal, RunCancelled) else pb.CANCELLED_BY_UNSPECIFIED,
        caller=record.ticket.caller,
        trace_id=_trace_id(record.ticket.traceparent),
        mixture=plan.mixture,
        strategy=plan.strategy,
        start_time=write_time(record.created),
        end_time=write_time(status.ended),
        budget=write_budget(plan.budget),
        degradations=write_degradations(status.degradations),
        owners_lost=record.owners_lost,
    )


def _trace_id(traceparent: str) -> str:
    """Return the id of a trace, which is the second field of its W3C context."""
    fields = traceparent.split("-")
    return fields[1] if len(fields) > 1 else ""


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


def write_cursor(cursor: Cursor) -> pb.Cursor:
    """Return a place in a run."""
    return pb.Cursor(epoch=cursor.epoch, sequence=cursor.sequence)


def write_answer(answer: Answer) -> pb.Answer:
    """Return the answer."""
    return pb.Answer(
        text=answer.text,
        agent=answer.agent,
        model=answer.model,
        served_model=answer.served_model,
        finish_reason=FINISHES[answer.finish_reason],
        degraded=bool(answer.degradations),
        degradations=write_degradations(answer.degradations),
        judgement=write_judgement(answer.judgement),
        state=_ANSWER_STATES[answer.state],
    )


def write_judgement(judgement: Judgement | None) -> WrittenJudgement | None:
    """Return what was found of a layer's proposals."""
    if judgement is None:
        return None
    return WrittenJudgement(
        layer=judgement.layer,
        votes=[
            WrittenVote(choice=vote.choice, weight=vote.weight, voices=[write_voice(voice) for voice in vote.voices])
            for vote in judgement.votes
        ],
        undecided=[write_voice(voice) for voice in judgement.undecided],
        share=judgement.share,
        ranking=[write_voice(voice) for voice in judgement.ranking],
    )


def write_cancelled_by(by: CancelledBy) -> pb.CancelledBy.ValueType:
    """Return who cancelled a run."""
    return _CANCELLED_BY[by]


def write_run_failure(failed: RunFailed, *, with_texts: bool = True) -> pb.RunFailure:
    """Return why a run ended without an answer."""
    return pb.RunFailure(
        reason=write_reason(failed.reason),
        detail=failed.detail,
        failures=[write_failure(failure) for failure in failed.failures],
        partial_text=failed.partial_text if with_texts else "",
        metadata=dict(failed.metadata),
        code=code_of(errors.BY_REASON.get(failed.reason, errors.InternalError)).value[0],
    )


def write_causes(failed: RunFailed) -> pb.RunFailure:
    """Return the same, short enough for the status of a call: without attempts, usage and texts."""
    return pb.RunFailure(
        reason=write_reason(failed.reason),
        failures=[write_failure(replace(failure, attempts=(), usage=Usage())) for failure in failed.failures],
    )
