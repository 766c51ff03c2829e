"""Carries a run's failure from the handler to the status of its call."""

from moa_server.domain.errors import BY_REASON, InternalError, MoaError, RunCancelled
from moa_server.domain.event import RunCancelled as Cancelled
from moa_server.domain.event import RunFailed


class EndedBadly(Exception):
    """A run ended without an answer, for a caller that waits for nothing else."""

    def __init__(self, error: MoaError, run_failed: RunFailed) -> None:
        super().__init__(error.detail)
        self.error = error
        self.run_failed = run_failed


def ended_badly(run_id: str, failed: RunFailed) -> EndedBadly:
    """Return a failed run as an error that names every agent's own reason."""
    causes = {f"agent.{failure.agent}": failure.reason for failure in failed.failures}
    metadata = {"run_id": run_id, **dict(failed.metadata), **causes}
    kind = BY_REASON.get(failed.reason, InternalError)
    return EndedBadly(kind(failed.detail or failed.reason, metadata=metadata), failed)


def was_cancelled(run_id: str, cancelled: Cancelled) -> RunCancelled:
    """Return a cancelled run as an error."""
    return RunCancelled(
        f"run {run_id} was cancelled by {cancelled.by}", metadata={"run_id": run_id, "by": cancelled.by}
    )
