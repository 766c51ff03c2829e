"""Unpacks what a failed call carries beside its code."""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status as PackedStatus

from moa.v1.run_pb2 import RunFailure

DOMAIN = "moa.v1"
DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class Violation:
    """A field of the request that breaks a rule."""

    field: str
    """Its path, such as ``query.messages``."""
    description: str
    """What is wrong with it."""


@dataclass(frozen=True, slots=True)
class Status:
    """Everything a server said about a failure."""

    code: grpc.StatusCode = grpc.StatusCode.UNKNOWN
    """The canonical code."""
    reason: str = ""
    """The name of an ErrorReason without its prefix. Empty when moa did not speak: a proxy or the transport did."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Facts beside the reason, such as the run's id."""
    violations: tuple[Violation, ...] = ()
    """The fields that break a rule."""
    retry_after: float | None = None
    """Seconds to wait before asking again, when the server named them."""
    failure: RunFailure | None = None
    """How the run ended, when it is a run that failed."""


def unpack(code: grpc.StatusCode, trailers: Iterable[tuple[str, str | bytes]]) -> Status:
    """Read the status out of a call's trailing metadata; garbage counts as nothing said."""
    packed = PackedStatus()
    for key, value in trailers:
        if key == DETAILS_KEY and isinstance(value, bytes):
            with contextlib.suppress(DecodeError):
                packed.ParseFromString(value)
    info, request, retry, failure = ErrorInfo(), BadRequest(), RetryInfo(), RunFailure()
    known = {message.DESCRIPTOR.full_name: message for message in (info, request, retry, failure)}
    found = {detail.type_url.rpartition("/")[2]: detail.value for detail in packed.details}
    for name in known.keys() & found.keys():
        with contextlib.suppress(DecodeError):
            known[name].ParseFromString(found[name])
    ours = info.domain == DOMAIN  # a proxy may speak in the same form, of reasons that are none of the contract's
    return Status(
        code=code,
        reason=info.reason if ours else "",
        metadata=dict(info.metadata) if ours else {},
        violations=tuple(Violation(each.field, each.description) for each in request.field_violations),
        retry_after=retry.retry_delay.ToNanoseconds() / 1e9 if RetryInfo.DESCRIPTOR.full_name in found else None,
        failure=failure if RunFailure.DESCRIPTOR.full_name in found else None,
    )


def pack(status: Status, message: str) -> bytes:
    """Write a status as a server does."""
    packed = PackedStatus(code=status.code.value[0], message=message)
    packed.details.add().Pack(ErrorInfo(reason=status.reason, domain=DOMAIN, metadata=status.metadata))
    if status.violations:
        request = BadRequest()
        for violation in status.violations:
            request.field_violations.add(field=violation.field, description=violation.description)
        packed.details.add().Pack(request)
    if status.retry_after is not None:
        retry = RetryInfo()
        retry.retry_delay.FromNanoseconds(round(status.retry_after * 1e9))
        packed.details.add().Pack(retry)
    if status.failure is not None:
        packed.details.add().Pack(status.failure)
    return packed.SerializeToString()
