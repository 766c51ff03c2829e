"""Writes runs for the wire, and how they failed."""

from typing import Final

from moa.v1 import run_pb2 as pb
from moa_server.domain.event import Cursor, RunCancelled, RunFailed, RunSucceeded, Terminal
from moa_server.domain.proposal import AgentFailure
from moa_server.domain.run import RunState
from moa_server.domain.usage import Usage
from moa_server.engine import RunStatus
from moa_server.service.wire.proposals import write_failure, write_reason, write_usage

_STATES: Final = {
    RunState.RUNNING: pb.RUN_STATE_RUNNING,
    RunState.SUCCEEDED: pb.RUN_STATE_SUCCEEDED,
    RunState.FAILED: pb.RUN_STATE_FAILED,
    RunState.CANCELLED: pb.RUN_STATE_CANCELLED,
}
_STATE_AFTER: Final = {
    RunSucceeded: pb.RUN_STATE_SUCCEEDED,
    RunFailed: pb.RUN_STATE_FAILED,
    RunCancelled: pb.RUN_STATE_CANCELLED,
}


def write_cursor(cursor: Cursor) -> pb.Cursor:
    """Return a place in a run."""
    return pb.Cursor(epoch=cursor.epoch, sequence=cursor.sequence)


def write_run(status: RunStatus) -> pb.Run:
    """Return a run, as far as it is."""
    record, terminal = status.record, status.terminal
    return pb.Run(
        run_id=record.run_id,
        request_id=record.ticket.request_id,
        state=_STATES[record.state] if terminal is None else _STATE_AFTER[type(terminal)],
        cursor=write_cursor(status.cursor),
        usage=write_usage(status.usage),
        failure=_failure(terminal),
    )


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
        failures=[write_failure(_bare(failure)) for failure in failed.failures],
    )


def _failure(terminal: Terminal | None) -> pb.RunFailure | None:
    return write_run_failure(terminal) if isinstance(terminal, RunFailed) else None


def _bare(failure: AgentFailure) -> AgentFailure:
    return AgentFailure(failure.agent, failure.position, failure.model, failure.reason, failure.detail, (), Usage())
