"""Turns the failure of a call, of a run or of an agent into the error that it stands for."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import cast

from google.protobuf.descriptor import EnumDescriptor
from grpc import RpcError, StatusCode

from moa import errors
from moa.errors import MoaError
from moa.status import Status, unpack
from moa.v1.error_pb2 import ErrorReason
from moa.v1.event_pb2 import Event
from moa.v1.run_pb2 import AgentFailure, Answer, CancelledBy, RunFailure


def _below(root: type[MoaError]) -> dict[str, type[MoaError]]:
    """Return every class under one by the reason it stands for."""
    found = {root.usual_reason(): root} if root.usual_reason() else {}
    for child in root.__subclasses__():
        found |= _below(child)
    return found


BY_REASON = _below(MoaError)
_CODES: dict[int, StatusCode] = {code.value[0]: code for code in StatusCode}

BY_CODE: dict[StatusCode, type[MoaError]] = {
    StatusCode.CANCELLED: errors.CallCancelled,
    StatusCode.INVALID_ARGUMENT: errors.InvalidRequest,
    StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    StatusCode.NOT_FOUND: errors.RequestError,
    StatusCode.ALREADY_EXISTS: errors.RequestError,
    StatusCode.PERMISSION_DENIED: errors.PermissionDenied,
    StatusCode.RESOURCE_EXHAUSTED: errors.LimitError,
    StatusCode.FAILED_PRECONDITION: errors.RequestError,
    StatusCode.OUT_OF_RANGE: errors.RequestError,
    StatusCode.UNIMPLEMENTED: errors.NotOffered,
    StatusCode.INTERNAL: errors.InternalError,
    StatusCode.UNAVAILABLE: errors.Unreachable,
    StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
}
"""What a bare code means: no ErrorInfo of moa came with it. Any other is the server's fault."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise a typed error in place of a failed call's."""
    try:
        yield
    except RpcError as error:
        # A tuple on a thread, an object of its own in a coroutine: both give pairs.
        trailers = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
        status = unpack(error.code(), trailers)
        kind = BY_REASON.get(status.reason) or BY_CODE.get(status.code, errors.ServerError)
        raise _with_causes(kind(error.details() or error.code().name, status)) from error


def answer_of(event: Event | None, run_id: str) -> Answer:
    """Return the answer that the terminal event of a run carries, or raise why there is none."""
    if event is not None and event.HasField("run_succeeded"):
        return event.run_succeeded.answer
    raise error_of(event, run_id)


def error_of(event: Event | None, run_id: str) -> MoaError:
    """Build the error that the end of a run without an answer stands for."""
    if event is not None and event.HasField("run_failed"):
        failure = event.run_failed.failure
        return _of_reason(failure.reason, failure.detail, {**failure.metadata, "run_id": run_id}, failure)
    if event is not None and event.HasField("run_cancelled"):
        by = member_name(CancelledBy.DESCRIPTOR, event.run_cancelled.by, "CANCELLED_BY_").lower()
        status = Status(StatusCode.CANCELLED, errors.RunCancelled.usual_reason(), {"run_id": run_id, "by": by})
        return errors.RunCancelled(f"run {run_id} was cancelled by {by}", status)
    return errors.StreamCut("the stream was left before its terminal event")


def of_agent(failure: AgentFailure) -> MoaError:
    """Build the error of an agent that gave no proposal."""
    return _of_reason(failure.reason, failure.detail, {"agent": failure.agent, "model": failure.model}, None)


def _of_reason(
    reason: ErrorReason.ValueType, detail: str, metadata: dict[str, str], failure: RunFailure | None
) -> MoaError:
    name = reason_name(reason)
    kind = BY_REASON.get(name, errors.RunError if failure else errors.ModelError)
    # A reason that only a newer server knows has a code to go by.
    code = _CODES.get(failure.code, kind.usual_code) if failure and name not in BY_REASON else kind.usual_code
    return _with_causes(kind(detail or name, Status(code, name, metadata, failure=failure)))


def _with_causes(error: MoaError) -> MoaError:
    if error.failure:
        error.causes = tuple(of_agent(each) for each in error.failure.failures)
    return error


def reason_name(reason: ErrorReason.ValueType) -> str:
    """Return a reason's name without its prefix; a number from a newer server stays a number."""
    return member_name(ErrorReason.DESCRIPTOR, reason, errors.PREFIX)


def member_name(enum: EnumDescriptor, number: int, prefix: str) -> str:
    """Return the name of an enum's member without its prefix; a number from a newer server stays a number."""
    member = enum.values_by_number.get(number)
    return str(int(number)) if member is None else member.name.removeprefix(prefix)
