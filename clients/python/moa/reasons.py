"""Finds the error that a reason, a bare code or a failure stands for."""

from grpc import StatusCode

from moa.errors import (
    PREFIX,
    CallCancelled,
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    LimitError,
    MoaError,
    ModelError,
    NotOffered,
    PermissionDenied,
    RequestError,
    RunError,
    ServerError,
    Unauthenticated,
    Unreachable,
)
from moa.status import Status
from moa.v1.error_pb2 import ErrorReason
from moa.v1.run_pb2 import AgentFailure, RunFailure


def _below(root: type[MoaError]) -> dict[str, type[MoaError]]:
    """Return every class under one by the reason it stands for."""
    found = {root.usual_reason(): root} if root.usual_reason() else {}
    for child in root.__subclasses__():
        found |= _below(child)
    return found


BY_REASON = _below(MoaError)

BY_CODE: dict[StatusCode, type[MoaError]] = {
    StatusCode.CANCELLED: CallCancelled,
    StatusCode.INVALID_ARGUMENT: InvalidRequest,
    StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    StatusCode.NOT_FOUND: RequestError,
    StatusCode.ALREADY_EXISTS: RequestError,
    StatusCode.PERMISSION_DENIED: PermissionDenied,
    StatusCode.RESOURCE_EXHAUSTED: LimitError,
    StatusCode.FAILED_PRECONDITION: RequestError,
    StatusCode.OUT_OF_RANGE: RequestError,
    StatusCode.UNIMPLEMENTED: NotOffered,
    StatusCode.INTERNAL: InternalError,
    StatusCode.UNAVAILABLE: Unreachable,
    StatusCode.UNAUTHENTICATED: Unauthenticated,
}
"""What a bare code means: no ErrorInfo of moa came with it. Any other is the server's fault."""


def of_status(message: str, status: Status) -> MoaError:
    """Build the error of a failed call."""
    kind = BY_REASON.get(status.reason) or BY_CODE.get(status.code, ServerError)
    return _with_causes(kind(message, status))


def of_run(failure: RunFailure, run_id: str) -> MoaError:
    """Build the error of a run that failed."""
    return _of_reason(failure.reason, failure.detail, {"run_id": run_id}, failure)


def of_agent(failure: AgentFailure) -> MoaError:
    """Build the error of an agent that gave no proposal."""
    return _of_reason(failure.reason, failure.detail, {"agent": failure.agent, "model": failure.model}, None)


def _of_reason(
    reason: ErrorReason.ValueType, detail: str, metadata: dict[str, str], failure: RunFailure | None
) -> MoaError:
    name = reason_name(reason)
    kind = BY_REASON.get(name, RunError if failure else ModelError)
    return _with_causes(kind(detail or name, Status(kind.usual_code, name, metadata, failure=failure)))


def _with_causes(error: MoaError) -> MoaError:
    if error.failure:
        error.causes = tuple(of_agent(each) for each in error.failure.failures)
    return error


def reason_name(reason: ErrorReason.ValueType) -> str:
    """Return a reason's name without its prefix; a number from a newer server stays a number."""
    known = reason in ErrorReason.values()
    return ErrorReason.Name(reason).removeprefix(PREFIX) if known else str(int(reason))
